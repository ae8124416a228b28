"""Pairs of images before and after a step along one direction: training and test data of VP and RCA."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float16, Float32, Int64
from torch import Tensor
from torch.nn import functional

from biggan_discovery.evaluation.metric import Figure, Kind, Metric, Need
from biggan_discovery.evaluation.samples import judging_samples
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import forward_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.progress import Progress

_LEAST = 1 / 12  # of the path size; Voynov and Babenko step 0.5 to 6


@dataclass(frozen=True)
class ShiftPairs:
    """Pairs on the CPU: images (N, C, S, S) float16, which direction (N,), and how far (N,) in units of path size."""

    before: Float16[Tensor, "N C S S"]
    after: Float16[Tensor, "N C S S"]
    direction: Int64[Tensor, " N"]
    amount: Float32[Tensor, " N"]
    ndirs: int

    def __len__(self) -> int:
        return len(self.direction)


def shift_pairs_cost(*, pairs: int) -> int:
    """Forward passes of one image that `shift_pairs` takes."""
    return 2 * pairs


@torch.no_grad()
@arithmetic("float32")
def shift_pairs(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    *,
    classes: list[Class] | None = None,
    path_size: float = 5.0,
    pairs: int = 1500,
    side: int = 32,
    layers: LayerRange | str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> ShiftPairs:
    """Images G(z, y) and G(z + εq, y) for random directions q and ε uniform over η/12 ≤ |ε| ≤ η.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        classes: class indices and soft classes to draw from. Defaults to all.
        path_size: η.
        pairs: how many.
        side: images are averaged down to at most this many pixels a side, so that thousands fit in memory.
        layers: layers of the generator that the directions reach.
        seed: random seed of the samples.
        progress: advanced by one per image.

    Raises:
        UserError: for fewer than two pairs, or a Q that does not fit.
    """
    drawn = judging_samples(generator, Q, classes, samples=pairs, seed=seed, stream=Stream.SHIFT_PAIRS)
    uniform = drawn.w.sum(dim=1)
    direction = drawn.w.abs().argmax(dim=1)
    amount = uniform.sign() * (_LEAST + (1 - _LEAST) * uniform.abs())
    rows = Q.to(drawn.z)

    def both(z: Tensor, y: Tensor, amount: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        step = path_size * amount[:, None] * rows[direction]
        return _reduced(generator(z, y), side), _reduced(generator(generator.shift(z, step, layers), y), side)

    before, after = [], []
    for one, other in forward_batch(generator).map(both, drawn.z, drawn.y, amount, direction):
        before.append(one)
        after.append(other)
        if progress is not None:
            progress.advance(2 * len(one))
    return ShiftPairs(torch.cat(before), torch.cat(after), direction.cpu(), amount.float().cpu(), len(Q))


def _reduced(images: Float[Tensor, "N C H W"], side: int) -> Float16[Tensor, "N C S S"]:
    factor = -(-max(images.shape[2:]) // side)
    return (functional.avg_pool2d(images, factor, ceil_mode=True) if factor > 1 else images).half().cpu()


PAIRS = Figure(
    "image pairs", "image pairs", "Images before and after a step along one direction.", kind=Kind.INTERMEDIATE
)
IMAGE_PAIRS = Metric(
    "image pairs",
    figures=(PAIRS,),
    presets={"quick": {"pairs": 800, "side": 32}, "full": {"pairs": 10_000, "side": 64}},
    cost=lambda view: shift_pairs_cost(pairs=view.sizes["pairs"]),
    measure=lambda view: {
        PAIRS: shift_pairs(view.generator, view.Q, path_size=view.path_size, **view.sizes, **view.sampling)
    },
    needs=frozenset({Need.TWO_DIRECTIONS}),
)
