from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.directions import orthonormalize
from biggan_discovery.errors import UserError

METHODS = ["qr", "gram-schmidt"]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def conditioned(ndirs: int, z_dim: int, condition: float, seed: int = 0) -> torch.Tensor:
    """A matrix with singular values spaced geometrically from 1 to 1/condition."""
    U, _, V = torch.linalg.svd(normal(ndirs, z_dim, seed=seed, dtype=torch.float64), full_matrices=False)
    return (U * torch.logspace(0, -math.log10(condition), ndirs, dtype=torch.float64)) @ V


def distance_from_orthonormal(Q: torch.Tensor) -> float:
    exact = Q.double()
    return (exact @ exact.T - torch.eye(len(Q), dtype=torch.float64)).abs().max().item()


def test_by_hand():
    A = torch.tensor([[0.0, -2.0, 0.0], [3.0, 4.0, 0.0]])
    for method in METHODS:
        torch.testing.assert_close(orthonormalize(A, method), torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("ndirs", "z_dim"), [(1, 1), (8, 16), (120, 120), (40, 512)])
@pytest.mark.parametrize("condition", [1.0, 1e4])
def test_float32_rows_are_orthonormal_for_ill_conditioned_rows_too(
    method: str, ndirs: int, z_dim: int, condition: float
):
    A = conditioned(ndirs, z_dim, condition).float()
    Q = orthonormalize(A, method)
    assert Q.dtype == torch.float32
    assert distance_from_orthonormal(Q) <= 1e-6


def test_both_methods_agree_for_ill_conditioned_rows():
    A = conditioned(120, 120, 1e4).float()
    torch.testing.assert_close(orthonormalize(A, "qr"), orthonormalize(A, "gram-schmidt"), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_against_cholesky(method: str):
    # A = LQ with a positive diagonal is unique, and AAᵀ = LLᵀ: so Q = L⁻¹A.
    A = normal(10, 24, dtype=torch.float64)
    expected = torch.linalg.solve_triangular(torch.linalg.cholesky(A @ A.T), A, upper=False)
    torch.testing.assert_close(orthonormalize(A, method), expected, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.data(), st.sampled_from(METHODS))
def test_properties(data: st.DataObject, method: str):
    z_dim = data.draw(st.integers(1, 12))
    ndirs = data.draw(st.integers(1, z_dim))
    seed = data.draw(st.integers(0, 2**31))
    A = normal(ndirs, z_dim, seed=seed, dtype=torch.float64)
    Q = orthonormalize(A, method)
    assert distance_from_orthonormal(Q) <= 1e-12
    L = A @ Q.T
    scale = A.norm()
    assert L.triu(1).abs().max() <= 1e-12 * scale
    assert (L.diagonal() > 0).all()
    assert (L @ Q - A).abs().max() <= 1e-12 * scale
    # Lengths of rows do not matter, and orthonormal rows stay.
    lengths = torch.logspace(-20, 20, ndirs, dtype=torch.float64)
    torch.testing.assert_close(orthonormalize(A * lengths[:, None], method), Q, rtol=0, atol=1e-9)
    torch.testing.assert_close(orthonormalize(Q, method), Q, rtol=0, atol=1e-12)
    torch.testing.assert_close(orthonormalize(A[:1], method), Q[:1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(3, 5), (4, 4)])
def test_gradient_against_finite_differences(method: str, shape: tuple[int, int]):
    A = normal(*shape, seed=3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda A: orthonormalize(A, method), (A,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_both_methods_agree(dtype: torch.dtype):
    A, weight = normal(20, 30, seed=1, dtype=dtype), normal(20, 30, seed=2, dtype=dtype)
    gradients = []
    for method in METHODS:
        leaf = A.clone().requires_grad_()
        (orthonormalize(leaf, method) * weight).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-12)
    # Lengths of rows do not matter, so the gradient has no part along a row.
    assert (gradients[0] * A).sum(1).abs().max() < 1e-4


def test_none_leaves_the_matrix_as_it_is():
    A = torch.ones(5, 3)
    assert orthonormalize(A, "none") is A


def test_the_global_random_state_is_untouched():
    before = torch.get_rng_state()
    orthonormalize(normal(4, 6))
    assert torch.equal(torch.get_rng_state(), before)


def combination(dtype: torch.dtype) -> torch.Tensor:
    A = normal(6, 40, dtype=dtype)
    A[4] = 0.3 * A[0] - 2 * A[2] + A[3]
    return A


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("A", "message"),
    [
        (torch.zeros(3), r"torch.float32 tensor \(3,\)"),
        (torch.zeros(2, 3, 4), "floating-point matrix"),
        (torch.zeros(0, 4), "floating-point matrix"),
        (torch.eye(3, dtype=torch.int64), "torch.int64"),
        (torch.tensor([[1.0, float("nan")]]), "nan or infinite"),
        (torch.tensor([[1.0, float("inf")]]), "nan or infinite"),
        (torch.eye(5)[:, :4], "5 directions in 4 dimensions"),
        (torch.tensor([[1.0, 2.0], [2.0, 4.0]]), "row 1 of A"),
        (torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "row 1 of A"),
        (torch.zeros(2, 4), "row 0 of A"),
        (combination(torch.float32), "row 4 of A"),
        (combination(torch.float64), "row 4 of A"),
    ],
)
def test_bad_input(A: torch.Tensor, message: str, method: str):
    with pytest.raises(UserError, match=message) as caught:
        orthonormalize(A, method)
    assert "\n" not in str(caught.value)


def test_unknown_method():
    with pytest.raises(UserError, match="gram-schmidt'"):
        orthonormalize(torch.eye(2), "gramschmidt")
