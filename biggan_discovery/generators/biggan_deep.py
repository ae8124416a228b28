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
from biggan_discovery.generators import fast, layout, priors
from biggan_discovery.generators.base import check_truncation
from biggan_discovery.generators.biggan import BigGANBase
from biggan_discovery.generators.biggan_deep_files import CONFIG, Config, read_config, weights_path
from biggan_discovery.generators.layer_range import ALL, LayerRange, to_layer_range
from biggan_discovery.generators.weights import check_tensors, read_tensors

_ROW_TOLERANCE = 1e-6


class BigGANDeep(BigGANBase):
    """A BigGAN-deep generator (Brock et al. 2018, appendix B), in the layout of `pytorch_pretrained_biggan`.

    Layer 0 is the first linear layer, layers 1, 2, ... are the residual blocks; attention and the last convolution
    do not see z. At load the network is converted to its fast implementation, see `fast`, with spectral norms and the
    batch-norm statistics of the truncation folded into the weights.
    z is a normal truncated at ±2, scaled by the truncation.
    When the package interpolates statistics between stored truncations it swaps the two weights, and by rounding also
    at a stored one (0.58); here stored truncations are exact and others are interpolated linearly.

    Args:
        folder: with config.json and pytorch_model.bin (or model.safetensors); optionally classes.json, discovery.json,
            directions.safetensors, factor_predictor.safetensors. See `biggan_deep_files` and `layout`.
        name: see `FrozenGenerator`.
        truncation: in (0, 1].
        dtype: of weights, z and images.

    Raises:
        UserError: a file is missing or broken, contains code, or does not match the others.
    """

    def __init__(self, folder: Path, *, name: str, truncation: float = 1.0, dtype: torch.dtype = torch.float32):
        truncation = check_truncation(truncation)
        config = read_config(folder)
        true_directions, factor_names = _read_directions(folder / layout.DIRECTIONS, config.z_dim)
        settings = layout.read_settings(folder)
        network, sha256 = _read_network(weights_path(folder), config)
        super().__init__(
            _Network(network.double(), truncation).to(dtype),
            folder=folder,
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
        self._folder: Path

    def _read_reference(self) -> tuple[nn.Module, str]:
        network, sha256 = _read_network(weights_path(self._folder), read_config(self._folder))
        return _Reference(network.to(self.dtype), self.truncation), sha256

    def projections(self, layers: LayerRange | str = ALL) -> Tensor:
        """For all layers, only the first linear layer: it sees all of z. See `FrozenGenerator.projections`."""
        reached = to_layer_range(layers, self.num_layers)
        network = cast(_Network, self.network)
        weights: list[Tensor] = [network.first.weight] if reached.first == 0 else []
        if not reached.covers_all:
            chosen = network.blocks[max(reached.first - 1, 0) : reached.last]
            norms = [norm for block in chosen for norm in cast(_Block, block).norms]
            weights += [fast.conditional_weights(norm.weight, norm.bias) for norm in cast(list[fast.Linear], norms)]
        return torch.cat(weights)[:, : self.z_dim]

    def _from_uniform(self, uniform: Tensor) -> Tensor:
        return self.truncation * priors.truncated_normal(uniform)


class _Reference(fast.Network):
    """The package's own layers. All rows of its norms hold the correct statistics, as it interpolates them wrongly."""

    def __init__(self, network: BigGAN, truncation: float):
        super().__init__()
        self.package = network
        for norm in network.modules():
            if isinstance(norm, BigGANBatchNorm):
                rows = (cast(Tensor, norm.running_means), cast(Tensor, norm.running_vars))
                for stored, correct in zip(rows, _statistics(norm, truncation), strict=True):
                    stored[:] = correct

    def finish(self, *state: Tensor) -> Tensor:
        """Images of z and y as `_Network` takes them; the package's own forward takes one z for all layers."""
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
        block: of the package, spectral norms removed.
        truncation: selects the statistics.
        pending_bias: (inputs,), sum of the biases not yet added to x.
    """

    def __init__(self, block: GenBlock, truncation: float, pending_bias: Tensor):
        super().__init__()
        convolutions = [cast(nn.Conv2d, getattr(block, key)) for key in ("conv_0", "conv_1", "conv_2", "conv_3")]
        biases = [pending_bias, *(cast(Tensor, convolution.bias) for convolution in convolutions[:3])]
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
    """The fast implementation of the package's network.

    Args:
        network: of the package, in float64, so that only the result is rounded; it is modified.
        truncation: selects the statistics.
    """

    def __init__(self, network: BigGAN, truncation: float):
        super().__init__()
        for module in network.modules():
            if hasattr(module, "weight_orig"):
                nn.utils.remove_spectral_norm(module)
        generator = network.generator
        # The package multiplies one-hot rows by the weight, which selects its columns.
        self.embedding = nn.Embedding.from_pretrained(network.embeddings.weight.T.contiguous())
        # The first layer's outputs are ordered as in TensorFlow: height, width, channels.
        self.first = fast.Linear(generator.gen_z.weight, generator.gen_z.bias)
        self.width = 16 * generator.config.channel_width
        self.layers = nn.ModuleList()
        self.begins = 0  # layers that `begin` runs
        height = 4
        pending_bias = generator.gen_z.bias.new_zeros(self.width)
        for layer in generator.layers:
            if isinstance(layer, GenBlock):
                self.layers.append(_Block(layer, truncation, pending_bias))
                bias = cast(Tensor, cast(nn.Conv2d, layer.conv_3).bias)
                pending_bias = pending_bias[: len(bias)] + bias
            else:
                self.layers.append(_attention(cast(SelfAttn, layer), pending_bias))
                pending_bias = torch.zeros_like(pending_bias)
            height *= 1 + getattr(layer, "up_sample", False)
            self.begins += height <= fast.SMALL
        norm, rgb = generator.bn, generator.conv_to_rgb
        mean, var = _statistics(norm, truncation)
        gain = norm.weight * (var + norm.eps).rsqrt()
        # The package computes as many output channels as there are inputs, and keeps three.
        weight, bias = cast(Tensor, rgb.weight)[:3].clone(), cast(Tensor, rgb.bias)[:3].clone()
        self.output = fast.ToImages(gain, norm.bias - gain * (mean - pending_bias), weight, bias)

    @property
    def blocks(self) -> list[_Block]:
        """Layers that see z, except the first."""
        return [layer for layer in self.layers if isinstance(layer, _Block)]

    def begin(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """From z (N, z_dim) or (N, layers that see z, z_dim) and y (N,) to activations and the remaining conditions.

        Activations are (N, height, width, channels), conditions (N, 2·z_dim), one for each remaining block.
        """
        z, y = inputs
        embedding = self.embedding(y)
        latents = _latents(z, 1 + len(self.blocks))
        # Layers that see the same z share one condition.
        conditions = [torch.cat((each, embedding), dim=1) for each in (latents[:1] if z.ndim == 2 else latents)]
        conditions = conditions * len(latents) if z.ndim == 2 else conditions
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


def _latents(z: Tensor, num_layers: int) -> Sequence[Tensor]:
    """One (N, z_dim) for each layer."""
    return [z] * num_layers if z.ndim == 2 else z.unbind(1)


def _conditional(norm: BigGANBatchNorm, truncation: float, pending_bias: Tensor) -> fast.Conditional:
    """The package's norm of x + pending_bias."""
    mean, var = _statistics(norm, truncation)
    rate = (var + norm.eps).rsqrt()
    return fast.Conditional(*fast.norm_affine(norm.scale.weight, norm.offset.weight, mean - pending_bias, rate))


def _attention(layer: SelfAttn, pending_bias: Tensor) -> fast.Attention:
    """The package's attention on x + pending_bias."""
    keys = ("snconv1x1_theta", "snconv1x1_phi", "snconv1x1_g", "snconv1x1_o_conv")
    theta, phi, g, o = (cast(Tensor, getattr(layer, key).weight) for key in keys)
    return fast.Attention(theta, phi, g, o * layer.gamma, pending_bias)


def _statistics(norm: BigGANBatchNorm, truncation: float) -> tuple[Tensor, Tensor]:
    """Mean and variance, each (channels,), of the stored truncations 0, 1/(n−1), ..., 1 interpolated linearly."""
    means, variances = cast(Tensor, norm.running_means), cast(Tensor, norm.running_vars)
    position = truncation * (len(means) - 1)
    if abs(position - round(position)) <= _ROW_TOLERANCE:
        position = round(position)
    row = min(int(position), len(means) - 2)
    above = position - row
    return means[row].lerp(means[row + 1], above), variances[row].lerp(variances[row + 1], above)


def _read_network(path: Path, config: Config) -> tuple[BigGAN, str]:
    """The package's network with the weights of a file, and the sha256 of the file."""
    # On the meta device nothing is initialised: a weight that is not in the file could not be used.
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
    check_tensors(state, shapes, path, f"its {CONFIG}")
    network.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    return network, sha256


class _NotDrawn(TorchFunctionMode):
    """Skip random initialisation: on the meta device it does nothing but load torch's compiler."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return args[0] if func in (Tensor.normal_, nn.functional.normalize) else func(*args, **(kwargs or {}))


def _read_weights(path: Path) -> tuple[dict[str, Any], str]:
    """The content of the file, and its sha256, which must be the one recorded when it was downloaded."""
    try:
        with path.open("rb") as file:
            if path.suffix == ".safetensors":
                state, sha256 = load_file(path), hashlib.file_digest(file, "sha256").hexdigest()
            else:
                state, sha256 = read_tensors(file, path)
    except OSError as error:
        raise UserError(f"cannot read the weights {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise UserError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    layout.check_sum(path, sha256)
    return state, sha256


def _read_directions(path: Path, z_dim: int) -> tuple[Tensor | None, tuple[str, ...]]:
    """The known true directions (n, z_dim) and their names; (None, ()) if there is no such file."""
    if not path.exists():
        return None, ()
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if HEADER in header:  # the result of a search that somebody keeps here
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
        raise UserError(f"{path}: the header's 'names' should be a JSON list of {len(directions)} strings")
    return directions.float(), tuple(names)
