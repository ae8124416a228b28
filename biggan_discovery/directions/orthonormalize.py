"""Orthonormal rows from any rows of full rank."""

from __future__ import annotations

import torch
from torch import Tensor

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.numerics.arithmetic import in_float64

METHODS = ("qr", "gram-schmidt", "none")


def orthonormalize(A: Tensor, method: str = "qr") -> Tensor:
    """Orthonormal rows that span the rows of A, first row first; differentiable.

    Row i of the result is row i of A less its parts along earlier rows, scaled to length 1, so A = LQ with L lower
    triangular and a positive diagonal. "qr" (Householder) and "gram-schmidt" give the same Q; qr is the faster.
    Both work in float64 inside and round once, so in float32 |QQᵀ - I| stays below 1e-6 for ill-conditioned A too.

    Args:
        A: (ndirs, z_dim), ndirs ≤ z_dim, floating, full rank.
        method: "qr", "gram-schmidt", or "none" for A itself, whatever its rank.

    Returns:
        Q, (ndirs, z_dim), of A's type and on its device.

    Raises:
        UserError: for an unknown method, an A that is not a finite floating matrix, more rows than columns, or a row
            that depends on those before it.
    """
    if method not in METHODS:
        raise UserError(f"no method {method!r} to orthonormalise by; one of {', '.join(METHODS)}{_near(method)}")
    if A.ndim != 2 or not A.numel() or not A.is_floating_point():
        raise UserError(f"A is a {A.dtype} tensor {tuple(A.shape)}; give a floating matrix (ndirs, z_dim)")
    if not A.isfinite().all():
        raise UserError("A holds nan or infinite entries; its rows cannot be made orthonormal")
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


def _qr(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Q, and the length of each row's part that is orthogonal to the rows before it."""
    Q, R = torch.linalg.qr(rows.T)
    return torch.where(R.diagonal() < 0, -Q, Q).T, R.diagonal().abs()


def _gram_schmidt(rows: Tensor) -> tuple[Tensor, Tensor]:
    """As `_qr`; a second pass over the result of the first removes what rounding left."""
    Q, residuals = _gram_schmidt_pass(rows)
    return _gram_schmidt_pass(Q)[0], residuals


def _gram_schmidt_pass(rest: Tensor) -> tuple[Tensor, Tensor]:
    """Modified Gram-Schmidt: each row in turn is scaled to length 1 and taken out of all later ones."""
    rows, residuals = [], []
    while len(rest):
        residuals.append(torch.linalg.vector_norm(rest[0]))
        rows.append(rest[0] / residuals[-1])
        rest = rest[1:] - torch.outer(rest[1:] @ rows[-1], rows[-1])
    return torch.stack(rows), torch.stack(residuals)


def _check_rank(residuals: Tensor, rounding: float) -> None:
    independent = residuals > rounding  # nan, from rows after one that vanished, compares false
    if not independent.all():
        first = int((~independent).nonzero()[0])
        raise UserError(f"row {first} of A is zero or a combination of the rows before it; directions must differ")


def _near(method: object) -> str:
    return near_matches(method, METHODS) if isinstance(method, str) else ""
