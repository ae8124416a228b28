"""Leading eigenvectors of symmetric matrices, dense or known by their products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Multiply = Callable[[Tensor], Tensor]


def strongest(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (..., n), largest first, and in columns the eigenvectors (..., n, n) of symmetric matrices."""
    values, vectors = torch.linalg.eigh(matrix)
    return values.flip(-1), vectors.flip(-1)


def leading_eigenvectors(multiply: Multiply, start: Tensor, count: int) -> tuple[Tensor, Tensor]:
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

    def leading(values: Tensor, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        return values[..., :count], coordinates[..., :count]

    return _lanczos(multiply, start, leading, 1e-5)


def nearest_eigenvectors(multiply: Multiply, vectors: Tensor) -> Tensor:
    """The eigenvector that makes the smallest angle with a vector, of each of some positive semidefinite matrices.

    As `leading_eigenvectors`, from the vector alone and to 1e-3 of the largest eigenvalue. A vector that is near an
    eigenvector already takes few products.

    Args:
        multiply: from columns (..., dim, b) to the matrices' products with them.
        vectors: (..., dim), not 0.

    Returns:
        (..., dim) float64, of length 1, on the vectors' side.
    """

    def nearest(values: Tensor, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        # The vector itself is the first of the basis.
        index = coordinates[..., :1, :].abs().argmax(dim=-1, keepdim=True)
        return values.gather(-1, index[..., 0]), coordinates.gather(-1, index.expand(*coordinates.shape[:-1], 1))

    found = _lanczos(multiply, vectors[..., None], nearest, 1e-3)[1][..., 0]
    return torch.where((found * vectors).sum(dim=-1, keepdim=True) < 0, -found, found)


def _lanczos(
    multiply: Multiply, start: Tensor, wanted: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], tolerance: float
) -> tuple[Tensor, Tensor]:
    """Eigenvalues (..., count) and eigenvectors (..., dim, count) that `wanted` picks from those in the basis so far.

    `wanted` is given eigenvalues (..., width), largest first, and eigenvectors (..., width, width) in coordinates of
    the basis, and returns some of both.
    """
    basis = torch.linalg.qr(start.double()).Q
    images = multiply(basis)
    while True:
        projected = basis.mT @ images
        everything = strongest((projected + projected.mT) / 2)
        values, coordinates = wanted(*everything)
        vectors = basis @ coordinates
        residuals = images @ coordinates - vectors * values[..., None, :]
        wanting = torch.linalg.vector_norm(residuals, dim=-2) > tolerance * everything[0][..., :1]
        dim, width = basis.shape[-2:]
        if width == dim or not wanting.any():
            return values.clamp(min=0), vectors
        rest = residuals[..., wanting.reshape(-1, wanting.shape[-1]).any(dim=0)][..., : dim - width]
        added = torch.linalg.qr(torch.cat((basis, rest), dim=-1)).Q[..., width:]
        basis, images = torch.cat((basis, added), dim=-1), torch.cat((images, multiply(added)), dim=-1)


def fixed_signs(rows: Tensor) -> Tensor:
    """Rows (n, dim) with the sign that makes the entry of largest magnitude positive, so that two runs compare."""
    return rows * rows.gather(1, rows.abs().argmax(dim=1, keepdim=True)).sign()
