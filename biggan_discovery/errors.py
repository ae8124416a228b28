"""The one exception for mistakes that a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input. The message is one line: what was wrong, the value, what would be right. Commands exit with 2."""


def near_matches(word: str, known: Iterable[str]) -> str:
    """A tail for an error message, " (did you mean 'a' or 'b'?)", or an empty string where nothing is near."""
    by_lower = {name.lower(): name for name in known}
    close = [by_lower[match] for match in difflib.get_close_matches(word.lower(), by_lower, n=3, cutoff=0.6)]
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
