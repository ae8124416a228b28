"""BigGAN-deep in the layout of `pytorch_pretrained_biggan`: a folder with config.json and pytorch_model.bin."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_pretrained_biggan import BigGAN, BigGANConfig
from pytorch_pretrained_biggan.model import BigGANBatchNorm, GenBlock
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.generators import layout
from biggan_discovery.generators.base import FrozenGenerator, check_truncation, conditional_weights, linear_by_row
from biggan_discovery.generators.layers import ALL, parse_layers
from biggan_discovery.generators.weights import check_tensors, read_tensors

_CUT = 2.0  # BigGAN's latents are normals cut at two standard deviations, then scaled by the truncation.
_ROW_TOLERANCE = 1e-6
_NORMS = ("bn_0", "bn_1", "bn_2", "bn_3")  # of a block


class BigGANDeep(FrozenGenerator):
    """A BigGAN-deep generator (Brock et al. 2018, appendix B), run by the layers of `pytorch_pretrained_biggan`.

    Layer 0 is the first linear layer, layers 1, 2, ... are the residual blocks; attention and the last convolution
    do not see z. Spectral norms and the batch-norm statistics of the truncation are worked into the weights at load.
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
        # In float64, so that the only rounding is that of the result.
        _bake(network.double(), truncation)
        super().__init__(
            network.to(dtype),
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
        self._channel_width = config.channel_width

    def _images(self, z: Tensor, y: Tensor) -> Tensor:
        network = cast(BigGAN, self.network)
        # The package multiplies one-hot rows with the weight; that is a choice of its columns.
        embedding = network.embeddings.weight.T[y]
        if z.ndim == 2:
            conditions = [torch.cat((z, embedding), dim=1)] * self.num_layers
        else:
            conditions = [torch.cat((z[:, layer], embedding), dim=1) for layer in range(self.num_layers)]
        generator = network.generator
        # The first layer's features are ordered as in TensorFlow: height, width, channels.
        x = (
            linear_by_row(conditions[0], generator.gen_z.weight, generator.gen_z.bias)
            .view(len(z), 4, 4, 16 * self._channel_width)
            .permute(0, 3, 1, 2)
            .contiguous()
        )
        blocks = iter(conditions[1:])
        for layer in generator.layers:
            x = layer(x, next(blocks), self.truncation) if isinstance(layer, GenBlock) else layer(x)
        return generator.conv_to_rgb(generator.bn(x).relu()).tanh()

    def projections(self, layers: str = ALL) -> Tensor:
        """Of all layers, the first linear one alone: it sees all of z. See `FrozenGenerator.projections`."""
        reached = parse_layers(layers, self.num_layers)
        generator = cast(BigGAN, self.network).generator
        blocks = [layer for layer in generator.layers if isinstance(layer, GenBlock)]
        weights = [generator.gen_z.weight] if reached.first == 0 else []
        if not reached.are_all:
            chosen = blocks[max(reached.first - 1, 0) : reached.last]
            affines = [getattr(block, key).affine for block in chosen for key in _NORMS]
            weights += [conditional_weights(affine.weight, affine.bias) for affine in affines]
        return torch.cat(weights)[:, : self.z_dim]

    def _quantile(self, uniform: Tensor) -> Tensor:
        low = torch.special.ndtr(torch.tensor(-_CUT, dtype=uniform.dtype, device=uniform.device))
        return self.truncation * torch.special.ndtri(low + uniform * (1 - 2 * low))


class _ConditionalNorm(nn.Module):
    """A conditional batch norm with known statistics, which is one affine map of x per channel and image.

    (x − mean)/√(var + eps) · (1 + scale(c)) + offset(c) = x · gain(c) + shift(c), gain and shift affine in c.
    """

    def __init__(self, norm: BigGANBatchNorm, mean: Tensor, var: Tensor):
        super().__init__()
        rate = (var + norm.eps).rsqrt()
        gain = norm.scale.weight * rate[:, None]
        shift = norm.offset.weight - gain * mean[:, None]
        self.affine = nn.Linear(gain.shape[1], 2 * len(gain), device="meta")
        self.affine.weight = nn.Parameter(torch.cat((gain, shift)))
        self.affine.bias = nn.Parameter(torch.cat((rate, -mean * rate)))

    def forward(self, x: Tensor, truncation: float, condition: Tensor) -> Tensor:  # noqa: ARG002
        """Called by the package's blocks, with a truncation that has been worked in already."""
        gain, shift = linear_by_row(condition, self.affine.weight, self.affine.bias)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, gain)


def _bake(network: BigGAN, truncation: float) -> None:
    """Work spectral norms and the statistics of one truncation into the weights, in place."""
    for module in network.modules():
        if hasattr(module, "weight_orig"):
            nn.utils.remove_spectral_norm(module)
    for block in network.generator.layers:
        if isinstance(block, GenBlock):
            for key in _NORMS:
                norm = getattr(block, key)
                setattr(block, key, _ConditionalNorm(norm, *_statistics(norm, truncation)))
    network.generator.bn = _plain_norm(network.generator.bn, truncation)
    # The package computes as many output channels as there are inputs, and keeps three.
    rgb: Any = network.generator.conv_to_rgb
    rgb.weight, rgb.bias = nn.Parameter(rgb.weight[:3].clone()), nn.Parameter(rgb.bias[:3].clone())


def _plain_norm(norm: BigGANBatchNorm, truncation: float) -> Any:
    """The last norm, which does not see z. (Any, as it takes the place of another class.)"""
    mean, var = _statistics(norm, truncation)
    plain = nn.BatchNorm2d(len(mean), eps=norm.eps, dtype=mean.dtype)
    state = {"weight": norm.weight, "bias": norm.bias, "running_mean": mean, "running_var": var}
    plain.load_state_dict(state, strict=False)  # Not strict for num_batches_tracked, which eval mode does not use.
    return plain


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
    with torch.device("meta"):
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
            directions = file.get_tensor("directions")
            names = json.loads((file.metadata() or {}).get("names", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"cannot read the true directions in {path}: {error}") from error
    if directions.ndim != 2 or directions.shape[1] != z_dim or not directions.is_floating_point():
        raise UserError(f"{path}: 'directions' has shape {tuple(directions.shape)}; it should be (n, {z_dim}) floats")
    if not directions.isfinite().all():
        raise UserError(f"{path}: 'directions' holds values that are not finite")
    if not isinstance(names, list) or len(names) != len(directions) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: the header's 'names' should be a JSON list of {len(directions)} texts")
    return directions.float(), tuple(names)
