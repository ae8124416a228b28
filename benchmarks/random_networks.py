"""BigGANs with random weights in the layouts of the published files, with well-scaled activations in every layer.

Batch-norm statistics are measured on a few images while the network is created, so that activations are of order 1 and
images are not saturated, as in a trained network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from pytorch_pretrained_biggan import BigGAN, BigGANConfig
from pytorch_pretrained_biggan.model import BigGANBatchNorm
from torch import Tensor, nn

_SAMPLES = 4  # Images for batch-norm statistics.
_ITERATIONS = 4  # Power iterations for the stored singular vectors.


class Made(NamedTuple):
    """The number of parameters, and images (N, 3, R, R) computed by plain layers from z (N, z_dim) and y (N,)."""

    parameters: int
    z: Tensor
    y: Tensor
    images: Tensor


@torch.no_grad()
def save_biggan_deep(folder: Path, config: dict[str, Any], seed: int = 0) -> Made:
    """Save a random BigGAN-deep as `pytorch_pretrained_biggan` publishes it: config.json and pytorch_model.bin.

    Args:
        folder: created if missing.
        config: arguments of the package's `BigGANConfig`.
        seed: random seed of the weights.

    Returns:
        The images are those of the package's own network at truncation 1.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.device("meta"):  # Skips the package's slow initialization.
        network = BigGAN(BigGANConfig(**config))
    network.to_empty(device="cpu").eval()
    for name, weight in network.named_parameters():
        _fill(name, weight, random)
    for module in network.modules():
        if hasattr(module, "weight_orig"):
            _set_singular_vectors(module, random)
    z = nn.init.trunc_normal_(torch.empty(_SAMPLES, network.config.z_dim), a=-2, b=2, generator=random)
    y = torch.randint(network.config.num_classes, (_SAMPLES,), generator=random)
    images = _with_statistics(network, z, F.one_hot(y, network.config.num_classes).float())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(network.config.to_json_string())
    # The published files are in the format used before PyTorch 1.6.
    torch.save(network.state_dict(), folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    return Made(sum(weight.numel() for weight in network.parameters()), z, y, images)


def _fill(name: str, weight: Tensor, random: torch.Generator) -> None:
    if name.endswith("weight_orig"):
        weight.normal_(generator=random).mul_(weight[0].numel() ** -0.5)
    elif name.endswith("gamma"):
        weight.fill_(0.5)
    elif name == "generator.bn.weight":
        weight.uniform_(0.8, 1.2, generator=random)
    elif name.endswith("bias"):
        weight.normal_(std=0.1, generator=random)
    else:
        weight.normal_(generator=random)


def _set_singular_vectors(layer: Any, random: torch.Generator) -> None:
    matrix = layer.weight_orig.flatten(1)
    layer.weight_u.copy_(_left_singular_vector(matrix, random))
    layer.weight_v.copy_(F.normalize(layer.weight_u @ matrix, dim=0))


def _left_singular_vector(matrix: Tensor, random: torch.Generator) -> Tensor:
    """An approximate first left singular vector, as after training."""
    left = torch.randn(len(matrix), generator=random)
    for _ in range(_ITERATIONS):
        left = F.normalize(matrix @ (left @ matrix), dim=0)
    return left


def _with_statistics(network: BigGAN, z: Tensor, classes: Tensor) -> Tensor:
    """Fill in batch-norm statistics: measured at truncations 0 and 1, interpolated in between with the variance of z.

    Returns:
        The images at truncation 1.
    """
    norms: list[Any] = [module for module in network.modules() if isinstance(module, BigGANBatchNorm)]
    hooks = [norm.register_forward_pre_hook(_measure) for norm in norms]
    network(0 * z, classes, 1.0)
    for norm in norms:
        norm.running_means[0], norm.running_vars[0] = norm.running_means[-1], norm.running_vars[-1]
    images = network(z, classes, 1.0)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        share = torch.linspace(0, 1, len(norm.running_means))[:, None] ** 2
        for rows in (norm.running_means, norm.running_vars):
            rows.copy_(rows[0].lerp(rows[-1], share))
    return images


def _measure(norm: Any, inputs: tuple[Tensor, ...]) -> None:
    """Store the statistics of the input as those of truncation 1."""
    norm.running_vars[-1], norm.running_means[-1] = torch.var_mean(inputs[0], dim=(0, 2, 3))


@torch.no_grad()
def save_brock(folder: Path, settings: dict[str, Any], seed: int = 0) -> Made:
    """Save a random BigGAN as BigGAN-PyTorch does: G_ema.pth.

    Args:
        folder: created if missing.
        settings: settings under their original names: G_ch, widths (in multiples of G_ch: the input of every block,
            then the output of the last), G_attn (a size in pixels), dim_z, shared_dim, n_classes. The network is
            hierarchical, with a shared embedding and spectral norm.
        seed: random seed of the weights.
    """
    random = torch.Generator().manual_seed(seed)
    maker = _Brock(settings, random)
    z = torch.randn(_SAMPLES, settings["dim_z"], generator=random)
    y = torch.randint(settings["n_classes"], (_SAMPLES,), generator=random)
    images = maker.images(z, y)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(maker.tensors, folder / "G_ema.pth")
    buffers = (".u0", ".sv0", ".stored_mean", ".stored_var")
    return Made(sum(each.numel() for key, each in maker.tensors.items() if not key.endswith(buffers)), z, y, images)


class _Brock:
    """Creates the tensors of every layer just before images pass through it."""

    def __init__(self, settings: dict[str, Any], random: torch.Generator):
        self.settings = settings
        self.random = random
        self.tensors: dict[str, Tensor] = {}

    def images(self, z: Tensor, y: Tensor) -> Tensor:
        widths = [self.settings["G_ch"] * width for width in self.settings["widths"]]
        first, *chunks = z.chunk(len(widths), dim=1)
        classes, size = self.settings["n_classes"], self.settings["shared_dim"]
        embedding = self._keep("shared.weight", self._normal(classes, size))[y]
        x = self._linear("linear", first, 16 * widths[0]).unflatten(1, (widths[0], 4, 4))
        for block, chunk in enumerate(chunks):
            x = self._block(f"blocks.{block}.0", x, torch.cat((embedding, chunk), dim=1), widths[block + 1])
            if x.shape[-1] == self.settings["G_attn"]:
                x = self._attention(f"blocks.{block}.1", x)
        gain = self._keep("output_layer.0.gain", 1 + 0.1 * self._normal(widths[-1]))
        shift = self._keep("output_layer.0.bias", 0.1 * self._normal(widths[-1]))
        x = self._normalized("output_layer.0", x) * gain[:, None, None] + shift[:, None, None]
        return self._convolution("output_layer.2", x.relu(), 3, 3).tanh()

    def _block(self, key: str, x: Tensor, condition: Tensor, width: int) -> Tensor:
        inner = F.interpolate(self._norm(f"{key}.bn1", x, condition).relu(), scale_factor=2)
        inner = self._convolution(f"{key}.conv1", inner, width, 3)
        inner = self._norm(f"{key}.bn2", inner, condition).relu()
        inner = self._convolution(f"{key}.conv2", inner, width, 3)
        return inner + self._convolution(f"{key}.conv_sc", F.interpolate(x, scale_factor=2), width, 1)

    def _attention(self, key: str, x: Tensor) -> Tensor:
        width = x.shape[1]
        queries, keys, values = (
            self._convolution(f"{key}.{part}", x, size, 1, bias=False)
            for part, size in (("theta", width // 8), ("phi", width // 8), ("g", width // 2))
        )
        keys, values = (F.max_pool2d(each, 2).flatten(2) for each in (keys, values))
        looks = torch.softmax(queries.flatten(2).transpose(1, 2) @ keys, dim=-1)
        seen = (values @ looks.transpose(1, 2)).unflatten(2, x.shape[2:])
        gamma = self._keep(f"{key}.gamma", torch.tensor(0.5))
        return x + gamma * self._convolution(f"{key}.o", seen, width, 1, bias=False)

    def _norm(self, key: str, x: Tensor, condition: Tensor) -> Tensor:
        gain, shift = (self._linear(f"{key}.{part}", condition, x.shape[1], bias=False) for part in ("gain", "bias"))
        return self._normalized(key, x) * (1 + gain[:, :, None, None]) + shift[:, :, None, None]

    def _normalized(self, key: str, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(x, dim=(0, 2, 3))
        self._keep(f"{key}.stored_mean", mean)
        self._keep(f"{key}.stored_var", var)
        return (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()

    def _linear(self, key: str, x: Tensor, outputs: int, bias: bool = True) -> Tensor:
        return F.linear(x, *self._layer(key, (outputs, x.shape[1]), bias))

    def _convolution(self, key: str, x: Tensor, outputs: int, size: int, bias: bool = True) -> Tensor:
        return F.conv2d(x, *self._layer(key, (outputs, x.shape[1], size, size), bias), padding=size // 2)

    def _layer(self, key: str, shape: tuple[int, ...], bias: bool) -> tuple[Tensor, Tensor | None]:
        """Weight over its spectral norm, and bias, of a new layer."""
        weight = self._keep(f"{key}.weight", self._normal(*shape))
        weight *= weight[0].numel() ** -0.5
        matrix = weight.flatten(1)
        left = _left_singular_vector(matrix, self.random)
        self._keep(f"{key}.u0", left[None])
        # One step from u0, which the original takes in eval mode too.
        sigma = torch.linalg.vector_norm(matrix @ F.normalize(left @ matrix, dim=0))
        self._keep(f"{key}.sv0", sigma[None])
        return weight / sigma, self._keep(f"{key}.bias", 0.1 * self._normal(shape[0])) if bias else None

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.random)

    def _keep(self, key: str, tensor: Tensor) -> Tensor:
        self.tensors[key] = tensor
        return tensor
