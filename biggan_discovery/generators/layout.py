"""The small files of a generator's folder, read and checked without torch.

config.json               the architecture, as `BigGANConfig` writes it
pytorch_model.bin         the weights (read by the family); or model.safetensors, or pytorch_model.safetensors
classes.json              optional: list of class names
discovery.json            optional: search settings that suit this generator
directions.safetensors    optional: known true directions (read by the family)
factor_predictor.safetensors  optional: reads known factors off images (read by `scenes.predictor`)
SHA256SUMS                optional: checksums of files that were downloaded, as sha256sum writes them
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.files import atomic_write
from biggan_discovery.generators.classes import IMAGENET_CLASSES, imagenet_names

CONFIG = "config.json"
WEIGHTS = "pytorch_model.bin"
SAFETENSORS = ("model.safetensors", "pytorch_model.safetensors")
CLASSES = "classes.json"
SETTINGS = "discovery.json"
DIRECTIONS = "directions.safetensors"
SUMS = "SHA256SUMS"

PAPER_SETTINGS: dict[str, int | float] = {
    "steps": 50_000,
    "batch": 96,
    "lr": 0.01,
    "path_size": 5.0,
    "epsilon": 0.1,
    "probes": 2,
}
"""What the paper used for ImageNet BigGANs (Peebles et al. 2020)."""

_FIRST_WIDTH = 16  # The package's first linear layer always makes 4 × 4 × 16·channel_width.
_LARGEST = 2**20  # Larger sizes in a config are mistakes, and would fail far from their cause.


@dataclass(frozen=True)
class Block:
    """One residual block: channels are multiples of the channel width."""

    upsample: bool
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Config:
    """The architecture of a BigGAN-deep generator, checked."""

    z_dim: int
    channel_width: int
    num_classes: int
    blocks: tuple[Block, ...]
    attention_layer_position: int
    eps: float
    n_stats: int

    @property
    def num_layers(self) -> int:
        """Layers that see z: the first linear layer and every block."""
        return 1 + len(self.blocks)

    @property
    def resolution(self) -> int:
        """Height and width of the images: 4 pixels, doubled by every upsampling block."""
        return 4 * 2 ** sum(block.upsample for block in self.blocks)


def weights_path(folder: Path) -> Path:
    """The file with the weights: `WEIGHTS`, or one of `SAFETENSORS` where only that is there."""
    paths = [folder / name for name in (WEIGHTS, *SAFETENSORS)]
    return next((path for path in paths if path.is_file()), paths[0])


def read_config(folder: Path) -> Config:
    """Read and check `config.json`, against its recorded checksum too where there is one; see `read_config_file`."""
    path = folder / CONFIG
    if path.is_file():
        check_sum(path, hashlib.sha256(path.read_bytes()).hexdigest())
    return read_config_file(path)


def read_config_file(path: Path) -> Config:
    """Read and check a `config.json` under any name.

    Keys that do not shape the network (`output_dim`, `class_embed_dim`) are ignored, as the package does.

    Raises:
        UserError: missing or broken file, missing key, wrong type, or blocks that do not fit together.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {_kind(content)}; it should be an object with the settings of a BigGANConfig")
    sizes = {
        key: _integer(path, content, key, least)
        for key, least in (("z_dim", 1), ("channel_width", 3), ("num_classes", 1), ("n_stats", 2))
    }
    eps = _value(path, content, "eps")
    if not _is_number(eps) or not 0 < eps < 1:
        raise UserError(f"{path}: 'eps' is {eps!r}; it should be a small positive number such as 0.0001")
    blocks = _blocks(path, _value(path, content, "layers"))
    # -1 stands for no attention, as does any position behind the last block.
    attention = _integer(path, content, "attention_layer_position", -1)
    _check_widths(path, blocks, sizes["channel_width"], attention)
    return Config(blocks=blocks, attention_layer_position=attention, eps=float(eps), **sizes)


def read_class_names(folder: Path, num_classes: int) -> tuple[str, ...]:
    """The names in `classes.json`; where there is no such file, ImageNet's for 1,000 classes, else indices as text.

    Raises:
        UserError: not a list of `num_classes` texts.
    """
    path = folder / CLASSES
    if not path.exists():
        return imagenet_names() if num_classes == IMAGENET_CLASSES else tuple(map(str, range(num_classes)))
    names = read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError(f"{path} should be a list of class names, each a text that is not empty")
    if len(names) != num_classes:
        raise UserError(f"{path} has {len(names)} names, but the generator has {num_classes} classes")
    return tuple(names)


def read_settings(folder: Path) -> dict[str, int | float]:
    """The overriding search settings in `discovery.json`; empty where there is no such file.

    Raises:
        UserError: unknown setting, or a value of the wrong type or range.
    """
    path = folder / SETTINGS
    if not path.exists():
        return {}
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise UserError(f'{path} holds a {_kind(settings)}; it should be an object such as {{"steps": 1000}}')
    for key, value in settings.items():
        if key not in PAPER_SETTINGS:
            raise UserError(f"{path}: unknown setting {key!r}{near_matches(key, PAPER_SETTINGS)}; known: {_KNOWN}")
        if isinstance(PAPER_SETTINGS[key], int):
            _integer(path, settings, key, 2 if key == "probes" else 1)
        elif not _is_number(value) or value <= 0:
            raise UserError(f"{path}: {key!r} is {value!r}; it should be a positive number")
    return settings


_KNOWN = ", ".join(PAPER_SETTINGS)


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: the file is missing, unreadable, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error


def recorded_sums(folder: Path) -> dict[str, str]:
    """The sha256 by file name in `SHA256SUMS`; empty where there is no such file."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    matches = (re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line) for line in lines)
    return {match[2]: match[1] for match in matches if match}


def record_sum(path: Path, sha256: str) -> None:
    """Write the checksum of a file into the `SHA256SUMS` of its folder."""
    sums = recorded_sums(path.parent) | {path.name: sha256}
    atomic_write(path.parent / SUMS, "".join(f"{value}  {name}\n" for name, value in sums.items()))


def check_sum(path: Path, sha256: str) -> None:
    """Check the sha256 of a file against the one recorded when it was downloaded.

    Raises:
        UserError: there is another one recorded.
    """
    known = recorded_sums(path.parent).get(path.name, sha256)
    if sha256 != known:
        raise UserError(
            f"{path} is not the file that was downloaded: its sha256 is {sha256[:12]}... instead of {known[:12]}... in "
            f"{SUMS}; remove it to download it again, or its line in {SUMS} if the change is meant"
        )


def _blocks(path: Path, layers: Any) -> tuple[Block, ...]:
    if not isinstance(layers, list) or not layers:
        raise UserError(f"{path}: 'layers' should be a list of [upsample, inputs, outputs], one for each block")
    for index, layer in enumerate(layers):
        upsample, *widths = layer if isinstance(layer, list) and len(layer) == 3 else (None, 0, 0)
        if not isinstance(upsample, bool) or not all(_is_integer(width) and width >= 1 for width in widths):
            raise UserError(f"{path}: layer {index} is {layer!r}; it should look like [true, 16, 8]")
    return tuple(Block(*layer) for layer in layers)


def _check_widths(path: Path, blocks: tuple[Block, ...], channel_width: int, attention: int) -> None:
    width = _FIRST_WIDTH
    for index, block in enumerate(blocks):
        if block.inputs != width:
            raise UserError(f"{path}: layer {index} takes {block.inputs} channel widths, but gets {width}")
        # The shortcut of a block keeps all of its input channels or drops the second half.
        if block.inputs not in (block.outputs, 2 * block.outputs):
            raise UserError(f"{path}: layer {index} goes from {block.inputs} to {block.outputs}; keep or halve")
        if index == attention and block.inputs * channel_width < 8:
            raise UserError(f"{path}: attention before layer {index} needs at least 8 channels")
        if block.inputs * channel_width < 4:
            raise UserError(f"{path}: layer {index} needs at least 4 channels, but has {block.inputs * channel_width}")
        width = block.outputs
    if width != 1:
        raise UserError(f"{path}: the last layer gives {width} channel widths; it should give 1")


def _value(path: Path, content: dict[str, Any], key: str) -> Any:
    if key not in content:
        raise UserError(f"{path} lacks {key!r}; it should be the config.json of a BigGAN-deep generator")
    return content[key]


def _integer(path: Path, content: dict[str, Any], key: str, least: int) -> int:
    value = _value(path, content, key)
    if not _is_integer(value) or not least <= value <= _LARGEST:
        raise UserError(f"{path}: {key!r} is {value!r}; it should be a whole number from {least} to {_LARGEST}")
    return value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _kind(value: Any) -> str:
    return {dict: "object", list: "list", str: "text", bool: "truth value", type(None): "null"}.get(
        type(value), "number"
    )
