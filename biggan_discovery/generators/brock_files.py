"""The files of a BigGAN-PyTorch checkpoint, found and opened without torch.

G_ema.pth      the generator's weights averaged over training; takes precedence over
G.pth          the generator's weights
config.json    optional: the settings that the weights do not determine, under their original names
classes.json   optional: list of class names
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from biggan_discovery.errors import UserError

WEIGHTS = ("G_ema.pth", "G.pth")
CONFIG = "config.json"
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)  # RuntimeError: encrypted.

Place = Path | zipfile.Path
"""A file on disk, or one inside a zip."""


@dataclass(frozen=True)
class Config:
    """What the weights do not determine; defaults to the published 128 px checkpoint's settings."""

    bn_eps: float = 1e-5
    sn_eps: float = 1e-6


def find_weights(path: Path) -> Place:
    """The file with the weights: the path itself, or what it contains as a folder or zip, at any depth of a zip.

    A folder without weights may hold them in a zip of the folder's name, as a download leaves it.

    Raises:
        UserError: there are no weights, or several of the same name.
    """
    if path.is_dir():
        found: list[Place] = [path / name for name in WEIGHTS if (path / name).is_file()]
        if not found and archive(path).is_file():
            return find_weights(archive(path))
    elif members := _members(path):
        named = ([member for member in members if Path(member).name == name] for name in WEIGHTS)
        chosen = next(filter(None, named), [])
        if len(chosen) > 1:
            raise UserError(f"{path} holds several generators: {', '.join(chosen)}; unpack it and give one of them")
        found = [zipfile.Path(path, member) for member in chosen]
    else:
        found = [path]
    if not found:
        raise UserError(f"{path} contains neither {' nor '.join(WEIGHTS)}, so it is not a checkpoint of BigGAN-PyTorch")
    return found[0]


def archive(folder: Path) -> Path:
    """The zip that a download leaves in a folder."""
    return folder / f"{folder.name}.zip"


@contextlib.contextmanager
def open_weights(place: Place) -> Iterator[IO[bytes]]:
    """The weights as a seekable file; those in a zip are unpacked in memory only.

    Raises:
        UserError: unreadable, or the zip is damaged.
    """
    try:
        with place.open("rb") as file:
            yield io.BytesIO(cast(bytes, file.read())) if isinstance(place, zipfile.Path) else cast(IO[bytes], file)
    except OSError as error:
        raise UserError(f"cannot read the weights {place}: {error.strerror or error}") from error
    except _DAMAGED as error:
        raise UserError(f"{place} cannot be unpacked: {error}; download it again") from error


def read_config(weights: Place) -> Config:
    """The settings in the `config.json` beside the weights. Defaults to those of the published checkpoint.

    Only BN_eps and SN_eps are read: the weights determine the rest.

    Raises:
        UserError: not a JSON object, or a value out of range.
    """
    place = cast(Place, weights.parent / CONFIG)  # pyright: ignore[reportOperatorIssue]
    if not place.is_file():
        return Config()
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, *_DAMAGED) as error:
        raise UserError(f"cannot read {place}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f'{place} should hold an object such as {{"BN_eps": 1e-05, "SN_eps": 1e-06}}')
    default = Config()
    return Config(_eps(place, content, "BN_eps", default.bn_eps), _eps(place, content, "SN_eps", default.sn_eps))


def _eps(place: Place, content: dict[str, Any], key: str, default: float) -> float:
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise UserError(f"{place}: {key!r} is {value!r}; it should be a small positive number such as {default}")
    return float(value)


def _members(path: Path) -> list[str]:
    """Names of a zip's files; none if the path is not a zip, or is a torch file, which is a zip inside."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.namelist() if not member.endswith("/")]
    except (OSError, *_DAMAGED):
        return []
    return [] if any(Path(member).name == "data.pkl" for member in members) else members
