"""Selection of classes by index, range, name or WordNet id, and the names of ImageNet's 1,000 classes."""

from __future__ import annotations

import functools
import importlib.resources
import logging
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators.mixes import Class, class_title, normalized

if TYPE_CHECKING:
    from biggan_discovery.generators.base import FrozenGenerator

IMAGENET_CLASSES = 1000

_MOST_LISTED = 20  # Classes in an error message.
_MOST_LOGGED = 5

_log = logging.getLogger(__name__)


@functools.cache
def imagenet_synonyms() -> tuple[tuple[str, ...], ...]:
    """For each of ImageNet's (ILSVRC2012) 1,000 classes by index: WordNet id, first name, other names."""
    text = (
        importlib.resources.files("biggan_discovery.generators")
        .joinpath("imagenet_classes.txt")
        .read_text(encoding="utf-8")
    )
    lines = [line.split(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return tuple((wordnet_id, *names.split(", ")) for wordnet_id, names in lines)


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """The first name of each of ImageNet's classes, by index; two pairs of classes share theirs."""
    return tuple(names[1] for names in imagenet_synonyms())


def parse_classes(
    generator_or_class_names: FrozenGenerator | Sequence[str], text: str, *, generator: str = ""
) -> list[Class]:
    """Parse a selection of classes, and log the classes that it is.

    Args:
        generator_or_class_names: a generator, or its class names (the index of a name is its y).
        text: "3", "0-2", "cone", "golden_retriever", "cube,torus" or "all". A name is written in full; case, spaces,
            underscores, hyphens and apostrophes do not matter. A number is always an index. If a class has several
            names, separated by ", ", each of them is enough. ImageNet's classes are found by all their names in
            WordNet, and by their ids (n02099601). With weights, "cube:0.7, torus:0.3" is a soft class, which mixes the
            embeddings; weights are divided by their sum. Soft classes are separated by semicolons.
        generator: name of the generator that the class names belong to, for messages. Defaults to the generator's.

    Returns:
        Class indices and soft classes in the given order, without repetition.

    Raises:
        UserError: unknown or ambiguous name, an index out of range, or weights that are not valid. A part of a name
            (duck, which ImageNet has in "duck-billed platypus") is refused with the classes that contain it.

    Example:
        >>> parse_classes(generator, "cube, torus"), parse_classes(["tench", "golden retriever"], "golden_retriever")
        ([0, 4], [1])
        >>> parse_classes(generator, "cube:0.7, torus:0.3")
        [((0, 0.7), (4, 0.3))]
    """
    source = generator_or_class_names
    if isinstance(source, Sequence):
        names = tuple(source)
    else:
        names, generator = source.class_names, generator or source.name
    if not text.strip():
        raise UserError("no class given; write an index, a name, several (cube,torus or 0-2), or all")
    if text.strip().lower() == "all":
        return list(range(len(names)))
    found: list[Class] = list(_named(names, text))  # A name may contain a comma.
    if len(found) != 1:
        pieces = [each for part in text.split(";") for each in _parse_part(names, part, generator)]
        found = list(dict.fromkeys(pieces))
    # Classes without names have their indices as names.
    shown = [
        " ".join(dict.fromkeys((str(each), names[each]))) if isinstance(each, int) else class_title(names, each)
        for each in found[:_MOST_LOGGED]
    ]
    more = f" and {len(found) - _MOST_LOGGED} more" * (len(found) > _MOST_LOGGED)
    _log.info("class%s %s%s", "es" * (len(found) > 1), ", ".join(shown), more)
    return found


def parse_index(names: Sequence[str], text: str, generator: str = "") -> int:
    """The one class that a number or a name means.

    Args:
        names: of all classes.
        text: see `parse_classes`.
        generator: name of the generator, for messages.

    Raises:
        UserError: as `parse_classes`; or several classes.
    """
    indices = _parse_piece(tuple(names), text.strip(), generator)
    if len(indices) > 1:
        raise UserError(f"{text.strip()} is {len(indices)} classes; give each a weight of its own")
    return indices[0]


def filter_classes(names: Sequence[str], query: str) -> list[int]:
    """Indices of the classes with a name that contains `query`, compared as `parse_classes` does.

    ImageNet's classes are found by any of their names, by WordNet id and by index.
    """
    names, wanted = tuple(names), _plain(query)
    imagenet = names == imagenet_names()
    return [
        index
        for index, spellings in enumerate(_spellings(names))
        if any(wanted in spelling for spelling in spellings[imagenet:])
        or (imagenet and (spellings[0].startswith(wanted) or query.strip() == str(index)))
    ]


def describe_class(names: Sequence[str], index: int) -> str:
    """A class on one line: its name; for ImageNet its WordNet id and all its names."""
    if tuple(names) != imagenet_names():
        return names[index]
    wordnet_id, *synonyms = imagenet_synonyms()[index]
    return f"{wordnet_id}  {', '.join(synonyms)}"


def _parse_part(names: tuple[str, ...], part: str, generator: str) -> Sequence[Class]:
    """The classes of a part without semicolons: a list of them, or one soft class."""
    pieces = [piece.strip() for piece in part.split(",")]
    if not any(":" in piece and not _named(names, piece) for piece in pieces):
        return [index for piece in pieces for index in _parse_piece(names, piece, generator)]
    weights: dict[int, float] = {}
    for piece in pieces:
        name, colon, number = piece.rpartition(":")
        if not colon or not name.strip():
            raise UserError(
                f"{_short(piece)!r} has no weight beside others that have one; write for example {pieces[0]}, "
                f"{_short(piece.strip(':')) or 'tench'}:0.5, or separate soft classes by semicolons"
            )
        try:
            weight = float(number)
        except ValueError:
            raise UserError(f"{_short(piece)!r}: {_short(number.strip())!r} is not a weight; write a number") from None
        index = parse_index(names, name, generator)
        weights[index] = weights.get(index, 0.0) + weight
    return [normalized(weights)]


def _parse_piece(names: tuple[str, ...], piece: str, generator: str = "") -> Sequence[int]:
    numbers = re.fullmatch(r"(-?[0-9]+)(?:\s*-\s*([0-9]+))?", piece)
    if numbers is None:
        return [_by_name(names, piece, generator)]
    # int() refuses strings of thousands of digits.
    first, last = (int(number) if len(number) < 20 else len(names) for number in (numbers[1], numbers[2] or numbers[1]))
    if not (0 <= first < len(names) and last < len(names)):
        raise UserError(f"class {_short(piece)} is out of range; the generator's classes are 0-{len(names) - 1}")
    if last < first:
        raise UserError(f"the range {piece} runs backwards; write {last}-{first}")
    return range(first, last + 1)


def _by_name(names: tuple[str, ...], piece: str, generator: str) -> int:
    """The class with a name.

    A part of a name is never enough, even a whole word that one class alone has: ImageNet's only "rose" is rose hip,
    its only "apple" custard apple, its only "star" sea star.
    """
    if not _plain(piece):
        raise UserError("an item of the list of classes is empty; write for example cube,torus or 0-2")
    found = _named(names, piece)
    if len(found) == 1:
        return found[0]
    if found:
        imagenet = names == imagenet_names()
        ids = {index: f", {imagenet_synonyms()[index][0]}" if imagenet else "" for index in found[:_MOST_LISTED]}
        several = ", ".join(f"{names[index]} ({index}{wordnet_id})" for index, wordnet_id in ids.items())
        more = " and more" * (len(found) > _MOST_LISTED)
        raise UserError(
            f"class {_short(piece)!r} could be {several}{more}; give the index{' or WordNet id' if imagenet else ''}"
        )
    of = f" --generator {shlex.quote(generator)}" if generator not in ("", "function") else ""
    lists = f"`biggan-discovery classes{of}` lists all"
    containing = _containing(names, piece)
    if containing:
        listed = ", ".join(f"{name} ({index})" for index, name in list(containing.items())[:_MOST_LISTED])
        more = f" and {len(containing) - _MOST_LISTED} more" * (len(containing) > _MOST_LISTED)
        contain = "names that contain it" if len(containing) > 1 else "one name contains it"
        raise UserError(f"no class {_short(piece)!r}; {contain}: {listed}{more}; give a full name or an index; {lists}")
    known = [name for synonyms in _synonyms(names) for name in synonyms]
    raise UserError(f"no class {_short(piece)!r}{near_matches(piece, known)}; {lists}")


def _containing(names: tuple[str, ...], piece: str) -> dict[int, str]:
    """By index, the first name of a class that contains a text: as whole words if there are such, else anywhere."""
    words = re.compile(rf"(?<!\w){re.escape(_spaced(piece))}(?!\w)")
    whole: dict[int, str] = {}
    anywhere: dict[int, str] = {}
    for index, synonyms in enumerate(_synonyms(names)):
        for name in synonyms:
            if words.search(_spaced(name)):
                whole.setdefault(index, name)
            if _plain(piece) in _plain(name):
                anywhere.setdefault(index, name)
    return whole or anywhere


def _named(names: tuple[str, ...], text: str) -> list[int]:
    plain = _plain(text)
    return [index for index, spellings in enumerate(_spellings(names)) if plain in spellings]


@functools.lru_cache(maxsize=8)
def _spellings(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Normalised names of each class, and all names of a class joined."""
    imagenet = names == imagenet_names()
    return tuple(
        tuple(map(_plain, dict.fromkeys((*synonyms, ", ".join(synonyms[imagenet:]))))) for synonyms in _synonyms(names)
    )


def _synonyms(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """All names of each class; for ImageNet the WordNet id is the first."""
    return imagenet_synonyms() if names == imagenet_names() else tuple(tuple(name.split(", ")) for name in names)


def _spaced(name: str) -> str:
    return " ".join(re.split(r"[\s_]+", name.strip())).casefold()


def _plain(name: str) -> str:
    return re.sub(r"[\s_'’-]+", "", name).casefold()


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
