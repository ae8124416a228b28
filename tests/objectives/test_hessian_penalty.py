from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery import hessian_penalty, hessian_penalty_numpy
from biggan_discovery.errors import UserError


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def all_signs(n: int, rows: int = 1) -> torch.Tensor:
    """Every sign vector of length n, (2^n, rows, n)."""
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=n)), dtype=torch.float64)
    return signs[:, None, :].expand(-1, rows, -1)


def off_diagonal_energy(hessian: torch.Tensor) -> torch.Tensor:
    """2·Σ_{i≠j} H_ij² over the last two axes."""
    diagonal = torch.diagonal(hessian, dim1=-2, dim2=-1)
    return 2 * (hessian.square().sum((-2, -1)) - diagonal.square().sum(-1))


def over_all_probes(G, z: torch.Tensor, epsilon: float = 0.1, reduction=torch.mean) -> torch.Tensor:
    """The expectation over probes: the population variance, so the unbiased one times (K - 1)/K."""
    probes = all_signs(z.shape[-1], len(z))
    penalty = hessian_penalty(G, z, epsilon=epsilon, reduction=reduction, probes=probes)
    return penalty * (len(probes) - 1) / len(probes)


def network(dtype: torch.dtype = torch.float64):
    first, second = normal(24, 6, seed=1).to(dtype) / 2, normal(40, 24, seed=2).to(dtype) / 5
    return lambda z: torch.tanh(torch.tanh(z @ first.T) @ second.T)


# Closed forms


def test_product_has_one_mixed_derivative_of_one():
    z = normal(5, 2, seed=0)
    penalty = over_all_probes(lambda z: z[:, 0] * z[:, 1], z, reduction=lambda each: each)
    torch.testing.assert_close(penalty, torch.full((5,), 4.0, dtype=torch.float64))


def test_cubic_monomial_is_exact_at_any_epsilon_because_its_fourth_derivatives_vanish():
    z = normal(5, 2, seed=0)
    for epsilon in (0.01, 0.1, 2.0):
        penalty = over_all_probes(lambda z: z[:, 0] ** 2 * z[:, 1], z, epsilon, reduction=lambda each: each)
        # H_01 = 2 z0, counted twice: 2·2·(2 z0)²
        torch.testing.assert_close(penalty, 16 * z[:, 0] ** 2, rtol=1e-7, atol=1e-10)


def test_sine_of_a_product_at_small_epsilon():
    z = normal(5, 2, seed=0)
    product = z[:, 0] * z[:, 1]
    mixed = torch.cos(product) - product * torch.sin(product)
    penalty = over_all_probes(lambda z: torch.sin(z[:, 0] * z[:, 1]), z, 1e-3, reduction=lambda each: each)
    torch.testing.assert_close(penalty, 4 * mixed**2, rtol=1e-4, atol=1e-7)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 5), st.integers(0, 2**31), st.floats(0.01, 3))
def test_random_quadratic_forms_over_all_sign_vectors(n: int, seed: int, epsilon: float):
    B = normal(4, n, n, seed=seed)
    z = normal(3, n, seed=seed + 1)
    penalty = over_all_probes(lambda z: torch.einsum("ni,cij,nj->nc", z, B, z), z, epsilon, reduction=lambda each: each)
    expected = off_diagonal_energy(B + B.transpose(1, 2)).expand(3, 4)
    torch.testing.assert_close(penalty, expected, rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 5), st.integers(0, 2**31))
def test_random_cubic_forms_over_all_sign_vectors(n: int, seed: int):
    T = normal(n, n, n, seed=seed)
    z = normal(3, n, seed=seed + 1)

    def G(z: torch.Tensor) -> torch.Tensor:  # noqa: N802
        return torch.einsum("ni,nj,nk,ijk->n", z, z, z, T)

    symmetric = sum(T.permute(order) for order in itertools.permutations(range(3)))
    hessian = torch.einsum("nk,ijk->nij", z, symmetric)
    penalty = over_all_probes(G, z, 0.5, reduction=lambda each: each)
    torch.testing.assert_close(penalty, off_diagonal_energy(hessian), rtol=1e-6, atol=1e-6)


def test_two_explicit_probes_by_hand():
    # vᵀHv with H = [[0, 1], [1, 0]] is +2 for equal signs and -2 for opposite ones; unbiased variance of {2, -2} is 8.
    probes = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]])
    z = torch.tensor([[0.25, -0.5]])
    assert hessian_penalty(lambda z: z[:, 0] * z[:, 1], z, probes=probes).item() == pytest.approx(8, rel=1e-4)


def test_network_against_exact_hessians():
    z, G = normal(2, 6, seed=3), network()
    hessians = torch.stack([torch.func.jacrev(torch.func.jacrev(G))(row) for row in z])
    penalty = over_all_probes(G, z, 1e-3, reduction=lambda each: each)
    torch.testing.assert_close(penalty, off_diagonal_energy(hessians), rtol=1e-4, atol=1e-7)


# Convergence


def test_error_falls_with_the_square_of_epsilon():
    z, G = normal(4, 6, seed=3), network()
    exact = over_all_probes(G, z, 1e-3)
    errors = [abs(over_all_probes(G, z, epsilon) - exact).item() for epsilon in (0.1, 0.05, 0.025)]
    for coarse, fine in itertools.pairwise(errors):
        assert 3 < coarse / fine < 5


def test_mean_over_draws_is_the_expectation_for_k_of_two():
    B = normal(6, 6, seed=5)
    z = torch.zeros(20_000, 6, dtype=torch.float64)
    variances = hessian_penalty(
        lambda z: torch.einsum("ni,ij,nj->n", z, B, z), z, reduction=lambda each: each, generator=seeded(0)
    )
    assert isinstance(variances, torch.Tensor)
    expected = off_diagonal_energy(B + B.T).item()
    assert abs(variances.mean().item() - expected) < 4 * variances.std().item() / 20_000**0.5


def test_spread_of_the_estimate_falls_with_k():
    B = normal(6, 6, seed=5)
    z = torch.zeros(500, 6, dtype=torch.float64)

    def spread(k: int) -> float:
        variances = hessian_penalty(
            lambda z: torch.einsum("ni,ij,nj->n", z, B, z), z, k, reduction=lambda each: each, generator=seeded(0)
        )
        return (variances - off_diagonal_energy(B + B.T)).square().mean().sqrt().item()

    spreads = [spread(k) for k in (2, 8, 32, 128)]
    for few, many in itertools.pairwise(spreads):
        assert many < 0.65 * few


# The same as the reference implementation, gradients, precision


def reference(G, z: torch.Tensor, probes: torch.Tensor, epsilon: float) -> torch.Tensor:
    second = [(G(z + epsilon * v) - 2 * G(z) + G(z - epsilon * v)) / epsilon**2 for v in probes]
    return torch.stack(second).var(0, unbiased=True).mean()


def signs(*shape: int, seed: int) -> torch.Tensor:
    return (torch.randint(0, 2, shape, generator=seeded(seed)) * 2 - 1).double()


@pytest.mark.parametrize("k", [2, 5])
def test_leaving_out_the_centre_changes_neither_value_nor_gradients(k: int):
    z, G, probes = normal(4, 6, seed=3), network(), signs(k, 4, 6, seed=9)
    results = []
    for penalty in (
        lambda z: hessian_penalty(G, z, k, reduction=torch.mean, probes=probes),
        lambda z: reference(G, z, probes, 0.1),
    ):
        leaf = z.clone().requires_grad_()
        value = penalty(leaf)
        results.append((value, torch.autograd.grad(value, leaf)[0]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-11, atol=1e-13)


def test_gradient_of_a_parameter_against_finite_differences():
    z, probes = normal(3, 4, seed=3), signs(3, 3, 4, seed=9)

    def penalty(matrix: torch.Tensor) -> torch.Tensor:
        return hessian_penalty(lambda w: network()(w @ matrix), z, reduction=torch.mean, probes=probes)

    matrix = normal(4, 6, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(penalty, (matrix,), eps=1e-5, atol=1e-6, rtol=1e-5)


def test_gradient_of_z_against_finite_differences():
    probes = signs(2, 2, 6, seed=9)
    z = normal(2, 6, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: hessian_penalty(network(), z, reduction=torch.mean, probes=probes), (z,), eps=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(("epsilon", "tolerance"), [(0.1, 1e-3), (0.01, 5e-2)])
def test_float32_value_and_gradient_are_close_to_float64(epsilon: float, tolerance: float):
    z, probes = normal(16, 6, seed=3), signs(4, 16, 6, seed=9)
    results = []
    for dtype in (torch.float32, torch.float64):
        leaf = z.to(dtype).requires_grad_()
        value = hessian_penalty(network(dtype), leaf, epsilon=epsilon, reduction=torch.mean, probes=probes)
        assert value.dtype == dtype
        results.append((value.double(), torch.autograd.grad(value, leaf)[0].double()))
    (value, gradient), (exact_value, exact_gradient) = results
    assert abs(value / exact_value - 1) < tolerance
    assert (gradient - exact_gradient).norm() < tolerance * exact_gradient.norm()


def test_a_large_constant_does_not_spoil_float32():
    z, probes = normal(16, 6, seed=3, dtype=torch.float32), signs(4, 16, 6, seed=9)
    plain = hessian_penalty(network(torch.float32), z, reduction=torch.mean, probes=probes)
    lifted = hessian_penalty(lambda z: network(torch.float32)(z) + 8, z, reduction=torch.mean, probes=probes)
    torch.testing.assert_close(plain, lifted, rtol=1e-2, atol=0)


# Properties


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.floats(-3, 3), st.integers(2, 5))
def test_invariances(seed: int, c: float, k: int):
    z, G, probes = normal(3, 6, seed=seed), network(), signs(k, 3, 6, seed=seed)
    slope, diagonal = normal(6, 40, seed=seed + 1), normal(6, 40, seed=seed + 2)

    def penalty(G, probes: torch.Tensor = probes) -> torch.Tensor:
        value = hessian_penalty(G, z, reduction=torch.mean, probes=probes)
        assert isinstance(value, torch.Tensor)
        return value

    value = penalty(G)
    assert value >= 0
    torch.testing.assert_close(penalty(lambda z: G(z) + z @ slope), value, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(penalty(lambda z: G(z) + z**2 @ diagonal), value, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(penalty(lambda z: c * G(z)), c**2 * value, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(penalty(G, -probes), value)
    torch.testing.assert_close(penalty(G, probes.flip(0)), value)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31))
def test_a_function_of_separate_coordinates_has_no_penalty(seed: int):
    # Even in each coordinate's own nonlinearity: the two sides of a probe are the same set of values up to its sign.
    z = normal(3, 6, seed=seed)
    penalty = hessian_penalty(lambda z: torch.sin(z).sum(1) + z.pow(4).sum(1), z, k=4, generator=seeded(seed))
    assert isinstance(penalty, torch.Tensor)
    assert penalty.item() < 1e-18


# Shapes, activations, reductions


def test_several_activations():
    z, G, probes = normal(3, 6, seed=0), network(), signs(2, 3, 6, seed=1)

    def layers(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return G(z), G(z).reshape(3, 4, 10)[:, :2].square()

    separate = hessian_penalty(layers, z, probes=probes, return_separately=True)
    assert isinstance(separate, list)
    alone = [hessian_penalty(lambda z, i=i: layers(z)[i], z, probes=probes) for i in range(2)]
    torch.testing.assert_close(separate, alone)
    torch.testing.assert_close(hessian_penalty(lambda z: list(layers(z)), z, probes=probes), alone[0] + alone[1])
    torch.testing.assert_close(hessian_penalty(G, z, probes=probes, return_separately=True), alone[:1])


def test_default_reduction_is_the_maximum():
    z, G, probes = normal(3, 6, seed=0), network(), signs(2, 3, 6, seed=1)
    variances = hessian_penalty(G, z, probes=probes, reduction=lambda each: each)
    assert isinstance(variances, torch.Tensor)
    assert variances.shape == (3, 40)
    assert hessian_penalty(G, z, probes=probes) == variances.max()


def test_z_of_any_shape_and_keyword_arguments():
    z, probes = normal(3, 2, 3, seed=0), signs(2, 3, 2, 3, seed=1)
    G = network()
    shaped = hessian_penalty(lambda z, scale: scale * G(z.flatten(1)), z, probes=probes, scale=2.0)
    flat = hessian_penalty(G, z.flatten(1), probes=probes.flatten(2))
    torch.testing.assert_close(shaped, 4 * flat)


def test_precomputed_centre_is_accepted_and_spares_nothing():
    z, G, probes = normal(3, 6, seed=0), network(), signs(2, 3, 6, seed=1)
    calls = []

    def counted(z: torch.Tensor) -> torch.Tensor:
        calls.append(z)
        return G(z)

    with_centre = hessian_penalty(counted, z, 2, 0.1, torch.max, False, G(z), probes=probes)
    assert len(calls) == 4
    assert with_centre == hessian_penalty(G, z, probes=probes)


# Randomness


def test_probes_come_from_the_generator_or_are_fresh_and_leave_the_global_state_alone():
    z, G = normal(3, 6, seed=0), network()
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fresh = [hessian_penalty(G, z) for _ in range(4)]
    hessian_penalty_numpy(lambda z: z[:, 0] * z[:, 1], z.numpy())
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == before_numpy).all()  # noqa: NPY002
    assert len({float(value) for value in fresh}) > 1
    assert hessian_penalty(G, z, generator=seeded(1)) == hessian_penalty(G, z, generator=seeded(1))
    generator = seeded(1)
    assert hessian_penalty(G, z, generator=generator) != hessian_penalty(G, z, generator=generator)


def test_drawn_probes_are_signs_of_both_kinds():
    seen = []

    def G(z: torch.Tensor) -> torch.Tensor:  # noqa: N802
        seen.append(z)
        return z

    hessian_penalty(G, torch.zeros(50, 20), k=3, epsilon=0.5, generator=seeded(0))
    assert torch.equal(seen[0], -seen[1])
    assert not torch.equal(seen[0], seen[2])
    drawn = torch.stack(seen[::2])
    assert set(drawn.unique().tolist()) == {-0.5, 0.5}
    assert abs(drawn.mean()) < 0.05


# NumPy


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [2, 7])
def test_numpy_agrees_with_torch(dtype: str, k: int):
    first = normal(24, 6, seed=1).numpy().astype(dtype)
    z = normal(3, 6, seed=0).numpy().astype(dtype)
    probes = signs(k, 3, 6, seed=1)
    ours = hessian_penalty_numpy(
        lambda z: [np.tanh(z @ first.T), (z @ first.T) ** 2], z, probes=probes.numpy(), return_separately=True
    )
    weight = torch.from_numpy(first)
    theirs = hessian_penalty(
        lambda z: [torch.tanh(z @ weight.T), (z @ weight.T) ** 2],
        torch.from_numpy(z),
        probes=probes,
        return_separately=True,
    )
    assert ours[0].dtype == dtype
    np.testing.assert_allclose(ours, [float(each) for each in theirs], rtol=1e-3 if dtype == "float32" else 1e-10)


def test_numpy_closed_form_sum_and_seed():
    z = normal(3, 2, seed=0).numpy()

    def G(z: np.ndarray) -> np.ndarray:  # noqa: N802
        return z[:, 0] * z[:, 1]

    probes = all_signs(2, 3).numpy()
    assert hessian_penalty_numpy(G, z, probes=probes, reduction=np.mean) == pytest.approx(4 * 4 / 3)
    assert hessian_penalty_numpy(lambda z: [G(z), 2 * G(z)], z, probes=probes) == pytest.approx(5 * 4 * 4 / 3)
    draws = [hessian_penalty_numpy(G, z, k=3, rng=np.random.default_rng(seed)) for seed in (1, 1)]
    assert draws[0] == draws[1]


# Bad input

Z = torch.zeros(2, 3)
BAD = [
    ({"k": 1}, "k is 1"),
    ({"k": 0}, "k is 0"),
    ({"k": 2.0}, "k is 2.0"),
    ({"k": True}, "k is True"),
    ({"epsilon": 0.0}, "epsilon is 0.0"),
    ({"epsilon": -0.1}, "epsilon is -0.1"),
    ({"epsilon": float("nan")}, "epsilon is nan"),
    ({"epsilon": float("inf")}, "epsilon is inf"),
    ({"epsilon": "0.1"}, "epsilon is '0.1'"),
    ({"reduction": "mean"}, "reduction is 'mean'"),
    ({"z": torch.zeros(2, 3, dtype=torch.int64)}, r"z is a torch.int64 tensor \(2, 3\)"),
    ({"z": torch.zeros(0, 3)}, "z is a torch.float32 tensor"),
    ({"z": [[0.0, 1.0]]}, "z is a list"),
    ({"probes": torch.ones(2, 3)}, r"probes have shape \(2, 3\); this z needs \(k ≥ 2, 2, 3\)"),
    ({"probes": torch.ones(1, 2, 3)}, "probes have shape"),
    ({"probes": torch.ones(2, 2, 4)}, "probes have shape"),
    ({"probes": torch.zeros(2, 2, 3)}, r"other than \+1 and -1"),
    ({"G": lambda _: None}, "G returned a NoneType"),
    ({"G": lambda _: []}, "G returned an empty list"),
    ({"G": lambda z: [z, "text"]}, "a str"),
    ({"G": lambda z: z.long()}, "torch.int64"),
    ({"G": lambda z: z[:0]}, r"tensor \(0, 3\)"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input(arguments: dict, message: str):
    with pytest.raises(UserError, match=message) as caught:
        hessian_penalty(**({"G": lambda z: z, "z": Z} | arguments))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("at", [1, 2])
def test_shapes_that_change_between_passes(at: int):
    calls = itertools.count()
    with pytest.raises(UserError, match="must be the same"):
        hessian_penalty(lambda z: z if next(calls) < at else z[:, :2], Z)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 1}, "k is 1"),
        ({"z": np.zeros((2, 3), dtype=np.int64)}, "z is a int64 array"),
        ({"z": Z}, "z is a Tensor"),
        ({"probes": np.ones((2, 3))}, "probes have shape"),
        ({"G": lambda _: None}, "G returned a NoneType"),
        ({"G": lambda z: z.astype(int)}, "G returned a int64 array"),
    ],
)
def test_bad_input_to_numpy(arguments: dict, message: str):
    with pytest.raises(UserError, match=message):
        hessian_penalty_numpy(**({"G": lambda z: z, "z": np.zeros((2, 3))} | arguments))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_cpu_gives_for_the_same_generator():
    z = normal(3, 6, seed=0)
    on_cpu = hessian_penalty(torch.sin, z @ z.T, generator=seeded(1))
    on_gpu = hessian_penalty(torch.sin, (z @ z.T).cuda(), generator=seeded(1))
    assert isinstance(on_gpu, torch.Tensor)
    torch.testing.assert_close(on_gpu.cpu(), on_cpu)
