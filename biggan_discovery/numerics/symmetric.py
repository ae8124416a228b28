"""Symmetric matrices as vectors of their entries, and fewer matrices with the same second moments."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def from_entries(entries: Float[Tensor, "... entries"]) -> Float[Tensor, "... n n"]:
    """Symmetric matrices (..., n, n) from vectors of n(n+1)/2 entries, see `to_entries`."""
    n = round(((8 * entries.shape[-1] + 1) ** 0.5 - 1) / 2)
    first, second = torch.triu_indices(n, n, 1)
    matrices = torch.diag_embed(entries[..., :n])
    matrices[..., first, second] = matrices[..., second, first] = entries[..., n:] / 2**0.5
    return matrices


def to_entries(matrices: Float[Tensor, "... n n"]) -> Float[Tensor, "... entries"]:
    """The diagonal, then √2 times the entries above it, row by row, so that sums of squares are the same.

    Example:
        >>> to_entries(torch.tensor([[1.0, 2.0], [2.0, 4.0]]))
        tensor([1.0000, 4.0000, 2.8284])
    """
    first, second = torch.triu_indices(matrices.shape[-2], matrices.shape[-1], 1)
    return torch.cat((matrices.diagonal(dim1=-2, dim2=-1), 2**0.5 * matrices[..., first, second]), dim=-1)


def of_moments(moments: Float[Tensor, "... entries entries"]) -> Float[Tensor, "... entries n n"]:
    """Matrices (..., entries, n, n) whose entries have given second moments, symmetric positive semidefinite."""
    values, vectors = torch.linalg.eigh(moments)
    return from_entries((vectors * values.clamp(min=0).sqrt()[..., None, :]).mT)


def compressed(matrices: Float[Tensor, "m n n"]) -> Float[Tensor, "k n n"]:
    """At most n(n+1)/2 matrices with the same sum of squares of every entry in every frame.

    The sum of squares depends on second moments of entries only, and their scaled eigenvectors have the same ones.
    Matrices that are not more than n(n+1)/2 are returned as they are.
    """
    n = matrices.shape[-1]
    if len(matrices) <= n * (n + 1) // 2:
        return matrices
    entries = to_entries(matrices).double()
    return of_moments(entries.T @ entries).to(matrices)


def ridge(gram: Float[Tensor, "n n"], weight: float) -> Float[Tensor, "n n"]:
    """`weight` times the mean of the diagonal of a symmetric matrix, on the diagonal.

    Of JᵀJ, that is what a random direction of length 1 changes: beside it, idle directions weigh little.

    Example:
        >>> ridge(torch.diag(torch.tensor([1.0, 3.0])), 0.5)
        tensor([[1., 0.],
                [0., 1.]])
    """
    return weight * gram.trace() / len(gram) * torch.eye(len(gram), dtype=gram.dtype)
