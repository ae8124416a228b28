"""What the metadata of directions may contain. Files come from strangers, so every value that is used is checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from biggan_discovery.errors import UserError
from biggan_discovery.generators.layer_range import is_layers
from biggan_discovery.generators.mixes import stored_classes
from biggan_discovery.generators.spaces import SPACES

LONGEST_NAME = 100
LONGEST_NOTE = 1_000
_LONGEST_STORED = 10_000  # Of any text in a file; longer ones cannot be shown.
TEXTS = ("names", "notes", "class_names", "author", "licence", "provenance", "objective")
"""Keys with text for people; other strings may be file names."""
_NUMBER = re.compile(r"[+-]?\d{1,18}")
_MOST = 2**63 - 1
_LARGEST_SHARE = 1 + 1e-3
STRENGTHS = ("strength", "singular_values", "eigenvalues", "explained_variance")
"""Names that methods give to the strengths of directions."""
THUMBNAIL = "thumbnail"
"""Key of a small picture of the strongest directions: a WebP file in base64."""
_WEBP = re.compile(r"UklGR[A-Za-z0-9+/]{5}[A-Za-z0-9+/]{0,9990}={0,2}")  # as long as texts are
ERROR_ANGLE = "error_angle"
"""Key of the angles, in degrees, within which the latents of a search determine each direction."""
DETERMINED = 15.0  # degrees; a direction with a larger error angle says more about the seed than about the network
FLAGS = ("starred", "hidden")
"""Keys of what people marked: a flag for each direction."""
EFFECTS = ("region_share", "projected", "target_cosine", "target_per_step")
"""Names that methods give to other figures of directions."""
PER_DIRECTION = (
    *("names", "notes", "recommended_range", "direction_layers", ERROR_ANGLE),
    *(*FLAGS, *STRENGTHS, *EFFECTS),
)
"""Keys whose values are lists with one item per direction."""


def check_metadata(metadata: dict[str, Any], ndirs: int, z_dim: int) -> None:
    """Check the type and range of every value that this package uses; others may be any JSON.

    Args:
        metadata: with "names" and "notes"; all other keys may be missing.
        ndirs: number of directions.
        z_dim: size of a latent.

    Raises:
        UserError: If a value is not what it should be.
    """
    for key in ("names", "notes"):
        texts = metadata[key]
        if not isinstance(texts, list) or len(texts) != ndirs or not all(isinstance(text, str) for text in texts):
            raise UserError(f"{key} must be {ndirs} strings, one per direction; found {short(texts)}")
        for index, text in enumerate(texts):
            _check_stored(f"{key}[{index}]", text)
    for key, (valid, expected) in _FIELDS.items():
        if key in metadata and not valid(metadata[key]):
            raise UserError(f"{key} must be {expected}; found {short(metadata[key])}")
        if isinstance(metadata.get(key), str):
            _check_stored(key, metadata[key])
    for key in (ERROR_ANGLE, *STRENGTHS, *EFFECTS):
        if key in metadata and not _is_list(metadata[key], _is_number, ndirs):
            raise UserError(f"{key} must be {ndirs} numbers, one per direction; found {short(metadata[key])}")
    if "recommended_range" in metadata and not _is_list(metadata["recommended_range"], _is_range, ndirs):
        raise UserError(
            f"recommended_range must be {ndirs} pairs [low, high] with low < high, or null; "
            f"found {short(metadata['recommended_range'])}"
        )
    for key in FLAGS:
        if key in metadata and not _is_list(metadata[key], lambda value: isinstance(value, bool), ndirs):
            raise UserError(f"{key} must be {ndirs} of true or false, one per direction; found {short(metadata[key])}")
    if "direction_layers" in metadata and not _is_list(metadata["direction_layers"], is_layers, ndirs):
        raise UserError(
            f"direction_layers must be {ndirs} strings such as 3 or 4-8, one per direction; "
            f"found {short(metadata['direction_layers'])}"
        )
    if "layer_shares" in metadata and not _are_shares(metadata["layer_shares"], ndirs):
        raise UserError(
            f"layer_shares must have for each layer {ndirs} numbers from 0 to 1, one per direction; "
            f"found {short(metadata['layer_shares'])}"
        )
    coordinates(metadata, z_dim)


def coordinates(metadata: dict[str, Any], z_dim: int) -> slice:
    """Coordinates of z that the search was restricted to. Defaults to all.

    Raises:
        UserError: If "search_space" is not a range of coordinates.
    """
    ends = metadata.get("search_space", [0, z_dim])
    if _is_list(ends, _is_integer, 2) and 0 <= ends[0] < ends[1] <= z_dim:
        return slice(*ends)
    raise UserError(f"search_space must be [first, end] with 0 ≤ first < end ≤ {z_dim}; found {short(ends)}")


def is_number(text: str) -> bool:
    """Whether a text is a direction's number rather than its name."""
    return bool(_NUMBER.fullmatch(text))


def checked_name(name: str) -> str:
    """A name without surrounding spaces.

    Raises:
        UserError: If it is a number, not one printable line, or too long.
    """
    try:
        name = checked_text("a name", name, LONGEST_NAME)
    except UserError as error:
        raise UserError(f"a direction cannot be called {short(name)}; {error}") from error
    if is_number(name):
        raise UserError(f"a direction cannot be called {name!r}; a name is not a number")
    return name


def checked_text(what: str, text: str, most: int) -> str:
    """A text without surrounding spaces.

    Raises:
        UserError: If it is not one printable line, or longer than `most`.
    """
    text = text.strip()
    if len(text) > most or not text.isprintable():
        raise UserError(f"{what} is one line of at most {most} printable characters")
    return text


def short(value: object) -> str:
    """A value in a message: its representation, escaped and cut."""
    text = repr(value[:200] if isinstance(value, str | list) else value)
    text = "".join(c if c.isprintable() else "?" for c in text[:200])
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_stored(what: str, text: str) -> None:
    if len(text) > _LONGEST_STORED:
        raise UserError(f"{what} has {len(text):,} characters; at most {_LONGEST_STORED:,} are read")


def _is_list(value: Any, valid: Callable[[Any], bool], length: int | None = None) -> bool:
    return isinstance(value, list) and (length is None or len(value) == length) and all(map(valid, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST


def _is_number(value: Any) -> bool:
    """A number that float64 holds; nan is one, because a search may have measured it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > sys.float_info.max


def _is_round(value: Any) -> bool:
    """See `search.growth.round_of`."""
    if not isinstance(value, dict) or not _is_integer(value.get("latents")):
        return False
    known = value.keys() >= {"own", "unseen", "gap", "gain"}
    ended = ("gap", "gain", "gain_error") if value.get("gain") is not None else ()
    return (
        known
        and all(_or_null(_is_number)(value[key]) for key in ("own", "unseen", "gap", "gain"))
        and all(_is_number(value.get(key)) for key in ended)
    )


def _are_unseen_figures(value: Any) -> bool:
    """See `search.unseen.unseen_figures`."""
    if not isinstance(value, dict):
        return False
    kinds = [figures for key, figures in value.items() if key != "latents"]
    latents = value.get("latents")
    return (
        (not kinds or (isinstance(latents, dict) and "unseen" in latents and all(map(_is_integer, latents.values()))))
        and all(isinstance(figures, dict) for figures in kinds)
        and all(
            isinstance(of_frame, dict)
            and all(_or_null(_is_number)(of_frame.get(key)) for key in ("own", "unseen", "standard_error"))
            for figures in kinds
            for of_frame in figures.values()
        )
    )


def _is_range(value: Any) -> bool:
    return value is None or (_is_list(value, _is_number, 2) and value[0] < value[1])


def _are_shares(value: Any, ndirs: int) -> bool:
    """Shares of layers, which may exceed 1 by rounding."""
    return isinstance(value, dict) and all(
        is_layers(layer) and _is_list(shares, lambda each: _is_number(each) and 0 <= each <= _LARGEST_SHARE, ndirs)
        for layer, shares in value.items()
    )


def _is_dict_of(valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(valid, value.values()))


def _or_null(valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or valid(value)


_TEXT = (_or_null(_is_text), "a string")
_INTEGER = (_or_null(_is_integer), "an integer")
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("generator", "generator_sha256", "method", "solver", "objective"), _TEXT),
    **dict.fromkeys(("source", "preset", "provenance", "author", "licence"), _TEXT),
    "space": (lambda value: value in SPACES, "z, class or both"),
    "layers": (_or_null(_is_text), "a string such as all or mid"),
    **dict.fromkeys(("seed", "steps", "resolution", "z_dim"), _INTEGER),
    "random_strength": (lambda value: _is_number(value) and value >= 0, "a number of at least 0"),
    "generator_evaluations": (lambda value: _is_number(value) and value >= 0, "a number of at least 0"),
    "truncation": (_or_null(lambda value: _is_number(value) and 0 < value <= 1), "a number above 0 and at most 1"),
    "classes": (
        _or_null(lambda value: stored_classes(value) is not None),
        "a list of indices, and of pairs [index, weight] for soft classes",
    ),
    "class_names": (lambda value: _is_list(value, _is_text), "a list of strings"),
    "settings": (lambda value: isinstance(value, dict), "a dict"),
    "rounds": (lambda value: _is_list(value, _is_round), "a list of rounds of a search"),
    "unseen": (_are_unseen_figures, "figures by kind of matrices and by frame"),
    "determined": (_is_integer, "an integer"),
    THUMBNAIL: (
        _or_null(lambda value: _is_text(value) and bool(_WEBP.fullmatch(value))),
        "a small WebP file in base64",
    ),
    "held_out_penalty": (
        _is_dict_of(lambda value: _is_list(value, _is_number, 2)),
        "pairs of a mean and its error",
    ),
    "held_out_ratio": (lambda value: _is_list(value, _is_number, 2), "a ratio and its error"),
    "objective_value": (_or_null(_is_number), "a number"),
    "recovery": (_is_dict_of(_is_number), "numbers"),
}
