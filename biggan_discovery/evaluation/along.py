"""Samples to judge directions on, and the images of each sample moved along each direction, as a stream."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import check_samples
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.samples import Purpose, Samples, draw
from biggan_discovery.objectives.through_directions import micro_batch


def judging_samples(
    generator: FrozenGenerator,
    Q: Tensor,
    classes: list[int] | None,
    *,
    samples: int,
    seed: int,
    purpose: Purpose,
    path_size: float = 1.0,
) -> Samples:
    """z, y and one-hot w of samples that no search has seen; z and y are the same for every Q.

    Raises:
        UserError: for fewer than two samples, or a Q that does not fit the generator.
    """
    check_samples(samples)
    if Q.ndim != 2 or not len(Q) or Q.shape[1] != generator.z_dim:
        raise UserError(f"Q has shape {tuple(Q.shape)}; directions for this generator are (ndirs, {generator.z_dim})")
    return draw(
        generator,
        list(range(generator.num_classes)) if classes is None else classes,
        len(Q),
        count=samples,
        probes=0,
        path_size=path_size,
        seed=seed,
        purpose=purpose,
        step=0,
    )


@torch.no_grad()
def moved_images(
    generator: FrozenGenerator, Q: Tensor, z: Tensor, y: Tensor, w: Tensor, layers: str = "all"
) -> Iterator[Tensor]:
    """G(z + wQ, y) of one sample for many w, a micro-batch at a time.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        z: (z_dim,) latent.
        y: () class index.
        w: (M, ndirs) coefficients.
        layers: which layers of the generator see the shift.

    Yields:
        (at most a micro-batch, C, H, W) images, in the order of w.
    """
    Q = Q.to(generator.device, generator.dtype)
    for part in w.to(Q).split(micro_batch(generator)):
        moved = generator.shift(z.expand(len(part), -1), part @ Q, layers)
        yield generator(moved, y.expand(len(part)))


def along_directions(
    generator: FrozenGenerator, Q: Tensor, z: Tensor, y: Tensor, amounts: Tensor, layers: str = "all"
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
        (A, C, H, W) images for each direction. Micro-batches are filled across directions.
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
