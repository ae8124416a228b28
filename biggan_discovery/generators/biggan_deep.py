"""BigGAN-deep in the layout of `pytorch_pretrained_biggan`: a folder with config.json and pytorch_model.bin."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.files import HEADER, utf8_path
from biggan_discovery.generators import fast, layout, priors
from biggan_discovery.generators.base import check_truncation
from biggan_discovery.generators.biggan import BigGANBase, plus_shift
from biggan_discovery.generators.biggan_deep_files import (
    CONFIG,
    MARKS,
    STATISTICS,
    Block,
    Config,
    published_config,
    read_config,
    tensor_shapes,
    weights_path,
)
from biggan_discovery.generators.layer_range import ALL, LayerRange, to_layer_range
from biggan_discovery.generators.weights import check_tensors, read_weights
from biggan_discovery.json_text import parse_json
from biggan_discovery.reading.limits import MOST_NUMBERS, check_shape
from biggan_discovery.reading.source import check_regular

_ROW_TOLERANCE = 1e-6
_log = logging.getLogger(__name__)


class BigGANDeep(BigGANBase):
    """A BigGAN-deep generator (Brock et al. 2018, appendix B), in the layout of `pytorch_pretrained_biggan`.

    Layer 0 is the first linear layer, layers 1, 2, ... are the residual blocks; attention and the last convolution
    do not see z. At load the network is converted to its fast implementation, see `fast`, with spectral norms and the
    batch-norm statistics of the truncation folded into the weights.
    z is a normal truncated at ±2, scaled by the truncation.
    When the package interpolates statistics between stored truncations it swaps the two weights, and by rounding also
    at a stored one (0.58); here stored truncations are exact and others are interpolated linearly.

    Args:
        path: a folder with config.json and pytorch_model.bin (or model.safetensors); optionally classes.json,
            discovery.json, directions.safetensors, factor_predictor.safetensors; or the weights beside these.
            See `biggan_deep_files` and `layout`. A published network needs no config.json.
        name: see `FrozenGenerator`.
        truncation: in (0, 1].
        dtype: of weights, z and images.

    Raises:
        UserError: a file is missing or broken, contains code, or does not match the others.
    """

    def __init__(self, path: Path, *, name: str, truncation: float = 1.0, dtype: torch.dtype = torch.float32):
        truncation = check_truncation(truncation)
        config, state, sha256 = _read_state(path)
        folder = path if path.is_dir() else path.parent
        true_directions, factor_names = _read_directions(folder / layout.DIRECTIONS, config.z_dim)
        settings = layout.read_settings(folder)
        network = _Network(_Builder(state, config, truncation))
        del state
        super().__init__(
            network.to(dtype),
            folder=cast(Path, layout.beside(weights_path(path), layout.CLASSES).parent),
            num_classes=config.num_classes,
            name=name,
            z_dim=config.z_dim,
            num_layers=config.num_layers,
            resolution=config.resolution,
            truncation=truncation,
            sha256=sha256,
            true_directions=true_directions,
            factor_names=factor_names,
            settings=settings,
        )
        self._path = path

    def _read_reference(self) -> tuple[nn.Module, str]:
        from biggan_discovery.generators.biggan_deep_reference import ReferenceNetwork  # slow to import

        config, state, sha256 = _read_state(self._path)
        for key, rows in state.items():
            if key.endswith(STATISTICS):
                state[key] = _at_truncation(rows.to(self.dtype), self.truncation).repeat(len(rows), 1)
        return ReferenceNetwork(state, config), sha256

    def projections(self, layers: LayerRange | str = ALL) -> Tensor:
        """For all layers, only the first linear layer: it sees all of z. See `FrozenGenerator.projections`."""
        return self.condition_weights(to_layer_range(layers, self.num_layers))[0]

    def _condition_weights(self, reached: LayerRange) -> Tensor:
        """The weights of the condition (z, class embedding) in some layers; for all, in the first alone."""
        network = cast(_Network, self.network)
        weights: list[Tensor] = [network.first.weight] if reached.first == 0 else []
        if not reached.covers_all:
            chosen = network.blocks[max(reached.first - 1, 0) : reached.last]
            norms = [norm for block in chosen for norm in cast(_Block, block).norms]
            weights += [fast.conditional_weights(norm.weight, norm.bias) for norm in cast(list[fast.Linear], norms)]
        return torch.cat(weights)

    def begin_shifted(self, z: Tensor, y: Tensor, shift: Tensor | None) -> tuple[Tensor, ...]:
        """See `BigGANBase`."""
        state = (z, y) if shift is None else (z, y, shift)
        return cast(fast.Network, self.network).begin(*state)

    def class_table(self) -> Tensor:
        """See `BigGANBase`."""
        return cast(fast.Embedding, cast(_Network, self.network).embedding).table.detach()

    def condition_weights(self, layers: LayerRange) -> tuple[Tensor, Tensor]:
        """See `BigGANBase`."""
        z, embedding = self._condition_weights(layers).split(self.z_dim, dim=1)
        return z, embedding

    def _from_uniform(self, uniform: Tensor) -> Tensor:
        return self.truncation * priors.truncated_normal(uniform)


class _Builder:
    """Layers with the weights of a checked state dict, in float64, so that only the result is rounded.

    Args:
        state: of float32 tensors.
        config: the architecture.
        truncation: selects the batch-norm statistics.
    """

    def __init__(self, state: dict[str, Tensor], config: Config, truncation: float):
        self.config = config
        self._state = state
        self._truncation = truncation

    def tensor(self, key: str) -> Tensor:
        return self._state[key].double()

    def weight(self, key: str) -> Tensor:
        """A layer's weight over its spectral norm σ = uᵀWv (Miyato et al. 2018, eq. 19), by the stored u and v."""
        weight = self.tensor(f"{key}.weight_orig")
        u, v = self.tensor(f"{key}.weight_u"), self.tensor(f"{key}.weight_v")
        return weight / torch.dot(u, torch.mv(weight.flatten(1), v))

    def statistics(self, key: str) -> tuple[Tensor, Tensor]:
        """Mean and 1/√(var + eps) of a batch norm at the truncation, each (channels,)."""
        stored = (self.tensor(f"{key}.{part}") for part in STATISTICS)
        mean, var = (_at_truncation(rows, self._truncation) for rows in stored)
        return mean, (var + self.config.eps).rsqrt()

    def norm(self, key: str, pending_bias: Tensor) -> fast.Conditional:
        """The norm of x + pending_bias."""
        mean, rate = self.statistics(key)
        scale, offset = self.weight(f"{key}.scale"), self.weight(f"{key}.offset")
        return fast.Conditional(*fast.norm_affine(scale, offset, mean - pending_bias, rate))

    def attention(self, key: str, pending_bias: Tensor) -> fast.Attention:
        """Attention on x + pending_bias."""
        theta, phi, g, o = (self.weight(f"{key}.snconv1x1_{part}") for part in ("theta", "phi", "g", "o_conv"))
        return fast.Attention(theta, phi, g, o * self.tensor(f"{key}.gamma"), pending_bias)

    def to_images(self, pending_bias: Tensor) -> fast.ToImages:
        """Images of x + pending_bias: of the convolution's outputs, the first three."""
        norm, convolution = "generator.bn", "generator.conv_to_rgb"
        mean, rate = self.statistics(norm)
        gain = self.tensor(f"{norm}.weight") * rate
        shift = self.tensor(f"{norm}.bias") - gain * (mean - pending_bias)
        weight, bias = self.weight(convolution)[:3].clone(), self.tensor(f"{convolution}.bias")[:3].clone()
        return fast.ToImages(gain, shift, weight, bias)


class _Block(nn.Module):
    """A residual block (Brock et al. 2018, figure 16).

    Args:
        build: see there.
        key: of its tensors.
        upsample: whether it doubles height and width.
        pending_bias: (inputs,), sum of the biases not yet added to x.
    """

    def __init__(self, build: _Builder, key: str, upsample: bool, pending_bias: Tensor):
        super().__init__()
        reduce, first, second, expand = (build.weight(f"{key}.conv_{index}") for index in range(4))
        biases = [pending_bias, *(build.tensor(f"{key}.conv_{index}.bias") for index in range(3))]
        self.norms = nn.ModuleList(build.norm(f"{key}.bn_{index}", bias) for index, bias in enumerate(biases))
        self.reduce = fast.Pointwise(reduce)
        self.first = fast.Convolution(first, upsample=upsample)
        self.second = fast.Convolution(second)
        self.expand = fast.Pointwise(expand)
        self.upsample = upsample
        self.outputs = len(expand)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(N, height, width, inputs) and the condition (N, 2·z_dim) to (N, height, width, outputs) or twice that."""
        before_reduce, before_first, before_second, before_expand = (norm(condition) for norm in self.norms)
        inner, skip = fast.affine_relu_and_skip(x, before_reduce, self.outputs)
        inner = self.reduce(inner)
        inner = self.first(fast.affine_relu(inner, before_first))
        inner = self.second(fast.affine_relu(inner, before_second))
        expanded = fast.affine_relu(inner, before_expand)
        return self.expand(expanded, plus=skip, upsample=self.upsample)


class _Network(fast.Network):
    """The fast implementation of the package's network."""

    def __init__(self, build: _Builder):
        super().__init__()
        # The package multiplies one-hot rows by the weight, which selects its columns.
        self.embedding = fast.Embedding(build.tensor("embeddings.weight").T.contiguous())
        # The first layer's outputs are ordered as in TensorFlow: height, width, channels.
        self.first = fast.Linear(build.weight("generator.gen_z"), build.tensor("generator.gen_z.bias"))
        self.width = build.config.first_channels
        self.layers = nn.ModuleList()
        self.begins = 0  # layers that `begin` runs
        height = 4
        pending_bias = self.first.bias.new_zeros(self.width)
        for index, layer in enumerate(build.config.layers):
            key = f"generator.layers.{index}"
            if isinstance(layer, Block):
                self.layers.append(_Block(build, key, layer.upsample, pending_bias))
                bias = build.tensor(f"{key}.conv_3.bias")
                pending_bias = pending_bias[: len(bias)] + bias
                height *= 1 + layer.upsample
            else:
                self.layers.append(build.attention(key, pending_bias))
                pending_bias = torch.zeros_like(pending_bias)
            self.begins += height <= fast.SMALL
        self.output = build.to_images(pending_bias)

    @property
    def blocks(self) -> list[_Block]:
        """Layers that see z, except the first."""
        return [layer for layer in self.layers if isinstance(layer, _Block)]

    def begin(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """From z (N, z_dim) or (N, layers that see z, z_dim) and y to activations and the remaining conditions.

        y is (N,) indices, or weights (N, classes) or (N, layers that see z, classes). Activations are (N, height,
        width, channels), conditions (N, 2·z_dim), one for each remaining block.
        """
        z, y, *shift = inputs
        count = 1 + len(self.blocks)
        embedding = plus_shift(self.embedding(y), shift[0]) if shift else self.embedding(y)
        if z.ndim == embedding.ndim == 2:  # Layers that see the same z and class share one condition.
            conditions = [torch.cat((z, embedding), dim=1)] * count
        else:
            latents, embeddings = (_per_layer(each, count) for each in (z, embedding))
            conditions = [torch.cat(pair, dim=1) for pair in zip(latents, embeddings, strict=True)]
        x = self.first(conditions[0]).view(len(z), 4, 4, self.width)
        return self._through(self.layers[: self.begins], x, *conditions[1:])

    def finish(self, *state: Tensor) -> Tensor:
        """Images (N, 3, height, width)."""
        x, *_ = self._through(self.layers[self.begins :], *state)
        return self.output(x)

    def _through(self, layers: Iterable[nn.Module], x: Tensor, *conditions: Tensor) -> tuple[Tensor, ...]:
        """x after some layers, and the conditions of later ones."""
        left = iter(conditions)
        for layer in layers:
            x = layer(x, next(left)) if isinstance(layer, _Block) else layer(x)
        return x, *left


def _per_layer(x: Tensor, num_layers: int) -> Sequence[Tensor]:
    """One (N, size) for each layer, of x (N, size) or (N, num_layers, size)."""
    return [x] * num_layers if x.ndim == 2 else x.unbind(1)


def _at_truncation(rows: Tensor, truncation: float) -> Tensor:
    """Statistics (channels,) of rows for the truncations 0, 1/(n−1), ..., 1, interpolated linearly."""
    position = truncation * (len(rows) - 1)
    if abs(position - round(position)) <= _ROW_TOLERANCE:
        position = round(position)
    row = min(int(position), len(rows) - 2)
    return rows[row].lerp(rows[row + 1], position - row)


def _read_state(path: Path) -> tuple[Config, dict[str, Tensor], str]:
    """The architecture, the checked tensors in float32, and the sha256 of the file with the weights.

    The sha256 must be the one recorded when it was downloaded.
    """
    config, weights = read_config(path), weights_path(path)
    found, sha256 = read_weights(weights, MARKS)
    layout.check_sum(weights, sha256)
    source = f"its {CONFIG}"
    if config is None:
        config = published_config({key: tuple(value.shape) for key, value in found.items()}, weights)
        source = "its size"
        _log.info("%s has no %s beside it; read as the published network of %d px", weights, CONFIG, config.resolution)
    state = check_tensors(found, tensor_shapes(config), weights, source)
    return config, {key: value.float() for key, value in state.items()}, sha256


def _read_directions(path: Path, z_dim: int) -> tuple[Tensor | None, tuple[str, ...]]:
    """The known true directions (n, z_dim) and their names; (None, ()) if there is no such file."""
    if not path.exists():
        return None, ()
    try:
        check_regular(path)
        with utf8_path(path) as name, safe_open(name, framework="pt") as file:
            header = file.metadata() or {}
            if HEADER in header:  # the result of a search that somebody keeps here
                return None, ()
            check_shape(file.get_slice("directions").get_shape(), MOST_NUMBERS, "'directions'")
            directions = file.get_tensor("directions")
            names = parse_json(header.get("names", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"cannot read the true directions in {path}: {error}") from error
    if directions.ndim != 2 or directions.shape[1] != z_dim or not directions.is_floating_point():
        raise UserError(f"{path}: 'directions' has shape {tuple(directions.shape)}; it should be (n, {z_dim}) floats")
    if not directions.isfinite().all():
        raise UserError(f"{path}: 'directions' holds values that are not finite")
    if not isinstance(names, list) or len(names) != len(directions) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: the header's 'names' should be a JSON list of {len(directions)} strings")
    return directions.float(), tuple(names)
