"""Orthonormalisation of rows."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.numerics.arithmetic import in_float64

METHODS = ("qr", "gram-schmidt", "none")


def orthonormalize(A: Float[Tensor, "ndirs z_dim"], method: str = "qr") -> Float[Tensor, "ndirs z_dim"]:
    """Orthonormalise the rows of A in order. Differentiable.

    Row i of the result is row i of A minus its projections onto earlier rows, scaled to length 1: A = LQ with L lower
    triangular with a positive diagonal. "qr" (Householder) and "gram-schmidt" give the same Q; "qr" is faster. Both
    compute in float64 and round once, so that in float32 |QQᵀ - I| stays below 1e-6 even if A is ill-conditioned.

    Args:
        A: (ndirs, z_dim), ndirs ≤ z_dim, floating point, full rank.
        method: "qr", "gram-schmidt", or "none" to return A itself, of any rank.

    Returns:
        Q, (ndirs, z_dim), with the dtype and device of A.

    Raises:
        UserError: If the method is unknown, A is not a finite floating-point matrix, it has more rows than columns, or
            a row is linearly dependent on earlier rows.

    Example:
        >>> orthonormalize(torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
        tensor([[ 0.6000,  0.8000],
                [-0.8000,  0.6000]])
    """
    if method not in METHODS:
        raise UserError(f"unknown orthonormalisation {method!r}{_near(method)}; choose from {', '.join(METHODS)}")
    if A.ndim != 2 or not A.numel() or not A.is_floating_point():
        raise UserError(f"A is a {A.dtype} tensor {tuple(A.shape)}; expected a floating-point matrix (ndirs, z_dim)")
    if not A.isfinite().all():
        raise UserError("A contains nan or infinite entries; its rows cannot be orthonormalised")
    if method == "none":
        return A
    ndirs, z_dim = A.shape
    if ndirs > z_dim:
        raise UserError(f"{ndirs} directions in {z_dim} dimensions cannot be orthonormal; ask for {z_dim} or fewer")
    exact = in_float64(A)
    # With rows of length 1 nothing overflows, and a residual's length says at once how dependent the row is.
    rows = exact / torch.linalg.vector_norm(exact, dim=1, keepdim=True).detach().clamp_min(1e-300)
    Q, residuals = _qr(rows) if method == "qr" else _gram_schmidt(rows)
    _check_rank(residuals, 10 * torch.finfo(A.dtype).eps * z_dim**0.5)
    return Q.to(A)


def _qr(rows: Float64[Tensor, "n dim"]) -> tuple[Float64[Tensor, "n dim"], Float64[Tensor, " n"]]:
    """Q, and the norm of the residual of each row after projecting out earlier rows."""
    Q, R = torch.linalg.qr(rows.T)
    return torch.where(R.diagonal() < 0, -Q, Q).T, R.diagonal().abs()


def _gram_schmidt(rows: Float64[Tensor, "n dim"]) -> tuple[Float64[Tensor, "n dim"], Float64[Tensor, " n"]]:
    """As `_qr`; a second pass removes the rounding errors of the first."""
    Q, residuals = _gram_schmidt_pass(rows)
    return _gram_schmidt_pass(Q)[0], residuals


def _gram_schmidt_pass(rest: Float64[Tensor, "n dim"]) -> tuple[Float64[Tensor, "n dim"], Float64[Tensor, " n"]]:
    """Modified Gram-Schmidt: normalise each row in turn and project it out of all later rows."""
    rows, residuals = [], []
    while len(rest):
        residuals.append(torch.linalg.vector_norm(rest[0]))
        rows.append(rest[0] / residuals[-1])
        rest = rest[1:] - torch.outer(rest[1:] @ rows[-1], rows[-1])
    return torch.stack(rows), torch.stack(residuals)


def _check_rank(residuals: Float64[Tensor, " n"], rounding: float) -> None:
    independent = residuals > rounding  # False for nan, which follows a vanishing row.
    if not independent.all():
        first = int((~independent).nonzero()[0])
        raise UserError(
            f"row {first} of A is zero or a linear combination of earlier rows; rows must be linearly independent"
        )


def _near(method: object) -> str:
    return near_matches(method, METHODS) if isinstance(method, str) else ""
