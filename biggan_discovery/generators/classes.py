"""Choosing classes by index, range or name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from biggan_discovery.errors import UserError, near_matches

if TYPE_CHECKING:
    from biggan_discovery.generators.base import FrozenGenerator


def parse_classes(generator_or_class_names: FrozenGenerator | Sequence[str], text: str) -> list[int]:
    """Class indices from what a user wrote, in the order written, each once.

    Args:
        generator_or_class_names: a generator, or its class names (the index of a name is its y).
        text: "3", "0-2", "cone", "golden_retriever", "cube,torus" or "all". In names, case, spaces, underscores and
            hyphens do not matter, and a beginning that fits one name only is enough. A number is always an index.

    Raises:
        UserError: unknown or ambiguous name, or an index out of range.
    """
    source = generator_or_class_names
    names = source if isinstance(source, Sequence) else source.class_names
    if not text.strip():
        raise UserError("no class given; write an index, a name, several (cube,torus or 0-2), or all")
    if text.strip().lower() == "all":
        return list(range(len(names)))
    whole = _named(names, text)  # A name may contain a comma.
    if len(whole) == 1:
        return whole
    return list(dict.fromkeys(index for piece in text.split(",") for index in _parse_piece(names, piece.strip())))


def filter_classes(names: Sequence[str], query: str) -> list[int]:
    """Indices of the classes whose name contains `query` (spelled as freely as in `parse_classes`)."""
    return [index for index, name in enumerate(names) if _plain(query) in _plain(name)]


def _parse_piece(names: Sequence[str], piece: str) -> Sequence[int]:
    numbers = re.fullmatch(r"(-?[0-9]+)(?:\s*-\s*([0-9]+))?", piece)
    if numbers is None:
        return [_by_name(names, piece)]
    # The length guard keeps int() away from texts of thousands of digits.
    first, last = (int(number) if len(number) < 20 else len(names) for number in (numbers[1], numbers[2] or numbers[1]))
    if not (0 <= first < len(names) and last < len(names)):
        raise UserError(f"class {_short(piece)} is out of range; the generator's classes are 0-{len(names) - 1}")
    if last < first:
        raise UserError(f"the range {piece} runs backwards; write {last}-{first}")
    return range(first, last + 1)


def _by_name(names: Sequence[str], piece: str) -> int:
    plain = _plain(piece)
    if not plain:
        raise UserError("there is an empty place in the list of classes; write for example cube,torus or 0-2")
    found = _named(names, piece) or [index for index, name in enumerate(names) if _plain(name).startswith(plain)]
    if not found:
        raise UserError(
            f"no class {_short(piece)!r}{near_matches(piece, names)}; `biggan-discovery classes` lists them"
        )
    if len(found) > 1:
        several = ", ".join(f"{names[index]} ({index})" for index in found[:5])
        raise UserError(f"class {piece!r} could be {several}{' and more' * (len(found) > 5)}; give the index")
    return found[0]


def _named(names: Sequence[str], text: str) -> list[int]:
    return [index for index, name in enumerate(names) if _plain(name) == _plain(text)]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
