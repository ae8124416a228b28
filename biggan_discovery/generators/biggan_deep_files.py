"""The files of a BigGAN-deep generator in the layout of `pytorch_pretrained_biggan`; none of it needs torch.

config.json                   the architecture, as `BigGANConfig` writes it
pytorch_model.bin             the weights; or model.safetensors, or pytorch_model.safetensors
factor_predictor.safetensors  optional: reads known factors off images, see `factor_predictor`

Beside them may be the files of `layout`. The names under which the files are published, biggan-deep-256-config.json and
biggan-deep-256-pytorch_model.bin, are known too, and so is the file with the weights alone.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from biggan_discovery.errors import UserError
from biggan_discovery.generators.layout import beside, check_integer, check_sum, is_integer, is_number, kind
from biggan_discovery.reading.json_files import read_json
from biggan_discovery.reading.limits import MOST_WEIGHTS
from biggan_discovery.reading.source import first_bytes, open_place

CONFIG = "config.json"
WEIGHTS = "pytorch_model.bin"
STATISTICS = ("running_means", "running_vars")  # of a batch norm, in rows by truncation
SAFETENSORS = ("model.safetensors", "pytorch_model.safetensors")
MARKS = ("embeddings.weight", "generator.gen_z.weight_orig")
"""Tensors that all of these generators have."""

_PUBLISHED = re.compile(r"(biggan-deep-\d+-)pytorch_model\.bin")
_MOST_BLOCKS = 64  # The largest published network has 14.
_MOST_DOUBLINGS = 10  # 4,096 pixels.
_FIRST_BYTES = 2**20
_PUBLISHED_EPS = 1e-4
_FIRST_WIDTH = 16  # The package's first linear layer always makes 4 × 4 × 16·channel_width.


@dataclass(frozen=True)
class Block:
    """One residual block: channels are multiples of the channel width."""

    upsample: bool
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Attention:
    """One attention layer: channels are a multiple of the channel width."""

    channels: int


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
    def first_channels(self) -> int:
        """Channels that the first linear layer gives to each of 4 × 4 pixels."""
        return _FIRST_WIDTH * self.channel_width

    @property
    def layers(self) -> tuple[Block | Attention, ...]:
        """What follows the first linear layer: the blocks, and attention before the block of its position."""
        position = self.attention_layer_position
        if not 0 <= position < len(self.blocks):
            return self.blocks
        attention = Attention(self.blocks[position].inputs)
        return (*self.blocks[:position], attention, *self.blocks[position:])

    @property
    def num_layers(self) -> int:
        """Layers that see z: the first linear layer and every block."""
        return 1 + len(self.blocks)

    @property
    def resolution(self) -> int:
        """Height and width of the images: 4 pixels, doubled by every upsampling block."""
        return 4 * 2 ** sum(block.upsample for block in self.blocks)


class _Shapes(dict[str, tuple[int, ...]]):
    """Shapes of tensors by name, filled in layer by layer, in the order of the package's state dict."""

    def layer(self, key: str, *shape: int, bias: bool = True) -> None:
        """A linear layer or convolution with spectral norm: its weight before division, and two singular vectors."""
        if bias:
            self[f"{key}.bias"] = shape[:1]
        self[f"{key}.weight_orig"] = shape
        self[f"{key}.weight_u"] = shape[:1]
        self[f"{key}.weight_v"] = (math.prod(shape[1:]),)

    def statistics(self, key: str, n_stats: int, channels: int) -> None:
        """Mean and variance of a batch norm for every stored truncation."""
        for part in STATISTICS:
            self[f"{key}.{part}"] = (n_stats, channels)

    def block(self, key: str, config: Config, block: Block) -> None:
        """A residual block; its inner convolutions have a quarter of the channels."""
        inputs, outputs = (width * config.channel_width for width in (block.inputs, block.outputs))
        inner = inputs // 4
        sizes = ((inputs, inner, 1), (inner, inner, 3), (inner, inner, 3), (inner, outputs, 1))
        for index, (before, after, size) in enumerate(sizes):
            self.statistics(f"{key}.bn_{index}", config.n_stats, before)
            for part in ("scale", "offset"):
                self.layer(f"{key}.bn_{index}.{part}", before, 2 * config.z_dim, bias=False)
            self.layer(f"{key}.conv_{index}", after, before, size, size)

    def attention(self, key: str, channels: int) -> None:
        """An attention layer."""
        self[f"{key}.gamma"] = (1,)
        for part in ("theta", "phi"):
            self.layer(f"{key}.snconv1x1_{part}", channels // 8, channels, 1, 1, bias=False)
        self.layer(f"{key}.snconv1x1_g", channels // 2, channels, 1, 1, bias=False)
        self.layer(f"{key}.snconv1x1_o_conv", channels, channels // 2, 1, 1, bias=False)


def tensor_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors in the file with the weights, in the order of the package's state dict."""
    shapes = _Shapes({"embeddings.weight": (config.z_dim, config.num_classes)})
    shapes.layer("generator.gen_z", 4 * 4 * config.first_channels, 2 * config.z_dim)
    for index, layer in enumerate(config.layers):
        key = f"generator.layers.{index}"
        if isinstance(layer, Block):
            shapes.block(key, config, layer)
        else:
            shapes.attention(key, layer.channels * config.channel_width)
    channels = config.channel_width
    for part in ("weight", "bias"):
        shapes[f"generator.bn.{part}"] = (channels,)
    shapes.statistics("generator.bn", config.n_stats, channels)
    # The package computes as many output channels as there are inputs, and keeps three.
    shapes.layer("generator.conv_to_rgb", channels, channels, 3, 3)
    return shapes


def is_file_of_weights(path: Path) -> bool:
    """Whether a path is a file with the weights of such a generator, by its published name or its first tensors."""
    if path.is_file() and _PUBLISHED.fullmatch(path.name):
        return True
    # Names of tensors stand at the beginning of torch and safetensors files.
    return MARKS[1].encode() in first_bytes(path, _FIRST_BYTES)


def weights_path(path: Path) -> Path:
    """The file with the weights: the path itself; in a folder `WEIGHTS`, one of `SAFETENSORS`, or a published one."""
    if path.is_file():
        return path
    paths = [path / name for name in (WEIGHTS, *SAFETENSORS)]
    return next((each for each in (*paths, *_published(path)) if each.is_file()), paths[0])


def config_path(path: Path) -> Path:
    """The `config.json` of a generator, beside its weights or under its published name."""
    weights = weights_path(path)
    match = _PUBLISHED.fullmatch(weights.name)
    places = [beside(weights, CONFIG), *([beside(weights, f"{match[1]}{CONFIG}")] if match else [])]
    return next((place for place in reversed(places) if isinstance(place, Path) and place.is_file()), path / CONFIG)


def _published(folder: Path) -> list[Path]:
    """Weights in a folder under their published name; none if there are several."""
    found = sorted(folder.glob("biggan-deep-*-pytorch_model.bin")) if folder.is_dir() else []
    return found if len(found) == 1 else []


def read_config(path: Path) -> Config | None:
    """Read and check the config.json of a generator, and its checksum if one is recorded; see `read_config_file`.

    Returns:
        None where a file with weights was given that has no config.json beside it.
    """
    place = config_path(path)
    if place.is_file():
        with open_place(place) as file:
            check_sum(place, hashlib.file_digest(cast(Any, file), "sha256").hexdigest())
    elif path.is_file():
        return None
    return read_config_file(place)


def published_config(shapes: Mapping[str, Sequence[int]], origin: Path) -> Config:
    """The architecture of one of the published generators, from its tensors.

    They do not tell which blocks upsample, nor eps; in all published generators, every second block upsamples.

    Raises:
        UserError: not the tensors of a published generator.
    """
    blocks: list[Block] = []
    attention = -1
    try:
        width = shapes["generator.bn.weight"][0]
        for index in range(_MOST_BLOCKS):
            key = f"generator.layers.{index}"
            if f"{key}.gamma" in shapes:
                attention = len(blocks)
            elif f"{key}.conv_0.weight_orig" in shapes:
                inputs, outputs = shapes[f"{key}.conv_0.weight_orig"][1], shapes[f"{key}.conv_3.weight_orig"][0]
                blocks.append(Block(len(blocks) % 2 == 1, inputs // width, outputs // width))
        z_dim, num_classes = shapes["embeddings.weight"]
        n_stats = shapes["generator.bn.running_means"][0]
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"{origin} has no {CONFIG} beside it, which says what network it is") from error
    config = Config(z_dim, width, num_classes, tuple(blocks), attention, _PUBLISHED_EPS, n_stats)
    halve = {block.upsample for block in blocks if block.inputs != block.outputs}
    if (z_dim, width, num_classes) != (128, 128, 1000) or len(blocks) not in (10, 12, 14) or halve != {True}:
        raise UserError(f"{origin} has no {CONFIG} beside it, and is none of the published networks, whose is known")
    return config


def read_config_file(path: Path) -> Config:
    """Read and check a `config.json` under any name.

    Keys that do not shape the network (`output_dim`, `class_embed_dim`) are ignored, as the package does.

    Raises:
        UserError: missing or broken file, missing key, wrong type, or blocks that do not fit together.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {kind(content)}; it should be an object with the settings of a BigGANConfig")
    sizes = {
        key: _integer(path, content, key, least)
        for key, least in (("z_dim", 1), ("channel_width", 3), ("num_classes", 1), ("n_stats", 2))
    }
    eps = _value(path, content, "eps")
    if not is_number(eps) or not 0 < eps < 1:
        raise UserError(f"{path}: 'eps' is {eps!r}; it should be a small positive number such as 0.0001")
    blocks = _blocks(path, _value(path, content, "layers"))
    # -1 stands for no attention, as does any position behind the last block.
    attention = _integer(path, content, "attention_layer_position", -1)
    _check_widths(path, blocks, sizes["channel_width"], attention)
    if sum(block.upsample for block in blocks) > _MOST_DOUBLINGS:
        raise UserError(f"{path}: more than {_MOST_DOUBLINGS} blocks upsample, to images of more than 4,096 pixels")
    config = Config(blocks=blocks, attention_layer_position=attention, eps=float(eps), **sizes)
    numbers = sum(map(math.prod, tensor_shapes(config).values()))
    if numbers > MOST_WEIGHTS:
        raise UserError(f"{path} describes a network of {numbers:,} numbers; at most {MOST_WEIGHTS:,} are read")
    return config


def _blocks(path: Path, layers: Any) -> tuple[Block, ...]:
    if isinstance(layers, list) and len(layers) > _MOST_BLOCKS:
        raise UserError(f"{path}: 'layers' has {len(layers):,} blocks; at most {_MOST_BLOCKS} are read")
    if not isinstance(layers, list) or not layers:
        raise UserError(f"{path}: 'layers' should be a list of [upsample, inputs, outputs], one for each block")
    for index, layer in enumerate(layers):
        upsample, *widths = layer if isinstance(layer, list) and len(layer) == 3 else (None, 0, 0)
        if not isinstance(upsample, bool) or not all(is_integer(width) and width >= 1 for width in widths):
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
        raise UserError(f"{path}: {key!r} is missing; it should be the config.json of a BigGAN-deep generator")
    return content[key]


def _integer(path: Path, content: dict[str, Any], key: str, least: int) -> int:
    return check_integer(path, key, _value(path, content, key), least)
