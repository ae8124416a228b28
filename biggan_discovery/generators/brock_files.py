"""The files of a BigGAN-PyTorch checkpoint, found and opened without torch.

G_ema.pth      the generator's weights averaged over training; takes precedence over
G.pth          the generator's weights
config.json    optional: the settings that the weights do not determine, under their original names
classes.json   optional: list of class names
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biggan_discovery.errors import UserError
from biggan_discovery.generators.layout import beside
from biggan_discovery.reading.json_files import read_json
from biggan_discovery.reading.source import ZIP, Place, form_of, open_place

WEIGHTS = ("G_ema.pth", "G.pth")
CONFIG = "config.json"
MARKS = ("linear.weight", "blocks.0.0.conv1.weight", "blocks.0.0.bn1.gain.weight")
"""Tensors that all of these generators have, and no discriminator of theirs."""


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


def read_config(weights: Place) -> Config:
    """The settings in the `config.json` beside the weights. Defaults to those of the published checkpoint.

    Only BN_eps and SN_eps are read: the weights determine the rest.

    Raises:
        UserError: not a JSON object, or a value out of range.
    """
    place = beside(weights, CONFIG)
    if not place.exists():
        return Config()
    content = read_json(place)
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
        with open_place(path) as file:
            if form_of(file) != ZIP:
                return []
            with zipfile.ZipFile(file) as archive:
                return [member for member in archive.namelist() if not member.endswith("/")]
    except UserError:  # Reading the weights says it in full.
        return []
