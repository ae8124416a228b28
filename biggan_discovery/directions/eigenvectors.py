"""Leading eigenvectors of symmetric matrices, dense or known by their products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_TOLERANCE = 1e-5  # of the largest eigenvalue; products in float32 are good to about 1e-6


def strongest(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (..., n), largest first, and in columns the eigenvectors (..., n, n) of symmetric matrices."""
    values, vectors = torch.linalg.eigh(matrix)
    return values.flip(-1), vectors.flip(-1)


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
