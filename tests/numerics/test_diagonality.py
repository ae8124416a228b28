from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.numerics.bootstrap import Kind, error_angles, stacked
from biggan_discovery.numerics.diagonality import random_off_diagonal, ratios_to_random, scaled
from biggan_discovery.numerics.jacobi_angles import jointly_diagonalize, leg, start_frame
from biggan_discovery.numerics.symmetric import compressed, from_entries, of_moments, to_entries


def symmetric(*shape: int, seed: int) -> torch.Tensor:
    matrices = torch.randn(*shape, shape[-1], dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return matrices + matrices.mT


def frame(size: int, seed: int) -> torch.Tensor:
    return torch.linalg.qr(symmetric(size, seed=seed)).Q


def off(matrices: torch.Tensor, Q: torch.Tensor) -> torch.Tensor:
    rotated = Q @ matrices @ Q.T
    return rotated.square().sum((-1, -2)) - rotated.diagonal(dim1=-1, dim2=-2).square().sum(-1)


@pytest.mark.parametrize(("n", "k"), [(2, 2), (5, 5), (5, 3)])
def test_the_expected_value_of_random_frames_is_their_mean(n, k):
    matrices = symmetric(3, 2, n, seed=n) + 2 * torch.eye(n)
    values = torch.stack([off(matrices, frame(n, seed)[:k]).sum(1) for seed in range(3000)])
    expected = random_off_diagonal(matrices) * k * (k - 1) / (n * (n - 1))
    error = values.std(0) / 3000**0.5
    assert ((values.mean(0) - expected).abs() < 4 * error).all()
    Q = frame(n, 1)[:k]
    assert torch.allclose(ratios_to_random(matrices, Q), off(matrices, Q).sum(1) / expected)


def test_what_every_frame_diagonalizes_has_no_ratio():
    matrices = torch.stack([3 * torch.eye(4)[None], torch.zeros(1, 4, 4), symmetric(1, 4, seed=0).float()])
    ratios = ratios_to_random(matrices, frame(4, 0))
    assert ratios.isnan().tolist() == [True, True, False]
    assert scaled(matrices)[:2].abs().max() == 0


def test_scaled_latents_have_equal_weight():
    matrices = symmetric(4, 3, 5, seed=1) * torch.tensor([1e-3, 1.0, 5.0, 1e4])[:, None, None, None]
    assert torch.allclose(random_off_diagonal(scaled(matrices)), torch.ones(4, dtype=torch.float64))


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 6), count=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_compressed_matrices_have_the_same_sums_of_squares(n, count, seed):
    matrices = symmetric(count, n, seed=seed)
    fewer = compressed(matrices)
    assert len(fewer) <= max(n * (n + 1) // 2, min(count, n * (n + 1) // 2))
    Q = frame(n, seed + 1)
    assert torch.allclose((Q @ fewer @ Q.T).square().sum(0), (Q @ matrices @ Q.T).square().sum(0))
    assert torch.allclose(from_entries(to_entries(matrices)), matrices)
    entries = to_entries(matrices)
    assert torch.allclose((Q @ of_moments(entries.T @ entries) @ Q.T).square().sum(0), off_and_on(matrices, Q))


def off_and_on(matrices: torch.Tensor, Q: torch.Tensor) -> torch.Tensor:
    return (Q @ matrices @ Q.T).square().sum(0)


def test_a_leg_is_a_function_of_its_frame_alone():
    matrices = symmetric(30, 8, seed=2)
    first = leg(matrices, start_frame(matrices, 0, 0))
    again = leg(matrices.clone(), first.Q.clone())
    assert torch.equal(leg(matrices, first.Q).Q, again.Q)
    assert again.off_diagonal <= first.off_diagonal


def noisy(latents: int, seed: int, *, noise: float = 0.3, equal: int = 0) -> torch.Tensor:
    """One matrix a latent: diagonal along the axes, the first `equal` of them alike, and noise."""
    random = torch.Generator().manual_seed(seed)
    diagonals = torch.randn(latents, 6, dtype=torch.float64, generator=random)
    diagonals[:, :equal] = diagonals[:, :1]
    return (torch.diag_embed(diagonals) + noise * symmetric(latents, 6, seed=seed + 1) / 2)[:, None]


def angle_between(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one @ other.T).abs().amax(dim=1).clamp(max=1).acos().rad2deg()


@pytest.mark.parametrize("latents", [20, 80])
def test_error_angles_are_the_scatter_of_frames_of_other_latents(latents):
    frames, predicted = [], []
    for seed in range(12):
        kind = Kind(noisy(latents, 10 * seed), 1.0)
        Q = jointly_diagonalize(stacked([kind])).Q
        frames.append(angle_between(Q, torch.eye(6, dtype=torch.float64)))
        predicted.append(error_angles([kind], Q))
    scatter = torch.stack(frames).square().mean().sqrt()
    said = torch.stack(predicted).square().mean().sqrt()
    assert 0.7 < said / scatter < 1.5


def test_axes_that_may_rotate_freely_are_not_determined():
    matrices = noisy(40, 0, noise=1e-3, equal=2)
    Q = jointly_diagonalize(matrices[:, 0]).Q
    angles = error_angles([Kind(matrices, 1.0)], Q)
    free = (Q[:, :2].square().sum(1) > 0.5).tolist()
    assert [angle > 5 for angle in angles.tolist()] == free
    assert angles[torch.tensor(free).logical_not()].max() < 0.1
    exact = noisy(40, 0, noise=0.0, equal=2)
    assert error_angles([Kind(exact, 1.0)], torch.eye(6)).tolist() == [90, 90, 0, 0, 0, 0]
    assert error_angles([Kind(exact[:1], 1.0)], torch.eye(6)).tolist() == [90] * 6


def test_weights_and_counts_are_of_squares():
    one, other = symmetric(3, 1, 4, seed=1), symmetric(3, 2, 4, seed=2)
    Q = frame(4, 3)
    together = stacked([Kind(one, 0.25), Kind(other, 0.75)], torch.tensor([2.0, 0.0, 1.0]))
    by_hand = sum(
        count * (0.25 * off(one[index], Q).sum() + 0.75 * off(other[index], Q).sum())
        for index, count in ((0, 2), (2, 1))
    )
    assert off(together, Q).sum().item() == pytest.approx(float(by_hand))
