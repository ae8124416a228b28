"""The reference implementation of BigGAN-PyTorch's generator, layer by layer as the original computes it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from biggan_discovery.generators import fast

LAST_EPS = 1e-5  # The original keeps the default for the last norm, whatever BN_eps is.


def conditions_of(embedding: Tensor, chunks: Sequence[Tensor], blocks: int, *, per_layer: bool) -> list[Tensor]:
    """The condition of each block: the class embedding, and in a hierarchical network the block's chunk of z.

    Args:
        embedding: (N, size), or indices (N,) where norms have embeddings of their own; with `per_layer`
            (N, len(chunks), size).
        chunks: of z, one per layer.
        blocks: number of blocks.
        per_layer: whether layers have embeddings of their own; the first layer's is not seen.
    """
    embeddings = embedding.unbind(1) if per_layer else [embedding] * len(chunks)
    pairs = list(zip(embeddings, chunks, strict=True))[1:]
    return [torch.cat(pair, dim=1) for pair in pairs] or [embeddings[0]] * blocks


def _rows(table: Tensor, y: Tensor) -> Tensor:
    """Rows of a table for indices, or their weighted sums."""
    return y @ table if y.is_floating_point() else table[y]


class ReferenceNetwork(fast.Network):
    """A generator of BigGAN-PyTorch in eval mode.

    Args:
        state: its checked state dict.
        attention: indices of the blocks that attention follows.
        bn_eps: of all norms but the last.
        sn_eps: of spectral norms.
    """

    def __init__(self, state: dict[str, Tensor], attention: Sequence[int], bn_eps: float, sn_eps: float):
        super().__init__()
        # Names of buffers must not contain dots.
        self._names = {key: key.replace(".", "/") for key in state}
        for key, name in self._names.items():
            self.register_buffer(name, state[key])
        self.num_blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
        self.attention, self.bn_eps, self.sn_eps = tuple(attention), bn_eps, sn_eps

    def finish(self, *state: Tensor) -> Tensor:
        """Images of y, see `BrockBigGAN`, and the chunks of z, one per layer, each (N, chunk)."""
        y, *chunks = state
        embedding = _rows(self._tensor("shared.weight"), y) if "shared.weight" in self._names else y
        conditions = conditions_of(embedding, chunks, self.num_blocks, per_layer=y.ndim == 3)
        x = F.linear(chunks[0], self._weight("linear"), self._tensor("linear.bias")).view(len(y), -1, 4, 4)
        for block, condition in enumerate(conditions):
            x = self._block(f"blocks.{block}.0", x, condition)
            if block in self.attention:
                x = self._attend(f"blocks.{block}.1", x)
        gain, bias = self._tensor("output_layer.0.gain"), self._tensor("output_layer.0.bias")
        x = F.batch_norm(x, *self._statistics("output_layer.0"), gain, bias, eps=LAST_EPS).relu()
        return self._convolve("output_layer.2", x).tanh()

    def _block(self, key: str, x: Tensor, condition: Tensor) -> Tensor:
        inner = F.interpolate(self._norm(f"{key}.bn1", x, condition).relu(), scale_factor=2)
        inner = self._norm(f"{key}.bn2", self._convolve(f"{key}.conv1", inner), condition).relu()
        skip = self._convolve(f"{key}.conv_sc", F.interpolate(x, scale_factor=2))
        return self._convolve(f"{key}.conv2", inner) + skip

    def _attend(self, key: str, x: Tensor) -> Tensor:
        queries = self._convolve(f"{key}.theta", x).flatten(2)
        keys, values = (F.max_pool2d(self._convolve(f"{key}.{part}", x), 2).flatten(2) for part in ("phi", "g"))
        weights = torch.bmm(queries.transpose(1, 2), keys).softmax(dim=-1)
        attended = torch.bmm(values, weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self._tensor(f"{key}.gamma") * self._convolve(f"{key}.o", attended)

    def _norm(self, key: str, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = (self._condition(f"{key}.{part}", condition)[:, :, None, None] for part in ("gain", "bias"))
        return F.batch_norm(x, *self._statistics(key), eps=self.bn_eps) * (1 + gain) + bias

    def _condition(self, key: str, condition: Tensor) -> Tensor:
        if "shared.weight" in self._names:
            return F.linear(condition, self._weight(key))
        return _rows(self._tensor(f"{key}.weight"), condition)

    def _convolve(self, key: str, x: Tensor) -> Tensor:
        weight = self._weight(key)
        bias = self._tensor(f"{key}.bias") if f"{key}.bias" in self._names else None
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)

    def _weight(self, key: str) -> Tensor:
        """A weight divided by its spectral norm, which one step of power iteration finds at every call."""
        weight = self._tensor(f"{key}.weight")
        if f"{key}.u0" not in self._names:
            return weight
        right = F.normalize(self._tensor(f"{key}.u0") @ weight.flatten(1), eps=self.sn_eps)
        image = right @ weight.flatten(1).T
        return weight / (image @ F.normalize(image, eps=self.sn_eps).T)

    def _statistics(self, key: str) -> tuple[Tensor, Tensor]:
        return self._tensor(f"{key}.stored_mean"), self._tensor(f"{key}.stored_var")

    def _tensor(self, key: str) -> Tensor:
        return self.get_buffer(self._names[key])
