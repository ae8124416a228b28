from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery import spectral_penalty
from biggan_discovery.errors import UserError
from tests.objectives.test_hessian_penalty import network, normal, seeded
from tests.objectives.test_orojar import each, gram


def off_axes(J: torch.Tensor, k: int) -> torch.Tensor:
    """1 - max vᵢ², mean over the k leading right-singular vectors of J (..., rows, dim)."""
    vectors = torch.linalg.svd(J).Vh[..., :k, :]
    return (1 - vectors.square().amax(dim=-1)).mean(dim=-1)


def with_spectrum(singular_values: list[float], seed: int) -> torch.Tensor:
    """A map (9, n) with these singular values."""
    n = len(singular_values)
    left, right = torch.linalg.qr(normal(9, n, seed=seed)).Q, torch.linalg.qr(normal(n, n, seed=seed + 1)).Q
    return left @ torch.tensor(singular_values, dtype=torch.float64).diag() @ right.T


SPECTRUM = [5.0, 3.0, 2.0, 1.0, 0.5]


def value(G, z: torch.Tensor, **options) -> torch.Tensor:
    penalty = spectral_penalty(G, z, **({"generator": seeded(0)} | options))
    assert isinstance(penalty, torch.Tensor)
    return penalty


# Closed forms


@pytest.mark.parametrize("k", [1, 2, 5])
def test_linear_maps_against_their_singular_vectors(k: int):
    W = with_spectrum(SPECTRUM, seed=k)
    penalty = value(lambda z: z @ W.T + 2, normal(3, 5, seed=0), k=k, iterations=60, reduction=each)
    torch.testing.assert_close(penalty, off_axes(W, k).expand(3))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_orthogonal_columns_have_none(seed: int, k: int):
    W = torch.linalg.qr(normal(7, 4, seed=seed)).Q * torch.tensor([1.0, 4.0, 0.2, 2.0])
    assert value(lambda z: z @ W.T, normal(3, 4, seed=seed), k=k, iterations=80, generator=seeded(seed)) < 1e-20


def test_quadratic_maps_against_their_jacobians():
    B, z = normal(6, 4, 4, seed=1), normal(5, 4, seed=2)
    J = torch.einsum("cij,nj->nci", B + B.mT, z)
    penalty = value(lambda z: torch.einsum("ni,cij,nj->nc", z, B, z), z, iterations=400, reduction=each)
    torch.testing.assert_close(penalty, off_axes(J, 2), rtol=1e-6, atol=1e-8)


def test_network_against_eigenvectors_by_finite_differences():
    z, G = normal(3, 6, seed=3), network()
    penalty = value(G, z, k=3, iterations=500, reduction=each)
    torch.testing.assert_close(penalty, off_axes(gram(G, z), 3), rtol=1e-5, atol=1e-7)


def test_one_iteration_by_hand():
    # JᵀJ(1, 1) with columns (1, 0) and (1, 1) is (1 + 1, 1 + 2): of 13, 9 lie on the second axis.
    W = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    penalty = value(lambda z: z @ W.T, torch.zeros(1, 2), iterations=1, probes=torch.ones(1, 1, 2))
    assert penalty.item() == pytest.approx(4 / 13)


def test_vectors_beyond_the_rank_count_as_none():
    W = torch.outer(normal(7, seed=0), torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64))
    for dtype in (torch.float64, torch.float32):
        penalty = value(lambda z: z @ W.T.to(z), normal(2, 3, seed=1).to(dtype), k=3)
        torch.testing.assert_close(penalty, torch.tensor(0.36 / 3, dtype=dtype))


def test_a_vanishing_jacobian_has_none_and_no_gradient():
    z = torch.zeros(2, 3, requires_grad=True)
    scale = torch.ones((), requires_grad=True)
    penalty = value(lambda z: scale * z.square(), z)
    assert penalty.item() == 0
    assert all(not gradient.any() for gradient in torch.autograd.grad(penalty, [z, scale]))


def test_values_that_are_not_finite_are_passed_on():
    assert value(lambda z: z * torch.tensor([1.0, float("nan")]), torch.ones(2, 2)).isnan()


# Convergence


def test_the_error_falls_with_the_ratio_of_singular_values_to_the_power_of_twice_the_iterations():
    W = with_spectrum([4.0, 2.0, 1.0], seed=3)
    z, exact = torch.zeros(1, 3, dtype=torch.float64), off_axes(W, 1)
    errors = [abs(value(lambda z: z @ W.T, z, k=1, iterations=T) - exact).item() for T in (7, 8, 9, 10)]
    for before, after in itertools.pairwise(errors):
        assert before / after == pytest.approx((4 / 2) ** 2, rel=0.2)


# Gradients and precision


def dense_gradient(matrix: torch.Tensor, z: torch.Tensor, start: torch.Tensor, iterations: int) -> torch.Tensor:
    """That of the last of some power iterations, on matrices from `jacrev`."""
    matrix = matrix.detach().requires_grad_()
    J = torch.stack([torch.func.jacrev(lambda row: network()(row @ matrix))(row) for row in z])
    v = start[0, :, :, None]
    for _ in range(iterations):
        v = J.mT @ (J @ v.detach())
        v = v / v.norm(dim=1, keepdim=True)
    return torch.autograd.grad((1 - v.square().amax(dim=(1, 2))).mean(), matrix)[0]


@pytest.mark.parametrize("iterations", [1, 4])
def test_the_gradient_is_that_of_the_last_iteration(iterations: int):
    z, start = normal(3, 4, seed=3), normal(1, 3, 4, seed=9)
    matrix = normal(4, 6, seed=4).requires_grad_()
    penalty = value(lambda w: network()(w @ matrix), z, iterations=iterations, probes=start)
    torch.testing.assert_close(
        torch.autograd.grad(penalty, matrix)[0], dense_gradient(matrix, z, start, iterations), rtol=1e-9, atol=1e-12
    )


def test_gradient_of_one_iteration_against_finite_differences():
    start = normal(2, 2, 4, seed=9)
    z, matrix = normal(2, 4, seed=3).requires_grad_(), normal(4, 6, seed=4).requires_grad_()

    def penalty(z: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        return value(lambda w: network()(w @ matrix), z, iterations=1, probes=start)

    assert torch.autograd.gradcheck(penalty, (z, matrix), eps=1e-6, atol=1e-6)


def test_descent_turns_singular_vectors_onto_axes():
    W = with_spectrum([3.0, 2.5, 2.0, 1.5], seed=5).requires_grad_()
    adam, z, source = torch.optim.Adam([W], lr=0.05), torch.zeros(4, 4, dtype=torch.float64), seeded(0)
    before = off_axes(W.detach(), 4)
    for _ in range(200):
        adam.zero_grad()
        value(lambda z: z @ W.T, z, k=4, generator=source).backward()
        adam.step()
    assert before > 0.3
    assert off_axes(W.detach(), 4) < 0.01


def test_float32_value_and_gradient_are_close_to_float64():
    start, results = normal(2, 4, 6, seed=9), []
    for dtype in (torch.float32, torch.float64):
        z = normal(4, 6, seed=3).to(dtype).requires_grad_()
        penalty = value(network(dtype), z, probes=start.to(dtype))
        assert penalty.dtype == dtype
        results.append((penalty.double(), torch.autograd.grad(penalty, z)[0].double()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-5)


# Properties


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31), st.floats(0.01, 100))
def test_invariances(seed: int, c: float):
    z, G, start = normal(3, 6, seed=seed), network(), normal(2, 3, 6, seed=seed)
    rotation = torch.linalg.qr(normal(40, 40, seed=seed + 1)).Q
    order = torch.randperm(6, generator=seeded(seed))
    penalty = value(G, z, probes=start)
    assert 0 <= penalty <= 1 - 1 / 6
    torch.testing.assert_close(value(lambda z: c * G(z) + 5, z, probes=start), penalty)
    torch.testing.assert_close(value(lambda z: G(z) @ rotation, z, probes=start), penalty)
    torch.testing.assert_close(
        value(lambda z: G(z[:, order]), z[:, order.argsort()], probes=start[..., order.argsort()]), penalty
    )


def test_samples_and_activations_are_independent():
    z, G, start = normal(3, 6, seed=0), network(), normal(2, 3, 6, seed=1)

    def layers(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return G(z), G(z).reshape(3, 4, 10)[:, :2].square()

    separate = spectral_penalty(layers, z, probes=start, return_separately=True)
    alone = [value(lambda z, i=i: layers(z)[i], z, probes=start) for i in range(2)]
    torch.testing.assert_close(separate, alone)
    torch.testing.assert_close(value(lambda z: list(layers(z)), z, probes=start), alone[0] + alone[1])
    of_each = [value(G, z[i : i + 1], probes=start[:, i : i + 1]) for i in range(3)]
    torch.testing.assert_close(value(G, z, probes=start), torch.stack(of_each).mean())


def test_z_of_any_shape_and_keyword_arguments():
    z, start, G = normal(3, 2, 3, seed=0), normal(2, 3, 2, 3, seed=1), network()
    shaped = value(lambda z, scale: scale * G(z.flatten(1)), z, probes=start, scale=2.0)
    torch.testing.assert_close(shaped, value(G, z.flatten(1), probes=start.flatten(2)))


def test_one_pass_also_without_gradients():
    z, calls = normal(3, 6, seed=0), []

    def G(z: torch.Tensor) -> torch.Tensor:  # noqa: N802
        calls.append(z)
        return network()(z)

    with torch.no_grad():
        without = value(G, z)
    assert len(calls) == 1
    assert not without.requires_grad
    torch.testing.assert_close(without, value(G, z))


def test_probes_come_from_the_generator_or_are_fresh_and_leave_the_global_state_alone():
    z, G = normal(3, 6, seed=0), network()
    before = torch.get_rng_state()
    fresh = [value(G, z, iterations=1, generator=None).detach() for _ in range(3)]
    assert torch.equal(torch.get_rng_state(), before)
    assert len({float(penalty) for penalty in fresh}) > 1
    assert spectral_penalty(G, z, generator=seeded(1)) == spectral_penalty(G, z, generator=seeded(1))


# Bad input

BAD = [
    ({"k": 0}, "k is 0; a latent with 3 coordinates has 1 to 3"),
    ({"k": 4}, "k is 4"),
    ({"iterations": 0}, "iterations is 0"),
    ({"iterations": 1.5}, "iterations is 1.5"),
    ({"reduction": "mean"}, "reduction is 'mean'"),
    ({"z": torch.zeros(2, 3, dtype=torch.int64)}, r"z is a torch.int64 tensor \(2, 3\)"),
    ({"probes": torch.ones(2, 2, 4)}, r"probes have shape \(2, 2, 4\); this z needs \(k ≥ 1, 2, 3\)"),
    ({"G": lambda _: None}, "G returned a NoneType"),
    ({"G": lambda z: z.sum()}, r"G returned shapes \[\(\)\] for 2 z"),
    ({"G": lambda z: z.detach()}, "no gradient with respect to z"),
    ({"G": lambda _: torch.ones(2, 3, requires_grad=True)}, "no gradient with respect to z"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input(arguments: dict, message: str):
    with pytest.raises(UserError, match=message) as caught:
        spectral_penalty(**({"G": lambda z: z, "z": torch.zeros(2, 3)} | arguments))
    assert "\n" not in str(caught.value)
