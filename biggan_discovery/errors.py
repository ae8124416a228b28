"""The exception for mistakes that a user can fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 1000
"""Characters of a line; longer ones are cut in the middle."""
_LONGEST = 200  # letters of words that are compared; the time grows with their square


class UserError(ValueError):
    """Invalid input. The message is one line: what is wrong, the value, and what is expected. Commands exit with 2."""

    def __str__(self) -> str:
        return cut(super().__str__())  # Names and values from strangers' files have any length.


def cut(text: str) -> str:
    """A text of at most `LONGEST` characters, without its middle if it is longer."""
    if len(text) <= LONGEST:
        return text
    end = LONGEST // 3
    return f"{text[: LONGEST - end - 5]} ... {text[-end:]}"


def near_matches(word: str, known: Iterable[str]) -> str:
    """Suggestions for the end of an error message; an empty string if no name is similar.

    Example:
        >>> near_matches("hesian", ["hessian", "orojar"])
        " (did you mean 'hessian'?)"
    """
    if len(word) > _LONGEST:
        return ""
    by_lower = {name.lower(): name for name in known if len(name) <= _LONGEST}
    close = [by_lower[match] for match in difflib.get_close_matches(word.lower(), by_lower, n=3, cutoff=0.6)]
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
