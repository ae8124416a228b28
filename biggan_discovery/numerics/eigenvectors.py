"""Leading eigenvectors of symmetric matrices, dense or given by matrix-vector products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

Multiply = Callable[[Float64[Tensor, "... dim b"]], Float64[Tensor, "... dim b"]]
"""From columns (..., dim, b) to the products of the matrices with them."""


def strongest(matrix: Float[Tensor, "... n n"]) -> tuple[Float[Tensor, "... n"], Float[Tensor, "... n n"]]:
    """Eigendecomposition of symmetric matrices, in descending order.

    Args:
        matrix: (..., n, n), symmetric.

    Returns:
        Eigenvalues (..., n), largest first, and eigenvectors (..., n, n) in columns.

    Example:
        >>> strongest(torch.diag(torch.tensor([1.0, 3.0])))[0]
        tensor([3., 1.])
    """
    values, vectors = torch.linalg.eigh(matrix)
    return values.flip(-1), vectors.flip(-1)


def strongest_ratio(
    matrix: Float64[Tensor, "n n"], reference: Float64[Tensor, "n n"]
) -> tuple[Float64[Tensor, " n"], Float64[Tensor, "n n"]]:
    """Generalised eigenvectors: stationary points of the ratio vᵀMv / vᵀRv, in descending order.

    Args:
        matrix: (n, n), symmetric.
        reference: (n, n), symmetric positive definite.

    Returns:
        The ratios (n,), largest first, and the vectors (n, n) in columns, of length 1. They are orthogonal with respect
        to both matrices and in general not to each other.

    Example:
        >>> matrix, reference = (torch.diag(torch.tensor(each, dtype=torch.float64)) for each in ([2, 3], [1, 6]))
        >>> strongest_ratio(matrix, reference)[0]
        tensor([2.0000, 0.5000], dtype=torch.float64)
    """
    root = torch.linalg.cholesky(reference)
    halved = torch.linalg.solve_triangular(root, matrix, upper=False)
    whitened = torch.linalg.solve_triangular(root, halved.mT, upper=False)
    values, vectors = strongest((whitened + whitened.mT) / 2)
    solved = torch.linalg.solve_triangular(root.mT, vectors, upper=True)
    return values, torch.nn.functional.normalize(solved, dim=0)


def leading_eigenvectors(
    multiply: Multiply, start: Float[Tensor, "... dim b"], count: int
) -> tuple[Float64[Tensor, "... count"], Float64[Tensor, "... dim count"]]:
    """Leading eigenvalues and eigenvectors of positive semidefinite matrices given by matrix-vector products.

    Block Lanczos with full orthogonalisation and without restarts. Residuals extend the basis until they fall below
    1e-5 of the largest eigenvalue, or until the basis is complete and the result is exact.

    Args:
        multiply: from columns (..., dim, b) to the products of the matrices with them.
        start: (..., dim, b), b ≥ `count`, full rank. A better initial guess needs fewer products.
        count: number of eigenvectors, at most dim.

    Returns:
        Eigenvalues (..., count), largest first, and eigenvectors (..., dim, count), float64.

    Example:
        >>> matrix = torch.diag(torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64))
        >>> start = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
        >>> leading_eigenvectors(lambda columns: matrix @ columns, start, 2)[0].round()
        tensor([3., 2.], dtype=torch.float64)
    """

    def leading(values: Tensor, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        return values[..., :count], coordinates[..., :count]

    return _lanczos(multiply, start, leading, 1e-5)


def nearest_eigenvectors(multiply: Multiply, vectors: Float[Tensor, "... dim"]) -> Float64[Tensor, "... dim"]:
    """For each positive semidefinite matrix, the eigenvector with the smallest angle to a given vector.

    The algorithm is that of `leading_eigenvectors`, started from the vector alone, with a tolerance of 1e-3 of the
    largest eigenvalue. A vector close to an eigenvector needs few products.

    Args:
        multiply: from columns (..., dim, b) to the products of the matrices with them.
        vectors: (..., dim), nonzero.

    Returns:
        (..., dim) float64, of length 1, with a nonnegative inner product with `vectors`.

    Example:
        >>> matrix = torch.diag(torch.tensor([1.0, 3.0], dtype=torch.float64))
        >>> nearest_eigenvectors(lambda columns: matrix @ columns, torch.tensor([-0.9, 0.1])).round(decimals=3)
        tensor([-1., -0.], dtype=torch.float64)
    """

    def nearest(values: Tensor, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        # The given vector is the first basis vector.
        index = coordinates[..., :1, :].abs().argmax(dim=-1, keepdim=True)
        return values.gather(-1, index[..., 0]), coordinates.gather(-1, index.expand(*coordinates.shape[:-1], 1))

    found = _lanczos(multiply, vectors[..., None], nearest, 1e-3)[1][..., 0]
    return torch.where((found * vectors).sum(dim=-1, keepdim=True) < 0, -found, found)


def _lanczos(
    multiply: Multiply,
    start: Float[Tensor, "... dim b"],
    select: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    tolerance: float,
) -> tuple[Float64[Tensor, "... count"], Float64[Tensor, "... dim count"]]:
    """Eigenvalues and eigenvectors that `select` picks from the Ritz pairs of the basis.

    `select` receives Ritz values (..., width), largest first, and Ritz vectors (..., width, width) in coordinates of
    the basis, and returns a subset of both.
    """
    basis = torch.linalg.qr(start.double()).Q
    images = multiply(basis)
    while True:
        projected = basis.mT @ images
        ritz_values, ritz_vectors = strongest((projected + projected.mT) / 2)
        values, coordinates = select(ritz_values, ritz_vectors)
        vectors = basis @ coordinates
        residuals = images @ coordinates - vectors * values[..., None, :]
        unconverged = torch.linalg.vector_norm(residuals, dim=-2) > tolerance * ritz_values[..., :1]
        dim, width = basis.shape[-2:]
        if width == dim or not unconverged.any():
            return values.clamp(min=0), vectors
        rest = residuals[..., unconverged.reshape(-1, unconverged.shape[-1]).any(dim=0)][..., : dim - width]
        added = torch.linalg.qr(torch.cat((basis, rest), dim=-1)).Q[..., width:]
        basis, images = torch.cat((basis, added), dim=-1), torch.cat((images, multiply(added)), dim=-1)


def fixed_signs(rows: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
    """Flip the sign of rows so that the entry of largest magnitude is positive, which makes runs comparable.

    Example:
        >>> fixed_signs(torch.tensor([[1.0, -2.0]]))
        tensor([[-1.,  2.]])
    """
    return rows * rows.gather(1, rows.abs().argmax(dim=1, keepdim=True)).sign()
