"""Right-singular vectors of a generator's Jacobian, by products with it and its transpose (Ramesh et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.directions.eigenvectors import leading_eigenvectors
from biggan_discovery.directions.shifts import Images, Products, shifted_images
from biggan_discovery.directions.space import check_count
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.samples import Purpose, draw
from biggan_discovery.objectives.through_directions import micro_batch
from biggan_discovery.progress import Progress
from biggan_discovery.search.closed_form import ClosedForm, fixed_signs


def jacobian(
    G: Callable[..., Tensor], z: Tensor, ndirs: int | None = None, *, seed: int = 0, **G_kwargs: Any
) -> ClosedForm:
    """Leading right-singular vectors of the Jacobian J of G, or of the mean of JᵀJ over several z.

    They are the directions in which the output moves fastest (Ramesh, Choi & LeCun 2018, "A Spectral Regularizer for
    Unsupervised Disentanglement", section 2). Neither J nor JᵀJ is ever formed: only products with them are, forward
    mode for J, reverse mode for Jᵀ.

    Args:
        G: called as G(z, **G_kwargs); row n of its output (N, ...) depends on row n of z alone.
        z: (N, dim) floating.
        ndirs: number of directions, 1 to dim; dim where None.
        seed: of the random start.
        G_kwargs: handed to G.

    Returns:
        `A` orthonormal; `values` "singular_values": of J for one z, else the roots of the eigenvalues of the mean JᵀJ.
        Products cost 3 evaluations for each vector and z, and 1 more for each z. Where G does not support forward
        mode, which is said in one line on stderr, central differences take its place at the same cost.

    Raises:
        UserError: for another z, ndirs out of range, or an output that does not depend on z differentiably.
    """
    if not isinstance(z, Tensor) or z.ndim != 2 or not z.numel() or not z.is_floating_point():
        raise UserError("z should be a floating tensor (N, dim) with at least one element")
    return _of_mean(Products(), [(lambda each: G(each, **G_kwargs), z)], ndirs, seed, None)


def jacobian_directions(
    generator: FrozenGenerator,
    ndirs: int | None = None,
    *,
    classes: list[int] | None = None,
    layers: str = "all",
    seed: int = 0,
    samples: int = 32,
    quiet: bool = False,
) -> ClosedForm:
    """`jacobian` of the images with respect to a shift of z that some layers see, averaged over latents and classes.

    Args:
        generator: any.
        ndirs: number of directions; as many as coordinates of the search space where None.
        classes: class indices to draw from; all where None.
        layers: which layers see the shift.
        seed: of latents, classes and start.
        samples: how many latents; with one, the directions are those at that latent.
        quiet: no progress.

    Raises:
        UserError: ndirs or samples out of range, no such layers, or images that do not depend on z differentiably.
    """
    if samples < 1:
        raise UserError(f"samples is {samples}; it should be 1 or more")
    classes = list(range(generator.num_classes)) if classes is None else classes
    drawn = draw(
        generator, classes, 1, count=samples, probes=2, path_size=1.0, seed=seed, purpose=Purpose.SEARCH, step=0
    )
    width = micro_batch(generator)
    batches = zip(drawn.z.split(width), drawn.y.split(width), strict=True)
    parts = [shifted_images(generator, z, y, layers) for z, y in batches]
    dim = parts[0][1].shape[1]
    with Progress(samples * dim, "multiplying", unit="product", quiet=quiet) as progress:
        return _of_mean(Products(), parts, ndirs, seed, progress)


def _of_mean(
    products: Products,
    parts: list[tuple[Images, Tensor]],
    ndirs: int | None,
    seed: int,
    progress: Progress | None,
) -> ClosedForm:
    """`jacobian` for functions and points (N, dim), part by part."""
    samples, dim = sum(len(z) for _, z in parts), parts[0][1].shape[1]
    count = dim if ndirs is None else ndirs
    check_count(count, dim)
    left = samples * dim

    def multiply(columns: Tensor) -> Tensor:
        nonlocal left
        result = torch.zeros_like(columns)
        for G, z in parts:
            result += products(G, z, columns.expand(len(z), -1, -1)).sum(dim=0)
            done = len(z) * columns.shape[1]
            left -= done
            if progress is not None:
                progress.advance(done)
        return result / samples

    start = torch.randn(dim, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values, vectors = leading_eigenvectors(multiply, start, count)
    if progress is not None:
        progress.advance(left)  # Products that were not needed.
    return ClosedForm(fixed_signs(vectors.T).float(), {"singular_values": values.sqrt().tolist()}, products.evaluations)
