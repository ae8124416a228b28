from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery import orojar
from biggan_discovery.directions import orthonormalize
from biggan_discovery.errors import UserError
from biggan_discovery.generators import load_generator
from biggan_discovery.objectives.orojar import OROJAR
from biggan_discovery.objectives.samples import Samples
from tests.brock_tiny import save_tiny_brock
from tests.objectives.test_hessian_penalty import all_signs, network, normal, off_diagonal_energy, seeded, signs
from tests.tiny import save_tiny_biggan


def each(variances: torch.Tensor) -> torch.Tensor:
    return variances


def over_all_probes(G, z: torch.Tensor, epsilon: float = 0.1) -> torch.Tensor:
    """The expectation over probes of every sample: the population variance, so the unbiased one times (K - 1)/K."""
    probes = all_signs(z.shape[-1], len(z))
    variances = orojar(G, z, epsilon=epsilon, reduction=each, probes=probes)
    assert isinstance(variances, torch.Tensor)
    return variances * (len(probes) - 1) / len(probes)


def gram(G, z: torch.Tensor) -> torch.Tensor:
    """JᵀJ (N, dim, dim) of every sample, by central differences in float64."""
    axes = 1e-5 * torch.eye(z.shape[1], dtype=torch.float64)
    columns = [(G(z + axis) - G(z - axis)).flatten(1) / 2e-5 for axis in axes]
    jacobians = torch.stack(columns, dim=-1)
    return jacobians.mT @ jacobians


# Closed forms


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 5), st.integers(0, 2**31), st.floats(0.01, 3))
def test_linear_maps_are_exact_at_any_epsilon(n: int, seed: int, epsilon: float):
    W, z = normal(7, n, seed=seed), normal(3, n, seed=seed + 1)
    expected = off_diagonal_energy(W.T @ W).expand(3)
    torch.testing.assert_close(over_all_probes(lambda z: z @ W.T + 2, z, epsilon), expected, rtol=1e-6, atol=1e-8)


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 5), st.integers(0, 2**31), st.floats(0.01, 3))
def test_orthogonal_columns_have_none(n: int, seed: int, epsilon: float):
    W = torch.linalg.qr(normal(7, n, seed=seed)).Q * torch.arange(1, n + 1)
    penalty = orojar(lambda z: z @ W.T, normal(3, n, seed=seed), epsilon=epsilon, generator=seeded(seed))
    assert isinstance(penalty, torch.Tensor)
    assert penalty < 1e-20


def test_functions_of_one_coordinate_each_have_none_but_for_the_step():
    z = normal(4, 5, seed=0)
    values = [over_all_probes(torch.tanh, z, epsilon).mean().item() for epsilon in (0.1, 0.05, 1e-5)]
    assert 3.5 < values[0] / values[1] < 4.5
    assert values[2] < 1e-9


def test_product_by_hand():
    # [(z0 + εv0)(z1 + εv1) - z0 z1]/ε = v0 z1 + v1 z0 + ε v0 v1: for v = (1, 1) and (1, -1) and this z and ε it is
    # -0.15 and -0.85, with squares 0.0225 and 0.7225, whose unbiased variance is 0.7²/2.
    probes = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]])
    z = torch.tensor([[0.25, -0.5]])
    assert orojar(lambda z: z[:, 0] * z[:, 1], z, probes=probes).item() == pytest.approx(0.245, rel=1e-5)


def test_network_against_its_jacobians():
    z, G = normal(3, 6, seed=3), network()
    torch.testing.assert_close(over_all_probes(G, z, 1e-4), off_diagonal_energy(gram(G, z)), rtol=1e-5, atol=1e-9)


# Convergence


def test_error_falls_with_the_square_of_epsilon():
    z, G = normal(4, 6, seed=3), network()
    exact = off_diagonal_energy(gram(G, z)).mean()
    errors = [abs(over_all_probes(G, z, epsilon).mean() - exact).item() for epsilon in (0.04, 0.02, 0.01)]
    for coarse, fine in itertools.pairwise(errors):
        assert 3 < coarse / fine < 5


def test_mean_over_draws_is_the_expectation_for_k_of_two():
    W = normal(8, 6, seed=5)
    variances = orojar(lambda z: z @ W.T, torch.zeros(20_000, 6).double(), reduction=each, generator=seeded(0))
    assert isinstance(variances, torch.Tensor)
    assert abs(variances.mean() - off_diagonal_energy(W.T @ W)) < 4 * variances.std() / 20_000**0.5


def test_spread_of_the_estimate_falls_with_k():
    W = normal(8, 6, seed=5)
    z = torch.zeros(500, 6, dtype=torch.float64)

    def spread(k: int) -> float:
        variances = orojar(lambda z: z @ W.T, z, k, reduction=each, generator=seeded(0))
        return (variances - off_diagonal_energy(W.T @ W)).square().mean().sqrt().item()

    for few, many in itertools.pairwise([spread(k) for k in (2, 8, 32, 128)]):
        assert many < 0.65 * few


# Gradients and precision


def test_gradient_of_a_parameter_against_finite_differences():
    z, probes = normal(3, 4, seed=3), signs(3, 3, 4, seed=9)
    matrix = normal(4, 6, seed=4).requires_grad_()

    def penalty(matrix: torch.Tensor) -> torch.Tensor:
        return orojar(lambda w: network()(w @ matrix), z, probes=probes)

    assert torch.autograd.gradcheck(penalty, (matrix,), eps=1e-5, atol=1e-6, rtol=1e-5)


def test_gradient_of_z_against_finite_differences():
    probes = signs(2, 2, 6, seed=9)
    z = normal(2, 6, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: orojar(network(), z, probes=probes), (z,), eps=1e-5, atol=1e-6)


@pytest.mark.parametrize(("epsilon", "tolerance"), [(0.1, 1e-5), (0.01, 1e-4)])
def test_float32_value_and_gradient_are_close_to_float64(epsilon: float, tolerance: float):
    z, probes = normal(16, 6, seed=3), signs(4, 16, 6, seed=9)
    results = []
    for dtype in (torch.float32, torch.float64):
        leaf = z.to(dtype).requires_grad_()
        value = orojar(network(dtype), leaf, epsilon=epsilon, probes=probes)
        assert value.dtype == dtype
        results.append((value.double(), torch.autograd.grad(value, leaf)[0].double()))
    (value, gradient), (exact_value, exact_gradient) = results
    assert abs(value / exact_value - 1) < tolerance
    assert (gradient - exact_gradient).norm() < tolerance * exact_gradient.norm()


def test_half_precision_does_not_overflow():
    # s is (1 ± 1)² over 40,000 pixels: 160,000 or 0, and 65,504 is the most that a half can hold.
    W = torch.ones(40_000, 2)
    probes = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]])
    z = torch.zeros(1, 2, dtype=torch.float16)
    penalty = orojar(lambda z: z @ W.T.half(), z, epsilon=0.125, probes=probes)
    assert penalty.item() == pytest.approx(160_000**2 / 2)


# Properties


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.floats(-3, 3), st.integers(2, 5))
def test_invariances(seed: int, c: float, k: int):
    z, G, probes = normal(3, 6, seed=seed), network(), signs(k, 3, 6, seed=seed)
    rotation = torch.linalg.qr(normal(40, 40, seed=seed + 1)).Q

    def penalty(G, probes: torch.Tensor = probes) -> torch.Tensor:
        value = orojar(G, z, probes=probes)
        assert isinstance(value, torch.Tensor)
        return value

    value = penalty(G)
    assert value >= 0
    torch.testing.assert_close(penalty(lambda z: G(z) + 5), value, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(penalty(lambda z: G(z) @ rotation), value, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(penalty(lambda z: c * G(z)), c**4 * value, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(penalty(G, probes.flip(0)), value)


def test_the_mean_over_the_batch_is_the_default():
    z, G, probes = normal(5, 6, seed=0), network(), signs(3, 5, 6, seed=1)
    alone = [orojar(G, z[i : i + 1], probes=probes[:, i : i + 1]) for i in range(5)]
    torch.testing.assert_close(orojar(G, z, probes=probes), torch.stack(alone).mean())


def test_several_activations():
    z, G, probes = normal(3, 6, seed=0), network(), signs(2, 3, 6, seed=1)

    def layers(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return G(z), G(z).reshape(3, 4, 10)[:, :2].square()

    separate = orojar(layers, z, probes=probes, return_separately=True)
    alone = [orojar(lambda z, i=i: layers(z)[i], z, probes=probes) for i in range(2)]
    torch.testing.assert_close(separate, alone)
    torch.testing.assert_close(orojar(lambda z: list(layers(z)), z, probes=probes), alone[0] + alone[1])


def test_a_known_centre_saves_a_pass_and_changes_nothing():
    z, G, probes = normal(3, 6, seed=0).requires_grad_(), network(), signs(2, 3, 6, seed=1)
    calls = []

    def counted(z: torch.Tensor) -> torch.Tensor:
        calls.append(z)
        return G(z)

    results = []
    for centre, passes in ((None, 3), (G(z), 2)):
        calls.clear()
        value = orojar(counted, z, 2, 0.1, torch.mean, False, centre, probes=probes)
        assert len(calls) == passes
        results.append((value, torch.autograd.grad(value, z)[0]))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_z_of_any_shape_and_keyword_arguments():
    z, probes, G = normal(3, 2, 3, seed=0), signs(2, 3, 2, 3, seed=1), network()
    shaped = orojar(lambda z, scale: scale * G(z.flatten(1)), z, probes=probes, scale=2.0)
    torch.testing.assert_close(shaped, 16 * orojar(G, z.flatten(1), probes=probes.flatten(2)))


def test_probes_come_from_the_generator_or_are_fresh_and_leave_the_global_state_alone():
    z, G = normal(3, 6, seed=0), network()
    before = torch.get_rng_state()
    fresh = [orojar(G, z) for _ in range(4)]
    assert torch.equal(torch.get_rng_state(), before)
    assert len({float(value) for value in fresh}) > 1
    assert orojar(G, z, generator=seeded(1)) == orojar(G, z, generator=seeded(1))


# Through directions


@pytest.mark.parametrize("layers", ["all", "1-2"])
@pytest.mark.parametrize("family", [save_tiny_biggan, save_tiny_brock])
def test_directions_of_generators_against_their_jacobians(tmp_path: Path, family, layers: str):
    generator = load_generator(str(family(tmp_path))).double()
    Q = orthonormalize(normal(3, generator.z_dim, seed=0))
    z, y = normal(2, generator.z_dim, seed=1), torch.tensor([0, 3])
    w = torch.tensor([[0.0, 0.7, 0.0], [-0.4, 0.0, 0.0]], dtype=torch.float64)
    probes = all_signs(3, 2)
    penalty = OROJAR(generator, Q, Samples(z, y, w, probes), 1e-4, layers)
    exact = off_diagonal_energy(gram(lambda w: generator(generator.shift(z, w @ Q, layers), y), w))
    torch.testing.assert_close(penalty, exact * 8 / 7, rtol=1e-3, atol=0)


def test_gradient_reaches_the_directions(tmp_path: Path):
    generator = load_generator(str(save_tiny_brock(tmp_path))).double()
    samples = Samples(normal(2, 16, seed=1), torch.tensor([0, 3]), normal(2, 2, seed=2), signs(2, 2, 2, seed=3))
    Q = orthonormalize(normal(2, 16, seed=0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda Q: OROJAR(generator, Q, samples, 0.1), (Q,), eps=1e-6, atol=1e-4, rtol=1e-4)


# Bad input

Z = torch.zeros(2, 3)
BAD = [
    ({"k": 1}, "k is 1"),
    ({"epsilon": 0.0}, "epsilon is 0.0"),
    ({"epsilon": float("nan")}, "epsilon is nan"),
    ({"reduction": "mean"}, "reduction is 'mean'"),
    ({"z": torch.zeros(2, 3, dtype=torch.int64)}, r"z is a torch.int64 tensor \(2, 3\)"),
    ({"probes": torch.ones(2, 2, 4)}, "probes have shape"),
    ({"probes": torch.zeros(2, 2, 3)}, r"other than \+1 and -1"),
    ({"G": lambda _: None}, "G returned a NoneType"),
    ({"G": lambda z: z.sum()}, r"G returned shapes \[\(\)\] for 2 z"),
    ({"G": lambda z: z.T}, r"G returned shapes \[\(3, 2\)\] for 2 z"),
    ({"G_z": "image"}, "G returned a str"),
    ({"G_z": torch.zeros(2, 4)}, "must be the same"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input(arguments: dict, message: str):
    with pytest.raises(UserError, match=message) as caught:
        orojar(**({"G": lambda z: z, "z": Z} | arguments))
    assert "\n" not in str(caught.value)
