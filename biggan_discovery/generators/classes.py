"""Selection of classes by index, range, name or WordNet id, and the names of ImageNet's 1,000 classes."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from biggan_discovery.errors import UserError, near_matches

if TYPE_CHECKING:
    from biggan_discovery.generators.base import FrozenGenerator

IMAGENET_CLASSES = 1000


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


def parse_classes(generator_or_class_names: FrozenGenerator | Sequence[str], text: str) -> list[int]:
    """Parse a selection of classes.

    Args:
        generator_or_class_names: a generator, or its class names (the index of a name is its y).
        text: "3", "0-2", "cone", "golden_retriever", "cube,torus" or "all". In names, case, spaces, underscores,
            hyphens and apostrophes do not matter, and a prefix that matches one class only is enough. A number is
            always an index. ImageNet's classes are found by all their names in WordNet, and by their ids (n02099601).

    Returns:
        Class indices in the given order, without repetition.

    Raises:
        UserError: unknown or ambiguous name, or an index out of range.
    """
    source = generator_or_class_names
    names = tuple(source if isinstance(source, Sequence) else source.class_names)
    if not text.strip():
        raise UserError("no class given; write an index, a name, several (cube,torus or 0-2), or all")
    if text.strip().lower() == "all":
        return list(range(len(names)))
    exact = _named(names, text)  # A name may contain a comma.
    if len(exact) == 1:
        return exact
    return list(dict.fromkeys(index for piece in text.split(",") for index in _parse_piece(names, piece.strip())))


def class_indices(generator: FrozenGenerator, classes: str | int | Sequence[int] | None) -> list[int]:
    """Class indices from an argument: indices, what `parse_classes` reads, or None for all.

    Raises:
        UserError: as `parse_classes`.

    Example:
        >>> class_indices(generator, "cone"), class_indices(generator, [0, 2]), class_indices(generator, 4)
        ([3], [0, 2], [4])
    """
    if classes is None:
        return list(range(generator.num_classes))
    if isinstance(classes, int):
        classes = [classes]
    return parse_classes(generator, classes if isinstance(classes, str) else ",".join(map(str, classes)))


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


def _parse_piece(names: tuple[str, ...], piece: str) -> Sequence[int]:
    numbers = re.fullmatch(r"(-?[0-9]+)(?:\s*-\s*([0-9]+))?", piece)
    if numbers is None:
        return [_by_name(names, piece)]
    # int() refuses strings of thousands of digits.
    first, last = (int(number) if len(number) < 20 else len(names) for number in (numbers[1], numbers[2] or numbers[1]))
    if not (0 <= first < len(names) and last < len(names)):
        raise UserError(f"class {_short(piece)} is out of range; the generator's classes are 0-{len(names) - 1}")
    if last < first:
        raise UserError(f"the range {piece} runs backwards; write {last}-{first}")
    return range(first, last + 1)


def _by_name(names: tuple[str, ...], piece: str) -> int:
    plain = _plain(piece)
    if not plain:
        raise UserError("an item of the list of classes is empty; write for example cube,torus or 0-2")
    found = _named(names, piece) or [
        index
        for index, spellings in enumerate(_spellings(names))
        if any(spelling.startswith(plain) for spelling in spellings)
    ]
    if not found:
        raise UserError(f"no class {_short(piece)!r}{_near(names, piece)}; `biggan-discovery classes` lists them")
    if len(found) > 1:
        imagenet = names == imagenet_names()
        ids = {index: f", {imagenet_synonyms()[index][0]}" if imagenet else "" for index in found[:5]}
        several = ", ".join(f"{names[index]} ({index}{wordnet_id})" for index, wordnet_id in ids.items())
        more = " and more" * (len(found) > 5)
        raise UserError(
            f"class {_short(piece)!r} could be {several}{more}; give the index{' or WordNet id' if imagenet else ''}"
        )
    return found[0]


def _near(names: tuple[str, ...], piece: str) -> str:
    """Names with a word that begins with `piece` (retriever), else names spelled similarly."""
    known = [name for synonyms in _synonyms(names) for name in synonyms]
    holding = [name for name in known if any(_plain(word).startswith(_plain(piece)) for word in name.split())]
    return f" (did you mean {' or '.join(map(repr, holding[:5]))}?)" if holding else near_matches(piece, known)


def _named(names: tuple[str, ...], text: str) -> list[int]:
    plain = _plain(text)
    return [index for index, spellings in enumerate(_spellings(names)) if plain in spellings]


@functools.lru_cache(maxsize=8)
def _spellings(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Normalised names of each class; for ImageNet also all names of a class joined."""
    return tuple(
        tuple(map(_plain, synonyms if len(synonyms) == 1 else (*synonyms, ", ".join(synonyms[1:]))))
        for synonyms in _synonyms(names)
    )


def _synonyms(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return imagenet_synonyms() if names == imagenet_names() else tuple((name,) for name in names)


def _plain(name: str) -> str:
    return re.sub(r"[\s_'’-]+", "", name).casefold()


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
