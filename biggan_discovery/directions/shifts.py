"""Images as a function of shifts of their latents."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from biggan_discovery.directions.space import pad
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import forward_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.derivatives import Images


def shifted_images(
    generator: FrozenGenerator, z: Tensor, y: Tensor, layers: LayerRange | str = "all"
) -> tuple[Images, Tensor]:
    """Images as a function of shifts (N, coordinates of the search space) of z, and shifts of 0."""
    space = generator.search_space(layers)

    def images(delta: Tensor) -> Tensor:
        return generator(generator.shift(z, pad(delta, space, generator.z_dim), layers), y)

    return images, z.new_zeros(len(z), space.stop - space.start)


@torch.no_grad()
def moved_images(
    generator: FrozenGenerator, Q: Tensor, z: Tensor, y: Tensor, w: Tensor, layers: LayerRange | str = "all"
) -> Iterator[Tensor]:
    """G(z + wQ, y) of one sample for many w, a batch at a time.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        z: (z_dim,) latent.
        y: () class index.
        w: (M, ndirs) coefficients.
        layers: which layers of the generator see the shift.

    Yields:
        (at most a batch, C, H, W) images, in the order of w.
    """
    Q = Q.to(generator.device, generator.dtype)

    def images(part: Tensor) -> Tensor:
        moved = generator.shift(z.expand(len(part), -1), part @ Q, layers)
        return generator(moved, y.expand(len(part)))

    yield from forward_batch(generator).map(images, w.to(Q))


def along_directions(
    generator: FrozenGenerator, Q: Tensor, z: Tensor, y: Tensor, amounts: Tensor, layers: LayerRange | str = "all"
) -> Iterator[Tensor]:
    """Images of one sample at several amounts along each direction, one direction after the other.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        z: (z_dim,) latent.
        y: () class index.
        amounts: (A,) for all directions, or (ndirs, A).
        layers: which layers of the generator see the shift.

    Yields:
        (A, C, H, W) images for each direction. Batches are filled across directions.
    """
    amounts = amounts.expand(len(Q), -1)
    count = amounts.shape[1]
    w = torch.zeros(len(Q), count, len(Q), dtype=amounts.dtype, device=amounts.device)
    w.diagonal(dim1=0, dim2=2).copy_(amounts.T)
    waiting: list[Tensor] = []
    for images in moved_images(generator, Q, z, y, w.flatten(0, 1), layers):
        waiting.extend(images)
        while len(waiting) >= count:
            yield torch.stack(waiting[:count])
            waiting = waiting[count:]
