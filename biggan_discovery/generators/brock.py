"""BigGAN in the layout of Brock's BigGAN-PyTorch: a state dict `G_ema.pth` or `G.pth`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.generators import fast
from biggan_discovery.generators.base import check_truncation
from biggan_discovery.generators.biggan import BigGANBase, plus_shift
from biggan_discovery.generators.brock_files import MARKS, Config, find_weights, read_config
from biggan_discovery.generators.brock_reference import LAST_EPS, ReferenceNetwork, conditions_of
from biggan_discovery.generators.layer_range import ALL, LayerRange, to_layer_range
from biggan_discovery.generators.layout import CLASSES, beside
from biggan_discovery.generators.weights import check_tensors, read_weights
from biggan_discovery.reading.source import Place

_FIRST_SIZE = 4  # Height and width before the first block.
_FEWEST, _MOST = 3, 7  # Blocks of the networks for 32 and for 512 pixels.
_SOURCE = "its other tensors"
_DEEP = "blocks.0.0.conv4.weight"  # Blocks of BigGAN-deep have four convolutions.
_STATISTIC = re.compile(r"(?P<norm>\.bn\d|output_layer\.0)(\.bn\.stored|(\.bn)?\.running)_(?P<part>mean|var)$")
_COUNTER = re.compile(r"\.(accumulation_counter|num_batches_tracked)$")


class BrockBigGAN(BigGANBase):
    """A BigGAN generator (Brock et al. 2018, appendix B, figure 15) as BigGAN-PyTorch writes it.

    Resolution, widths, attention, classes and where z enters are read from the tensors. In a hierarchical network z
    is cut into one chunk per layer: layer 0, the first linear layer, sees the first chunk, and layer i, the i-th
    block, sees chunk i and the class. Other networks have one layer, which sees all of z.
    Spectral norms (as in the original's eval mode) and batch-norm statistics are folded into the weights at load.
    There is one set of statistics, so truncation scales the latents only: z ~ N(0, truncation²).

    Args:
        path: the weights, or a folder or zip that contains them (a zip is read in memory). G_ema.pth takes precedence
            over G.pth. Optionally with config.json (BN_eps, SN_eps) and classes.json beside the weights.
        name: see `FrozenGenerator`.
        truncation: in (0, 1].
        dtype: of weights, z and images.

    Raises:
        UserError: no weights there, or they are damaged, contain code, or are not those of a BigGAN.
    """

    def __init__(self, path: Path, *, name: str, truncation: float = 1.0, dtype: torch.dtype = torch.float32):
        truncation = check_truncation(truncation)
        weights = find_weights(path)
        config = read_config(weights)
        state, sizes, sha256 = read_checkpoint(weights)
        network = _Network(_Builder(state, sizes, config, weights))
        del state
        super().__init__(
            network.to(dtype),
            folder=cast(Path, beside(weights, CLASSES).parent),
            num_classes=sizes.num_classes,
            name=name,
            z_dim=sizes.num_layers * sizes.chunk,
            num_layers=sizes.num_layers,
            resolution=_FIRST_SIZE * 2**sizes.num_blocks,
            truncation=truncation,
            sha256=sha256,
        )
        self._weights = weights

    def _read_reference(self) -> tuple[nn.Module, str]:
        config = read_config(self._weights)
        state, sizes, sha256 = read_checkpoint(self._weights)
        return ReferenceNetwork(state, sizes.attention, config.bn_eps, config.sn_eps), sha256

    def search_space(self, layers: LayerRange | str = ALL) -> slice:
        """The chunks of z that the layers see; see `FrozenGenerator.search_space`."""
        return to_layer_range(layers, self.num_layers).chunk(self.z_dim)

    def shift(self, z: Tensor, delta: Tensor, layers: LayerRange | str = ALL) -> Tensor:
        """z + delta in the chunks of some layers. Other layers do not see these chunks, so z keeps its shape."""
        reached = to_layer_range(layers, self.num_layers)
        mask = torch.zeros(self.z_dim, dtype=torch.bool, device=delta.device)
        mask[self.search_space(reached)] = True
        return super().shift(z, delta * mask)

    def projections(self, layers: LayerRange | str = ALL) -> Tensor:
        """Chunk by chunk, as no layer sees the chunk of another. See `FrozenGenerator.projections`."""
        reached = to_layer_range(layers, self.num_layers)
        return torch.block_diag(*(of_z for of_z, _ in self._layer_weights(reached)))

    def first_layer(self) -> tuple[Tensor, Tensor]:
        """Of the first chunk of z. See `FrozenGenerator.first_layer`."""
        linear, places = cast(_Network, self.network).linear, (-1, _FIRST_SIZE, _FIRST_SIZE)
        return linear.weight.detach().unflatten(0, places), linear.bias.detach().unflatten(0, places)

    def begin_shifted(self, z: Tensor, y: Tensor, shift: Tensor | None) -> tuple[Tensor, ...]:
        """See `BigGANBase`."""
        latents = [z] * self.num_layers if z.ndim == 2 else z.unbind(1)
        chunks = [latent.chunk(self.num_layers, dim=1)[layer] for layer, latent in enumerate(latents)]
        network = cast(_Network, self.network)
        return network.begin(y, *chunks) if shift is None else network.begin_from(network.shared(y), chunks, shift)

    def class_table(self) -> Tensor | None:
        """See `BigGANBase`."""
        shared = cast(_Network, self.network).shared
        return shared.table.detach() if isinstance(shared, fast.Embedding) else None

    def condition_weights(self, layers: LayerRange) -> tuple[Tensor, Tensor]:
        """See `BigGANBase`. In a network without chunks, the blocks see the class and no z."""
        weights = self._layer_weights(layers)
        if self.num_layers == 1:
            weights += [(w.new_zeros(len(w), 0), w) for w in map(_condition_weight, self._blocks)]
        of_class = torch.cat([of_class for _, of_class in weights])
        of_z = of_class.new_zeros(len(of_class), self.z_dim)
        of_z[:, self.search_space(layers)] = torch.block_diag(*(of_z for of_z, _ in weights))
        return of_z, of_class

    @property
    def _blocks(self) -> list[_Block]:
        return cast(list[_Block], list(cast(_Network, self.network).blocks))

    def _layer_weights(self, reached: LayerRange) -> list[tuple[Tensor, Tensor]]:
        """Of each layer, the weights that meet its chunk of z, and those that meet the class embedding."""
        first: Tensor = cast(_Network, self.network).linear.weight
        table = self.class_table()
        size = 0 if table is None else table.shape[1]
        weights: list[tuple[Tensor, Tensor]] = [(first, first.new_zeros(len(first), size))]
        if self.num_layers > 1:  # The condition is the class embedding, then the chunk.
            weights += [(w[:, size:], w[:, :size]) for w in map(_condition_weight, self._blocks)]
        return weights[reached.first : reached.last + 1]


def _condition_weight(block: _Block) -> Tensor:
    """The weights of both norms of a block that meet its condition."""
    norms = [cast(fast.Conditional, norm) for norm in (block.bn1, block.bn2)]
    return torch.cat([fast.conditional_weights(norm.weight, norm.bias) for norm in norms])


def read_checkpoint(weights: Place) -> tuple[dict[str, Tensor], Sizes, str]:
    """The checked tensors of a file, the architecture, and the file's sha256.

    Raises:
        UserError: see `BrockBigGAN`.
    """
    found, sha256 = read_weights(weights, MARKS)
    if _DEEP in found:
        raise UserError(
            f"{weights} is a BigGAN-deep in the layout of BigGAN-PyTorch, which is not read; it is read in the "
            "layout of pytorch_pretrained_biggan"
        )
    state = _renamed(found)
    sizes = _read_sizes(state, weights)
    return check_tensors(state, _shapes(sizes), weights, _SOURCE), sizes, sha256


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names of the default norm; --mybn and --cross_replica keep statistics one level down."""
    names = {key: _STATISTIC.sub(r"\g<norm>.stored_\g<part>", key) for key in state if not _COUNTER.search(key)}
    return {name: state[key] for key, name in names.items()}


@dataclass(frozen=True)
class Sizes:
    """The architecture.

    Attributes:
        widths: channels into every block, then out of the last.
        attention: indices of the blocks that attention follows.
        chunk: coordinates of z that a layer sees.
        shared_dim: size of the class embedding that all blocks share; None if every norm has its own.
        hierarchical: whether blocks see chunks of z.
        spectral: whether weights are divided by their spectral norms.
    """

    widths: tuple[int, ...]
    attention: tuple[int, ...]
    chunk: int
    num_classes: int
    shared_dim: int | None
    hierarchical: bool
    spectral: bool

    @property
    def num_blocks(self) -> int:
        """Blocks, each of which doubles height and width."""
        return len(self.widths) - 1

    @property
    def num_layers(self) -> int:
        """Layers that see z."""
        return 1 + self.num_blocks * self.hierarchical


def _read_sizes(state: dict[str, Tensor], origin: Place) -> Sizes:
    """The architecture, from the shapes of a few tensors; the others are checked later."""

    def shape(key: str, dimensions: int) -> torch.Size:
        if key not in state:
            raise UserError(f"{origin}: {key} is missing; it should be the state dict of a BigGAN-PyTorch generator")
        found = state[key].shape
        if len(found) != dimensions or 0 in found:
            raise UserError(f"{origin}: {key} has shape {tuple(found)}; it should have {dimensions} dimensions above 0")
        return found

    chunk = shape("linear.weight", 2)[1]
    indices = {
        (int(match[1]), match[2]) for key in state if (match := re.match(r"blocks\.(\d{1,3})\.(\d)\.", str(key)))
    }
    num_blocks = 1 + max((block for block, _ in indices), default=-1)
    if not _FEWEST <= num_blocks <= _MOST:
        raise UserError(f"{origin} has {num_blocks} blocks; it should have {_FEWEST} (32 pixels) to {_MOST} (512)")
    convolutions = [shape(f"blocks.{block}.0.conv1.weight", 4) for block in range(num_blocks)]
    conditions = shape("blocks.0.0.bn1.gain.weight", 2)
    num_classes, shared_dim, hierarchical = conditions[0], None, False
    # Only a linear layer, which takes a shared embedding, can have a spectral norm here.
    if "shared.weight" in state or "blocks.0.0.bn1.gain.u0" in state:
        num_classes, shared_dim = shape("shared.weight", 2)
        hierarchical = conditions[1] != shared_dim
    return Sizes(
        widths=(*(convolution[1] for convolution in convolutions), convolutions[-1][0]),
        attention=tuple(sorted(block for block, part in indices if part == "1")),
        chunk=chunk,
        num_classes=num_classes,
        shared_dim=shared_dim,
        hierarchical=hierarchical,
        spectral=any(str(key).endswith(".u0") for key in state),
    )


def _shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors in the file."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(key: str, *shape: int, bias: bool = True) -> None:
        shapes[f"{key}.weight"] = shape
        if bias:
            shapes[f"{key}.bias"] = shape[:1]
        if sizes.spectral:
            shapes[f"{key}.u0"] = (1, shape[0])
            shapes[f"{key}.sv0"] = (1,)

    def norm(key: str, width: int) -> None:
        for part in ("gain", "bias"):
            if sizes.shared_dim is None:
                shapes[f"{key}.{part}.weight"] = (sizes.num_classes, width)
            else:
                layer(f"{key}.{part}", width, sizes.shared_dim + sizes.chunk * sizes.hierarchical, bias=False)
        for part in ("stored_mean", "stored_var"):
            shapes[f"{key}.{part}"] = (width,)

    if sizes.shared_dim is not None:
        shapes["shared.weight"] = (sizes.num_classes, sizes.shared_dim)
    layer("linear", sizes.widths[0] * _FIRST_SIZE**2, sizes.chunk)
    for block, (inputs, outputs) in enumerate(zip(sizes.widths, sizes.widths[1:], strict=False)):
        key = f"blocks.{block}.0"
        layer(f"{key}.conv1", outputs, inputs, 3, 3)
        layer(f"{key}.conv2", outputs, outputs, 3, 3)
        layer(f"{key}.conv_sc", outputs, inputs, 1, 1)
        norm(f"{key}.bn1", inputs)
        norm(f"{key}.bn2", outputs)
        if block in sizes.attention:
            key = f"blocks.{block}.1"
            shapes[f"{key}.gamma"] = ()
            for part in ("theta", "phi"):
                layer(f"{key}.{part}", outputs // 8, outputs, 1, 1, bias=False)
            layer(f"{key}.g", outputs // 2, outputs, 1, 1, bias=False)
            layer(f"{key}.o", outputs, outputs // 2, 1, 1, bias=False)
    for part in ("gain", "bias", "stored_mean", "stored_var"):
        shapes[f"output_layer.0.{part}"] = sizes.widths[-1:]
    layer("output_layer.2", 3, sizes.widths[-1], 3, 3)
    return shapes


class _Builder:
    """Layers with the weights of a checked state dict, in float64, so that only the result is rounded."""

    def __init__(self, state: dict[str, Tensor], sizes: Sizes, config: Config, origin: Place):
        self.sizes = sizes
        self._state = state
        self._config = config
        self._origin = origin

    def tensor(self, key: str) -> Tensor:
        return self._state[key].double()

    def weight(self, key: str) -> Tensor:
        """A layer's weight over its spectral norm, as one step of the power iteration from the stored u0 finds it.

        The original's eval mode: v = uW/|uW|, u' = vWᵀ/|vWᵀ|, σ = vWᵀu'ᵀ, with lengths of at least SN_eps.
        """
        weight = self.tensor(f"{key}.weight")
        if f"{key}.u0" not in self._state:
            return weight
        matrix = weight.flatten(1)
        right = F.normalize(self.tensor(f"{key}.u0") @ matrix, eps=self._config.sn_eps)
        image = right @ matrix.T
        sigma = (image * F.normalize(image, eps=self._config.sn_eps)).sum()
        if not sigma > 0:
            raise UserError(f"{self._origin}: {key}.weight and {key}.u0 give the spectral norm 0; it should be above")
        return weight / sigma

    def statistics(self, key: str, eps: float) -> tuple[Tensor, Tensor]:
        """Mean and 1/√(var + eps) of a batch norm, each (channels,)."""
        variance = self.tensor(f"{key}.stored_var")
        if (variance < 0).any():
            raise UserError(
                f"{self._origin}: {key}.stored_var has the value {variance.min():g}; it should be 0 or more"
            )
        return self.tensor(f"{key}.stored_mean"), (variance + eps).rsqrt()

    def norm(self, key: str, pending_bias: Tensor) -> fast.Conditional | fast.ByClass:
        """(x + pending_bias − mean)/√(var + eps) · (1 + gain(c)) + bias(c), as one affine map of x."""
        mean, rate = self.statistics(key, self._config.bn_eps)
        mean = mean - pending_bias
        if self.sizes.shared_dim is None:
            gain = (1 + self.tensor(f"{key}.gain.weight")) * rate
            return fast.ByClass(torch.cat((gain, self.tensor(f"{key}.bias.weight") - gain * mean), dim=1))
        return fast.Conditional(*fast.norm_affine(self.weight(f"{key}.gain"), self.weight(f"{key}.bias"), mean, rate))

    def attention(self, key: str, pending_bias: Tensor) -> fast.Attention:
        """Attention on x + pending_bias."""
        theta, phi, g, o = (self.weight(f"{key}.{part}") for part in ("theta", "phi", "g", "o"))
        return fast.Attention(theta, phi, g, o * self.tensor(f"{key}.gamma"), pending_bias)

    def to_images(self, norm: str, convolution: str, pending_bias: Tensor) -> fast.ToImages:
        """Images of x + pending_bias."""
        mean, rate = self.statistics(norm, LAST_EPS)
        gain = self.tensor(f"{norm}.gain") * rate
        shift = self.tensor(f"{norm}.bias") - gain * (mean - pending_bias)
        return fast.ToImages(gain, shift, self.weight(convolution), self.tensor(f"{convolution}.bias"))


class _Block(nn.Module):
    """A residual block that doubles height and width.

    Args:
        build: see there.
        key: of its tensors.
        pending_bias: (inputs,), sum of the biases not yet added to x.
    """

    def __init__(self, build: _Builder, key: str, pending_bias: Tensor):
        super().__init__()
        self.bn1 = build.norm(f"{key}.bn1", pending_bias)
        self.conv1 = fast.Convolution(build.weight(f"{key}.conv1"), upsample=True)
        self.bn2 = build.norm(f"{key}.bn2", build.tensor(f"{key}.conv1.bias"))
        self.conv2 = fast.Convolution(build.weight(f"{key}.conv2"))
        self.conv_sc = fast.Pointwise(build.weight(f"{key}.conv_sc"))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        inner, skip = fast.affine_relu_and_skip(x, self.bn1(condition), x.shape[-1])
        inner = self.conv1(inner)
        inner = self.conv2(fast.affine_relu(inner, self.bn2(condition)))
        # A 1 × 1 convolution gives the same before and after repeating pixels, and has less to do before.
        return fast.plus_upsampled(inner, self.conv_sc(skip))


def _pending_bias_after(build: _Builder, key: str, pending_bias: Tensor) -> Tensor:
    """Sum of the biases (outputs,) not yet added to the output of a block."""
    biases = build.tensor(f"{key}.conv2.bias") + build.tensor(f"{key}.conv_sc.bias")
    return biases + build.weight(f"{key}.conv_sc").flatten(1) @ pending_bias


class _Network(fast.Network):
    def __init__(self, build: _Builder):
        super().__init__()
        sizes = build.sizes
        self.begins = sum(_FIRST_SIZE * 2 ** (block + 1) <= fast.SMALL for block in range(sizes.num_blocks))
        self.width = sizes.widths[0]
        self.shared = nn.Identity() if sizes.shared_dim is None else fast.Embedding(build.tensor("shared.weight"))
        self.linear = fast.Linear(build.weight("linear"), build.tensor("linear.bias"))
        self.blocks, self.attentions = nn.ModuleList(), nn.ModuleList()
        pending_bias = build.tensor("linear.bias").new_zeros(self.width)
        for block in range(sizes.num_blocks):
            self.blocks.append(_Block(build, f"blocks.{block}.0", pending_bias))
            pending_bias = _pending_bias_after(build, f"blocks.{block}.0", pending_bias)
            has_attention = block in sizes.attention
            self.attentions.append(
                build.attention(f"blocks.{block}.1", pending_bias) if has_attention else nn.Identity()
            )
            pending_bias = pending_bias * (not has_attention)
        self.output = build.to_images("output_layer.0", "output_layer.2", pending_bias)

    def begin(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """From y and the chunks of z, one per layer, each (N, chunk), to activations and the blocks' conditions.

        y is (N,) indices, or weights (N, classes) or (N, layers, classes). Activations are (N, height, width,
        channels); conditions, of the remaining blocks, (N, condition).
        """
        y, *chunks = inputs
        conditions = conditions_of(self.shared(y), chunks, len(self.blocks), per_layer=y.ndim == 3)
        return self._from_conditions(chunks, conditions)

    def begin_from(self, embedding: Tensor, chunks: Sequence[Tensor], shift: Tensor) -> tuple[Tensor, ...]:
        """`begin` with class embeddings that a shift is added to, either of which may differ from layer to layer."""
        moved = plus_shift(embedding, shift)
        return self._from_conditions(chunks, conditions_of(moved, chunks, len(self.blocks), per_layer=moved.ndim == 3))

    def _from_conditions(self, chunks: Sequence[Tensor], conditions: list[Tensor]) -> tuple[Tensor, ...]:
        x = self.linear(chunks[0]).unflatten(1, (self.width, _FIRST_SIZE, _FIRST_SIZE))
        x = x.permute(0, 2, 3, 1).contiguous()
        return self._through(slice(0, self.begins), x, *conditions)

    def finish(self, *state: Tensor) -> Tensor:
        """Images (N, 3, height, width)."""
        x, *_ = self._through(slice(self.begins, None), *state)
        return self.output(x)

    def _through(self, part: slice, x: Tensor, *conditions: Tensor) -> tuple[Tensor, ...]:
        """x after some blocks, and the conditions of later ones."""
        left = iter(conditions)
        for block, attention in zip(self.blocks[part], self.attentions[part], strict=True):
            x = attention(block(x, next(left)))
        return x, *left
