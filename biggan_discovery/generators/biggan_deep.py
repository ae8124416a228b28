"""BigGAN-deep in the layout of `pytorch_pretrained_biggan`: a folder with config.json and pytorch_model.bin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_pretrained_biggan import BigGAN, BigGANConfig
from pytorch_pretrained_biggan.model import BigGANBatchNorm, GenBlock, SelfAttn
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from biggan_discovery.errors import UserError
from biggan_discovery.files import HEADER
from biggan_discovery.generators import fast, layout
from biggan_discovery.generators.base import FrozenGenerator, check_truncation
from biggan_discovery.generators.layer_range import ALL, parse_layers
from biggan_discovery.generators.weights import check_tensors, read_tensors

_CUT = 2.0  # BigGAN's latents are normals cut at two standard deviations, then scaled by the truncation.
_ROW_TOLERANCE = 1e-6


class BigGANDeep(FrozenGenerator):
    """A BigGAN-deep generator (Brock et al. 2018, appendix B), in the layout of `pytorch_pretrained_biggan`.

    Layer 0 is the first linear layer, layers 1, 2, ... are the residual blocks; attention and the last convolution
    do not see z. The network is put in its fast form at load, see `fast`, with spectral norms and the batch-norm
    statistics of the truncation worked into the weights.
    The package mixes up the two weights when it interpolates statistics between stored truncations, and rounding
    makes it do so at a stored one too (0.58); here stored truncations are exact and others linear in between.

    Args:
        folder: config.json and pytorch_model.bin or, where only that is there, model.safetensors; optionally
            classes.json, discovery.json, directions.safetensors. See `layout`.
        name: what messages and files call it.
        truncation: in (0, 1].
        dtype: of weights, z and images.

    Raises:
        UserError: a file is missing, broken, carries code, or does not fit the others.
    """

    def __init__(self, folder: Path, *, name: str, truncation: float = 1.0, dtype: torch.dtype = torch.float32):
        truncation = check_truncation(truncation)
        config = layout.read_config(folder)
        class_names = layout.read_class_names(folder, config.num_classes)
        true_directions, factor_names = _read_directions(folder / layout.DIRECTIONS, config.z_dim)
        settings = layout.read_settings(folder)
        network, sha256 = _read_network(layout.weights_path(folder), config)
        super().__init__(
            _Network(network.double(), truncation).to(dtype),
            name=name,
            z_dim=config.z_dim,
            num_layers=config.num_layers,
            resolution=config.resolution,
            channels=3,
            class_names=class_names,
            truncation=truncation,
            sha256=sha256,
            true_directions=true_directions,
            factor_names=factor_names,
            settings=settings,
        )
        self._folder = folder

    def _begin(self, z: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return cast(fast.Network, self.network).begin(z, y)

    def _finish(self, *state: Tensor) -> Tensor:
        return cast(fast.Network, self.network).finish(*state)

    def textbook(self) -> FrozenGenerator:
        """The package's own layers; see `FrozenGenerator.textbook`."""
        config = layout.read_config(self._folder)
        network, sha256 = _read_network(layout.weights_path(self._folder), config)
        return self._around(_Textbook(network.to(self.dtype), self.truncation), sha256)

    def projections(self, layers: str = ALL) -> Tensor:
        """Of all layers, the first linear one alone: it sees all of z. See `FrozenGenerator.projections`."""
        reached = parse_layers(layers, self.num_layers)
        network = cast(_Network, self.network)
        weights: list[Tensor] = [network.first.weight] if reached.first == 0 else []
        if not reached.are_all:
            chosen = network.blocks[max(reached.first - 1, 0) : reached.last]
            norms = [norm for block in chosen for norm in cast(_Block, block).norms]
            weights += [fast.conditional_weights(norm.weight, norm.bias) for norm in cast(list[fast.Linear], norms)]
        return torch.cat(weights)[:, : self.z_dim]

    def _quantile(self, uniform: Tensor) -> Tensor:
        low = torch.special.ndtr(torch.tensor(-_CUT, dtype=uniform.dtype, device=uniform.device))
        return self.truncation * torch.special.ndtri(low + uniform * (1 - 2 * low))


class _Textbook(fast.Network):
    """The package's own layers, with the right statistics in all rows of its norms, which it would mistake."""

    def __init__(self, network: BigGAN, truncation: float):
        super().__init__()
        self.package = network
        for norm in network.modules():
            if isinstance(norm, BigGANBatchNorm):
                rows = (cast(Tensor, norm.running_means), cast(Tensor, norm.running_vars))
                for stored, right in zip(rows, _statistics(norm, truncation), strict=True):
                    stored[:] = right

    def finish(self, *state: Tensor) -> Tensor:
        """Images of z and y as `_Network` has them; what the package computes from one z, with any truncation."""
        z, y = state
        embedding = self.package.embeddings(nn.functional.one_hot(y, self.package.config.num_classes).to(z))
        generator = self.package.generator
        blocks = [layer for layer in generator.layers if isinstance(layer, GenBlock)]
        conditions = [torch.cat((each, embedding), dim=1) for each in _latents(z, 1 + len(blocks))]
        x = generator.gen_z(conditions[0]).view(len(z), 4, 4, 16 * generator.config.channel_width)
        x = x.permute(0, 3, 1, 2).contiguous()
        of_blocks = iter(conditions[1:])
        for layer in generator.layers:
            x = layer(x, next(of_blocks), 1.0) if isinstance(layer, GenBlock) else layer(x)
        return generator.conv_to_rgb(generator.bn(x, 1.0).relu())[:, :3].tanh()


class _Block(nn.Module):
    """A residual block (Brock et al. 2018, figure 16).

    Args:
        block: of the package, its weights free of spectral norms.
        truncation: whose statistics are used.
        lacking: (inputs,), biases that were left out of x so far.
    """

    def __init__(self, block: GenBlock, truncation: float, lacking: Tensor):
        super().__init__()
        convolutions = [cast(nn.Conv2d, getattr(block, key)) for key in ("conv_0", "conv_1", "conv_2", "conv_3")]
        biases = [lacking, *(cast(Tensor, convolution.bias) for convolution in convolutions[:3])]
        norms = [getattr(block, key) for key in ("bn_0", "bn_1", "bn_2", "bn_3")]
        self.norms = nn.ModuleList(map(_conditional, norms, [truncation] * 4, biases))
        reduce, first, second, expand = (convolution.weight for convolution in convolutions)
        self.reduce = fast.Pointwise(reduce)
        self.first = fast.Convolution(first, upsample=block.up_sample)
        self.second = fast.Convolution(second)
        self.expand = fast.Pointwise(expand)
        self.upsample = block.up_sample
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
    """The fast form of the package's network.

    Args:
        network: of the package, in float64, so that the only rounding is that of the result; it is used up.
        truncation: whose statistics are used.
    """

    def __init__(self, network: BigGAN, truncation: float):
        super().__init__()
        for module in network.modules():
            if hasattr(module, "weight_orig"):
                nn.utils.remove_spectral_norm(module)
        generator = network.generator
        # The package multiplies one-hot rows with the weight; that is a choice of its columns.
        self.embedding = nn.Embedding.from_pretrained(network.embeddings.weight.T.contiguous())
        # The first layer's outputs are ordered as in TensorFlow: height, width, channels.
        self.first = fast.Linear(generator.gen_z.weight, generator.gen_z.bias)
        self.width = 16 * generator.config.channel_width
        self.layers = nn.ModuleList()
        self.begins = 0  # how many layers do
        height = 4
        lacking = generator.gen_z.bias.new_zeros(self.width)
        for layer in generator.layers:
            if isinstance(layer, GenBlock):
                self.layers.append(_Block(layer, truncation, lacking))
                bias = cast(Tensor, cast(nn.Conv2d, layer.conv_3).bias)
                lacking = lacking[: len(bias)] + bias
            else:
                self.layers.append(_attention(cast(SelfAttn, layer), lacking))
                lacking = torch.zeros_like(lacking)
            height *= 1 + getattr(layer, "up_sample", False)
            self.begins += height <= fast.SMALL
        norm, rgb = generator.bn, generator.conv_to_rgb
        mean, var = _statistics(norm, truncation)
        gain = norm.weight * (var + norm.eps).rsqrt()
        # The package computes as many output channels as there are inputs, and keeps three.
        weight, bias = cast(Tensor, rgb.weight)[:3].clone(), cast(Tensor, rgb.bias)[:3].clone()
        self.output = fast.ToImages(gain, norm.bias - gain * (mean - lacking), weight, bias)

    @property
    def blocks(self) -> list[_Block]:
        """Layers that see z, but for the first."""
        return [layer for layer in self.layers if isinstance(layer, _Block)]

    def begin(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """From z (N, z_dim) or (N, layers that see z, z_dim) and y (N,) to activations and the conditions that remain.

        Activations are (N, height, width, channels), conditions (N, 2·z_dim), one for each block that is left.
        """
        z, y = inputs
        embedding = self.embedding(y)
        latents = _latents(z, 1 + len(self.blocks))
        # Layers that see the same z have one condition.
        conditions = [torch.cat((each, embedding), dim=1) for each in (latents[:1] if z.ndim == 2 else latents)]
        conditions = conditions * len(latents) if z.ndim == 2 else conditions
        x = self.first(conditions[0]).view(len(z), 4, 4, self.width)
        return self._through(self.layers[: self.begins], x, *conditions[1:])

    def finish(self, *state: Tensor) -> Tensor:
        """Images (N, 3, height, width)."""
        x, *_ = self._through(self.layers[self.begins :], *state)
        return self.output(x)

    def _through(self, layers: Iterable[nn.Module], x: Tensor, *conditions: Tensor) -> tuple[Tensor, ...]:
        """x after some layers, and the conditions that they leave."""
        left = iter(conditions)
        for layer in layers:
            x = layer(x, next(left)) if isinstance(layer, _Block) else layer(x)
        return x, *left


def _latents(z: Tensor, num_layers: int) -> Sequence[Tensor]:
    """One (N, z_dim) for each layer."""
    return [z] * num_layers if z.ndim == 2 else z.unbind(1)


def _conditional(norm: BigGANBatchNorm, truncation: float, lacking: Tensor) -> fast.Conditional:
    """The package's norm of x + lacking."""
    mean, var = _statistics(norm, truncation)
    rate = (var + norm.eps).rsqrt()
    return fast.Conditional(*fast.norm_affine(norm.scale.weight, norm.offset.weight, mean - lacking, rate))


def _attention(layer: SelfAttn, lacking: Tensor) -> fast.Attention:
    """The package's attention on x + lacking."""
    keys = ("snconv1x1_theta", "snconv1x1_phi", "snconv1x1_g", "snconv1x1_o_conv")
    theta, phi, g, o = (cast(Tensor, getattr(layer, key).weight) for key in keys)
    return fast.Attention(theta, phi, g, o * layer.gamma, lacking)


def _statistics(norm: BigGANBatchNorm, truncation: float) -> tuple[Tensor, Tensor]:
    """Mean and variance, each (channels,), of the stored truncations 0, 1/(n−1), ..., 1 interpolated linearly."""
    means, variances = cast(Tensor, norm.running_means), cast(Tensor, norm.running_vars)
    position = truncation * (len(means) - 1)
    if abs(position - round(position)) <= _ROW_TOLERANCE:
        position = round(position)
    row = min(int(position), len(means) - 2)
    above = position - row
    return means[row].lerp(means[row + 1], above), variances[row].lerp(variances[row + 1], above)


def _read_network(path: Path, config: layout.Config) -> tuple[BigGAN, str]:
    """The package's network with the weights of a file, and the sha256 of the file."""
    # On the meta device nothing is initialised: a weight that did not come from the file could not be used.
    with torch.device("meta"), _NotDrawn():
        network = BigGAN(
            BigGANConfig(
                z_dim=config.z_dim,
                class_embed_dim=config.z_dim,
                channel_width=config.channel_width,
                num_classes=config.num_classes,
                layers=[(block.upsample, block.inputs, block.outputs) for block in config.blocks],
                attention_layer_position=config.attention_layer_position,
                eps=config.eps,
                n_stats=config.n_stats,
            )
        )
    state, sha256 = _read_weights(path)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    check_tensors(state, shapes, path, f"its {layout.CONFIG}")
    network.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    return network, sha256


class _NotDrawn(TorchFunctionMode):
    """Leave out the numbers that weights start with: on the meta device torch loads its compiler to make nothing."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return args[0] if func in (Tensor.normal_, nn.functional.normalize) else func(*args, **(kwargs or {}))


def _read_weights(path: Path) -> tuple[dict[str, Any], str]:
    """What the file holds, and its sha256, which has to be the one recorded when it was downloaded."""
    try:
        with path.open("rb") as file:
            if path.suffix == ".safetensors":
                state, sha256 = load_file(path), hashlib.file_digest(file, "sha256").hexdigest()
            else:
                state, sha256 = read_tensors(file, path)
    except OSError as error:
        raise UserError(f"cannot read the weights {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise UserError(f"{path} is no safetensors file or is damaged: {error}") from error
    layout.check_sum(path, sha256)
    return state, sha256


def _read_directions(path: Path, z_dim: int) -> tuple[Tensor | None, tuple[str, ...]]:
    """The known true directions (n, z_dim) and their names; (None, ()) where there is no such file."""
    if not path.exists():
        return None, ()
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if HEADER in header:  # what a search found and somebody kept here, not what is known to be true
                return None, ()
            directions = file.get_tensor("directions")
            names = json.loads(header.get("names", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"cannot read the true directions in {path}: {error}") from error
    if directions.ndim != 2 or directions.shape[1] != z_dim or not directions.is_floating_point():
        raise UserError(f"{path}: 'directions' has shape {tuple(directions.shape)}; it should be (n, {z_dim}) floats")
    if not directions.isfinite().all():
        raise UserError(f"{path}: 'directions' holds values that are not finite")
    if not isinstance(names, list) or len(names) != len(directions) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: the header's 'names' should be a JSON list of {len(directions)} texts")
    return directions.float(), tuple(names)
