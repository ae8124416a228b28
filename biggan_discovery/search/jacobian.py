"""Right-singular vectors of a generator's Jacobian, by products with it and its transpose (Ramesh et al. 2018)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from tqdm import tqdm

from biggan_discovery.directions.space import check_count, pad
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.samples import Purpose, draw
from biggan_discovery.objectives.through_directions import micro_batch
from biggan_discovery.progress import Progress
from biggan_discovery.search.closed_form import ClosedForm, fixed_signs, strongest

_TOLERANCE = 1e-5  # of the largest eigenvalue; float32 products are good to about 1e-6


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


def shifted_images(
    generator: FrozenGenerator, z: Tensor, y: Tensor, layers: str = "all"
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Images as a function of shifts (N, coordinates of the search space) of z, and shifts of 0."""
    space = generator.search_space(layers)

    def images(delta: Tensor) -> Tensor:
        return generator(generator.shift(z, pad(delta, space, generator.z_dim), layers), y)

    return images, z.new_zeros(len(z), space.stop - space.start)


class Products:
    """Products with JᵀJ, and what they cost.

    Attributes:
        evaluations: so far; a forward pass, a backward pass and a forward-mode tangent of one image count 1 each.
    """

    def __init__(self) -> None:
        self.evaluations = 0
        self._differentiate = self._by_forward_mode

    def __call__(self, G: Callable[[Tensor], Tensor], z: Tensor, columns: Tensor) -> Tensor:
        """JᵀJ of every row of z times its own vectors, one vector after the other.

        Args:
            G: see `jacobian`.
            z: (N, dim), where to take J.
            columns: (N, dim, b), of lengths about 1.

        Returns:
            (N, dim, b) float64.

        Raises:
            UserError: where G's output does not depend on z differentiably.
        """
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            output = G(z)
        if not output.requires_grad:
            raise UserError("the output of G does not depend on z differentiably; has it been detached?")
        self.evaluations += len(z)
        products = []
        for vectors in columns.to(z).unbind(-1):
            with torch.no_grad():
                derivative = self._differentiate(G, z, vectors)
            products.append(torch.autograd.grad(output, z, derivative, retain_graph=True)[0].double())
            self.evaluations += 3 * len(z)
        return torch.stack(products, dim=-1)

    def _by_forward_mode(self, G: Callable[[Tensor], Tensor], z: Tensor, vectors: Tensor) -> Tensor:
        try:
            with forward_ad.dual_level(), warnings.catch_warnings():
                # The first dual makes torch register what it does in deprecated ways of its own.
                warnings.simplefilter("ignore", DeprecationWarning)
                derivative = forward_ad.unpack_dual(G(forward_ad.make_dual(z, vectors))).tangent
            if derivative is None:
                raise NotImplementedError("the output has no tangent")
        except (NotImplementedError, RuntimeError) as error:
            self._differentiate = _by_differences
            reason = " ".join(str(error).split())[:120]
            tqdm.write(f"central differences replace forward-mode derivatives: {reason}", file=sys.stderr)
            return _by_differences(G, z, vectors)
        return derivative


def _by_differences(G: Callable[[Tensor], Tensor], z: Tensor, vectors: Tensor) -> Tensor:
    step = torch.finfo(z.dtype).eps ** (1 / 3)  # balances rounding and curvature
    return (G(z + step * vectors) - G(z - step * vectors)) / (2 * step)


def leading_eigenvectors(multiply: Callable[[Tensor], Tensor], start: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Leading eigenvalues and eigenvectors of positive semidefinite matrices that are known by products only.

    Block Lanczos, kept orthogonal and never restarted: what the products leave of the wanted vectors is added to the
    basis until it is below 1e-5 of the largest eigenvalue, or until the basis is complete and the result exact.

    Args:
        multiply: from columns (..., dim, b) to the matrices' products with them.
        start: (..., dim, b), b ≥ `count`, of full rank: the better the guess, the fewer products.
        count: how many, at most dim.

    Returns:
        Eigenvalues (..., count), largest first, and eigenvectors (..., dim, count), float64.
    """
    basis = torch.linalg.qr(start.double()).Q
    images = multiply(basis)
    while True:
        projected = basis.mT @ images
        values, coordinates = strongest((projected + projected.mT) / 2)
        values, coordinates = values[..., :count], coordinates[..., :count]
        vectors = basis @ coordinates
        residuals = images @ coordinates - vectors * values[..., None, :]
        wanting = torch.linalg.vector_norm(residuals, dim=-2) > _TOLERANCE * values[..., :1]
        dim, width = basis.shape[-2:]
        if width == dim or not wanting.any():
            return values.clamp(min=0), vectors
        rest = residuals[..., wanting.reshape(-1, count).any(dim=0)][..., : dim - width]
        added = torch.linalg.qr(torch.cat((basis, rest), dim=-1)).Q[..., width:]
        basis, images = torch.cat((basis, added), dim=-1), torch.cat((images, multiply(added)), dim=-1)


def _of_mean(
    products: Products,
    parts: list[tuple[Callable[[Tensor], Tensor], Tensor]],
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
            result += products(G, z, columns.expand(len(z), -1, -1)).sum(dim=0).cpu()
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
