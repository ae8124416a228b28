"""The small files beside a generator's weights, read and checked without torch.

classes.json           optional: list of class names
discovery.json         optional: search settings that suit this generator
directions.safetensors optional: known true directions (read by `biggan_deep`)
SHA256SUMS             optional: checksums of downloaded files, as sha256sum writes them
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path
from typing import Any, cast

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.files import atomic_write
from biggan_discovery.generators.classes import IMAGENET_CLASSES, imagenet_names
from biggan_discovery.generators.search_settings import PAPER_SETTINGS
from biggan_discovery.reading.json_files import read_json
from biggan_discovery.reading.limits import LARGEST_HEADER
from biggan_discovery.reading.source import Place, open_place

CLASSES = "classes.json"
SETTINGS = "discovery.json"
DIRECTIONS = "directions.safetensors"
SUMS = "SHA256SUMS"

_LONGEST_NAME = 1000  # ImageNet's longest has 121.
_LARGEST = 2**20  # Larger sizes are mistakes, and would fail far from their cause.


def read_class_names(folder: Path | zipfile.Path, num_classes: int) -> tuple[str, ...]:
    """The names in `classes.json`. Defaults to ImageNet's for 1,000 classes, else to the indices as strings.

    Raises:
        UserError: not a list of `num_classes` strings.
    """
    path = folder / CLASSES
    if not path.exists():
        return imagenet_names() if num_classes == IMAGENET_CLASSES else tuple(map(str, range(num_classes)))
    names = read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError(f"{path} should be a list of class names, each a string that is not empty")
    if max(map(len, names), default=0) > _LONGEST_NAME:
        raise UserError(f"{path} has a class name of more than {_LONGEST_NAME} characters")
    if len(names) != num_classes:
        raise UserError(f"{path} has {len(names)} names, but the generator has {num_classes} classes")
    return tuple(names)


def read_settings(folder: Path) -> dict[str, int | float]:
    """The search settings in `discovery.json` that override the paper's; empty if there is no such file.

    Raises:
        UserError: unknown setting, or a value of the wrong type or range.
    """
    path = folder / SETTINGS
    if not path.exists():
        return {}
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise UserError(f'{path} holds a {kind(settings)}; it should be an object such as {{"steps": 1000}}')
    for key, value in settings.items():
        if key not in PAPER_SETTINGS:
            raise UserError(f"{path}: unknown setting {key!r}{near_matches(key, PAPER_SETTINGS)}; known: {_KNOWN}")
        if isinstance(PAPER_SETTINGS[key], int):
            check_integer(path, key, value, 2 if key == "probes" else 1)
        elif not is_number(value) or value <= 0:
            raise UserError(f"{path}: {key!r} is {value!r}; it should be a positive number")
    return settings


_KNOWN = ", ".join(PAPER_SETTINGS)


def beside(weights: Place, name: str) -> Place:
    """The file of a name beside the weights; if there is none and they are a link, beside the link's target."""
    place = cast(Place, weights.parent / name)  # pyright: ignore[reportOperatorIssue]
    if isinstance(weights, Path) and weights.is_symlink() and not place.exists():
        target = weights.resolve().parent / name
        return target if target.exists() else place
    return place


def recorded_sums(folder: Path) -> dict[str, str]:
    """The sha256 by file name in `SHA256SUMS`; empty if there is no such file."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    with open_place(path) as file:
        lines = file.read(LARGEST_HEADER).decode(errors="replace").splitlines()
    matches = (re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line) for line in lines)
    return {match[2]: match[1] for match in matches if match}


def record_sum(path: Path, sha256: str) -> None:
    """Write the checksum of a file into the `SHA256SUMS` of its folder."""
    sums = recorded_sums(path.parent) | {path.name: sha256}
    atomic_write(path.parent / SUMS, "".join(f"{value}  {name}\n" for name, value in sums.items()))


def check_sum(path: Path, sha256: str) -> None:
    """Check the sha256 of a file against the one recorded when it was downloaded.

    Raises:
        UserError: another one is recorded.
    """
    known = recorded_sums(path.parent).get(path.name, sha256)
    if sha256 != known:
        raise UserError(
            f"{path} is not the file that was downloaded: its sha256 is {sha256[:12]}... instead of {known[:12]}... in "
            f"{SUMS}; remove it to download it again, or its line in {SUMS} if the change is intended"
        )


def check_integer(path: Path, key: str, value: Any, least: int) -> int:
    """The value of a key in a JSON file, as an integer of sensible size.

    Raises:
        UserError: not an integer of at least `least`.
    """
    if not is_integer(value) or not least <= value <= _LARGEST:
        raise UserError(f"{path}: {key!r} is {value!r}; it should be an integer from {least} to {_LARGEST}")
    return value


def is_integer(value: Any) -> bool:
    """Whether a JSON value is an integer; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number that float64 holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def kind(value: Any) -> str:
    """What JSON calls a value."""
    return {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")
