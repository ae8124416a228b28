"""Each metric on generators with a known value."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import (
    activeness,
    class_transfer,
    contrastive_accuracy,
    diagonalness,
    held_out_values,
    path_length,
    penalty_map,
    random_frames,
    ratio,
)
from biggan_discovery.evaluation.estimates import Estimate, estimate
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw
from tests.evaluation.known import (
    PIXELS,
    SHAPE,
    SLOPES,
    Z_DIM,
    curved,
    dead,
    frame,
    generator,
    linear,
    quadratic,
    random,
    separable,
)

AXES = torch.eye(Z_DIM, dtype=torch.float64)


def means(estimates: list[Estimate]) -> Tensor:
    return torch.tensor([each.mean for each in estimates], dtype=torch.float64)


def errors(estimates: list[Estimate]) -> Tensor:
    return torch.tensor([each.standard_error for each in estimates], dtype=torch.float64)


def slopes_along(Q: Tensor) -> Tensor:
    """Mean over pixels of the squared slope of `linear`, for each direction."""
    return (SLOPES @ Q.T).square().mean(dim=0)


# Estimates.


def test_an_estimate_is_mean_and_standard_error() -> None:
    assert estimate(torch.tensor([1.0, 2.0, 3.0, 6.0])) == pytest.approx((3.0, (14 / 3 / 4) ** 0.5))


def test_a_ratio_of_equal_shape_is_exact() -> None:
    values = random(20).abs()
    assert ratio(3 * values, values.expand(4, -1)) == pytest.approx((3.0, 0.0, 0.0, 0.0, 4), abs=1e-12)


# Spread over frames, over samples, and of what both do to each other.
SPREADS = [(0.6, 1.0, 0.8), (0.6, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.5, 1.5), (0.8, 0.0, 1.0)]


@pytest.mark.parametrize("spreads", SPREADS)
@pytest.mark.parametrize("frames", [4, 8])
def test_the_standard_error_of_a_ratio_is_the_spread_of_many_such_ratios(
    spreads: tuple[float, float, float], frames: int
) -> None:
    of_frames, of_samples, of_both = spreads
    repeats, samples = 3000, 16
    shared = of_samples * random(repeats, samples, seed=1)
    reference = 6 + of_frames * random(repeats, frames, 1, seed=2) + shared[:, None]
    reference = reference + of_both * random(repeats, frames, samples, seed=3)
    values = 3 + 0.5 * shared + 0.3 * random(repeats, samples, seed=4)
    found = [ratio(*each) for each in zip(values, reference, strict=True)]
    spread = torch.tensor([each.mean for each in found]).std().item()
    variances = torch.tensor([[each.standard_error, each.of_samples, each.of_frames] for each in found]).square()
    # A part below 0 counts as 0, so that few frames say too much of their spread rather than too little.
    assert 0.96 * spread < variances[:, 0].mean().sqrt().item() < (1.12 if frames == 4 else 1.08) * spread
    assert torch.allclose(variances[:, 0], variances[:, 1] + variances[:, 2])
    if of_both == 0 and frames == 8:
        # To first order: r = x/y varies with y by -r/y.
        expected = 0.5 / 6 * of_frames / frames**0.5
        assert variances[:, 2].mean().sqrt().item() == pytest.approx(expected, rel=0.1, abs=2e-3)


def test_the_samples_alone_do_not_explain_the_spread_over_frames() -> None:
    frames = 6 + torch.tensor([-1.0, 1.0, 0.5, -0.5])[:, None].expand(-1, 16)
    found = ratio(torch.full((16,), 3.0), frames)
    assert found.of_samples == pytest.approx(0, abs=1e-9)
    # The jackknife of a mean of four, s/2, to first order.
    assert found.of_frames == pytest.approx(0.5 / 6 * frames[:, 0].std().item() / 2, rel=0.02)


def test_one_frame_has_no_spread() -> None:
    with pytest.raises(UserError, match="frames is 1"):
        ratio(torch.ones(4), torch.ones(1, 4))


# Activeness.


def test_activeness_of_a_linear_generator_is_its_squared_slope() -> None:
    Q = frame()
    found = activeness(linear(), Q, extent=2.0, samples=3)
    torch.testing.assert_close(means(found), 4 * slopes_along(Q), rtol=1e-6, atol=0)
    assert errors(found).max() < 1e-6


def test_activeness_sees_the_curvature() -> None:
    # G(z + a·e) - G(z) for one pixel value c·z²/2 is c(az + a²/2): the variance of {-a z + a²/2, 0, a z + a²/2}·c.
    curvature = torch.diag_embed(torch.ones(PIXELS, Z_DIM, dtype=torch.float64))
    plain = generator(lambda z: (torch.einsum("ni,pij,nj->np", z, curvature, z) / 2).view(-1, *SHAPE))
    z = draw(plain, [0], 1, count=5, probes=0, path_size=1, seed=3, stream=Stream.ACTIVENESS, step=0).z
    found = activeness(plain, AXES, extent=2.0, samples=5, seed=3)
    expected = torch.stack((-2 * z + 2, torch.zeros_like(z), 2 * z + 2)).var(dim=0, unbiased=True).mean(dim=0)
    torch.testing.assert_close(means(found), expected)


# Diagonalness.


def expected_figures(hessians: Tensor) -> tuple[float, float, Tensor]:
    """Share, ratio and mean |H| of Hessians (pixels, n, n), from their definitions."""
    off = ~torch.eye(hessians.shape[1], dtype=torch.bool)
    size = hessians.abs()
    diagonal = size.diagonal(dim1=1, dim2=2)
    share = (diagonal.amax(dim=1) >= size[:, off].amax(dim=1)).double().mean().item()
    ratio_ = (diagonal.mean(dim=1) / (size[:, off].mean(dim=1) + 1e-8)).mean().item()
    return share, ratio_, size.mean(dim=0)


@pytest.mark.parametrize("ndirs", [2, 4, Z_DIM])
def test_diagonalness_of_known_hessians(ndirs: int) -> None:
    hessians = random(PIXELS, Z_DIM, Z_DIM, seed=5)
    hessians = hessians + hessians.mT + 2 * torch.diag_embed(random(PIXELS, Z_DIM, seed=6))
    Q = frame(ndirs)
    share, ratio_, magnitudes = expected_figures(Q @ hessians @ Q.T)
    found = diagonalness(quadratic(hessians), Q, epsilon=0.5, samples=3)
    assert 0 < share < 1
    assert found.largest_on_diagonal == pytest.approx((share, 0.0), abs=1e-9)
    assert found.diagonal_to_off_diagonal == pytest.approx((ratio_, 0.0), rel=1e-5, abs=1e-4)
    torch.testing.assert_close(found.magnitudes, magnitudes)


def test_a_separable_generator_is_diagonal_in_its_own_frame_only() -> None:
    R = frame(seed=11)
    rotated = separable(R)
    own, other = diagonalness(rotated, R, samples=2), diagonalness(rotated, AXES, samples=2)
    assert own.largest_on_diagonal.mean == 1
    assert own.diagonal_to_off_diagonal.mean > 1e5
    assert other.largest_on_diagonal.mean < 0.99
    assert other.diagonal_to_off_diagonal.mean < 10


def test_a_pair_that_is_never_drawn_has_no_magnitude_and_others_have_theirs() -> None:
    hessians = random(PIXELS, Z_DIM, Z_DIM, seed=5)
    hessians = hessians + hessians.mT
    _, ratio_, magnitudes = expected_figures(hessians)
    few = diagonalness(quadratic(hessians), AXES, epsilon=0.5, samples=2, pairs=3)
    known = ~few.magnitudes.isnan()
    assert 2 * 3 + Z_DIM <= known.sum() <= 2 * 6 + Z_DIM
    torch.testing.assert_close(few.magnitudes[known], magnitudes[known])
    assert few.largest_on_diagonal.mean >= expected_figures(hessians)[0]
    assert ratio_ > 0


def test_drawn_pairs_and_pixels_agree_within_their_error() -> None:
    hessians = random(PIXELS, Z_DIM, Z_DIM, seed=5)
    hessians = hessians + hessians.mT + 20 * torch.diag_embed(torch.ones(PIXELS, Z_DIM, dtype=torch.float64))
    share, _, magnitudes = expected_figures(hessians)
    by_pixels = diagonalness(quadratic(hessians), AXES, epsilon=0.5, samples=60, pixels=10)
    assert by_pixels.largest_on_diagonal.mean == pytest.approx(share, abs=1e-9 + 4 * by_pixels.largest_on_diagonal[1])
    assert by_pixels.diagonal_to_off_diagonal.standard_error > 0
    by_pairs = diagonalness(quadratic(hessians), AXES, epsilon=0.5, samples=30, pairs=4)
    torch.testing.assert_close(by_pairs.magnitudes, magnitudes)


# Path length.


def test_path_length_of_a_linear_generator_is_its_squared_slope() -> None:
    Q = frame()
    found = path_length(linear(), Q, samples=3)
    torch.testing.assert_close(means(found.length), slopes_along(Q), rtol=1e-6, atol=0)
    torch.testing.assert_close(means(found.change_per_unit), slopes_along(Q).sqrt(), rtol=1e-6, atol=0)


def test_path_length_of_a_parabola_is_the_mean_squared_slope_of_the_walk() -> None:
    # x = (z + w)²/2 with w ~ U(-η, η): squared slopes average to E[z²] + η²/3.
    parabola = generator(lambda z: (z[:, :1].square() / 2).expand(-1, PIXELS).view(-1, *SHAPE))
    found = path_length(parabola, AXES[:1], path_size=3.0, samples=600).length[0]
    assert found.mean == pytest.approx(1 + 3.0, abs=4 * found.standard_error)
    assert found.standard_error < 0.3


def test_path_length_takes_any_distance() -> None:
    halves = path_length(linear(), AXES, samples=2, distance=lambda one, other: (one - other).square().sum((1, 2, 3)))
    torch.testing.assert_close(means(halves.length), PIXELS * slopes_along(AXES), rtol=1e-6, atol=0)


# Contrastive accuracy.


def test_contrastive_accuracy_is_one_where_directions_differ() -> None:
    orthogonal = linear(torch.linalg.qr(SLOPES)[0])
    assert contrastive_accuracy(orthogonal, AXES, samples=4) == (1.0, 0.0)


def test_contrastive_accuracy_is_zero_where_directions_do_the_same() -> None:
    same = generator(lambda z: z.sum(dim=1).view(-1, 1, 1, 1).expand(-1, *SHAPE))
    assert contrastive_accuracy(same, AXES, samples=4).mean == 0


def test_dead_directions_count_as_wrong() -> None:
    assert contrastive_accuracy(dead(living=3), AXES, samples=4).mean == 0.5


# Class transfer.


def test_class_transfer_is_the_correlation_between_the_classes_changes() -> None:
    slopes = torch.stack((SLOPES, -SLOPES, random(PIXELS, Z_DIM, seed=9)))
    classy = generator(lambda z, y: torch.einsum("npi,ni->np", slopes[y], z).view(-1, *SHAPE), num_classes=3)
    Q = frame(4)
    for classes in ([0, 1], [0, 2], [0, 1, 2]):
        found = class_transfer(classy, Q, classes=classes, samples=2)
        for direction, q in enumerate(Q):
            correlations = torch.corrcoef(slopes[classes] @ q)
            upper = correlations[torch.triu(torch.ones_like(correlations), diagonal=1).bool()]
            assert found[direction].mean == pytest.approx(upper.mean().item(), abs=1e-6)


def test_class_transfer_of_a_direction_that_does_nothing_is_zero() -> None:
    blind = dead(living=3)
    classy = generator(lambda z, y: blind(z, torch.zeros_like(y)), num_classes=2)
    torch.testing.assert_close(
        means(class_transfer(classy, AXES, classes=[0, 1], samples=2)),
        torch.tensor([1.0, 1, 1, 0, 0, 0], dtype=torch.float64),
    )


# Held-out objectives.


@pytest.mark.parametrize("objective", ["hessian", "orojar"])
def test_held_out_objectives_vanish_in_the_right_frame_only(objective: str) -> None:
    R = frame(seed=11)
    orthogonal = linear(torch.linalg.qr(SLOPES)[0] * torch.arange(1.0, 7.0, dtype=torch.float64))
    subject, Q = (separable(R), R) if objective == "hessian" else (orthogonal, AXES)
    right = held_out_values(subject, Q, objective=objective, samples=4)
    others = [
        held_out_values(subject, other, objective=objective, samples=4)
        for other in random_frames(subject, Z_DIM, layers="all", count=3, seed=5)
    ]
    assert ratio(right, torch.stack(others)).mean < 1e-6
    assert 0.2 < ratio(others[0], torch.stack(others[1:])).mean < 5


@pytest.mark.parametrize("living", [3, Z_DIM])
def test_held_out_objectives_of_known_derivatives(living: int) -> None:
    # 2·Σ_{i≠j} of squares: of Hessian entries, mean over pixels; of inner products of the Jacobian's columns.
    alive = (torch.arange(Z_DIM) < living).double()
    hessians = random(PIXELS, Z_DIM, Z_DIM, seed=5)
    hessians = (hessians + hessians.mT) * alive * alive[:, None]
    slopes, Q = SLOPES * alive, frame()
    products = Q @ slopes.T @ slopes @ Q.T
    for objective, subject, matrices in (
        ("hessian", quadratic(hessians), Q @ hessians @ Q.T),
        ("orojar", linear(slopes), products[None]),
    ):
        off = matrices - torch.diag_embed(matrices.diagonal(dim1=1, dim2=2))
        found = estimate(held_out_values(subject, Q, objective=objective, samples=100, probes=40))
        assert found.mean == pytest.approx(2 * off.square().sum((1, 2)).mean().item(), abs=4 * found.standard_error)
        assert found.standard_error < 0.05 * found.mean
        # One direction has nothing to mix with, and those that do nothing do not count.
        assert held_out_values(subject, AXES[living - 1 :], objective=objective, samples=2).max() < 1e-12


def test_the_penalty_map_says_which_pixels_are_not_diagonal() -> None:
    hessians = torch.zeros(PIXELS, Z_DIM, Z_DIM, dtype=torch.float64)
    hessians[5, 0, 1] = hessians[5, 1, 0] = 3.0  # channel 0, row 1, column 1
    subject = quadratic(hessians)
    samples = draw(subject, [0], Z_DIM, count=2, probes=400, path_size=2, seed=0, stream=Stream.PENALTY_MAP, step=0)
    found = penalty_map(subject, AXES, samples, epsilon=0.1)
    assert found.shape == (2, *SHAPE[1:])
    # 2·Σ_{i≠j} H_ij² is 36 for one of three channels.
    assert found[:, 1, 1].tolist() == pytest.approx([12.0, 12.0], rel=0.1)
    found[:, 1, 1] = 0
    assert found.abs().max() < 1e-6


# Bad input.


@pytest.mark.parametrize(
    ("metric", "settings", "message"),
    [
        (activeness, {"samples": 1}, "samples is 1"),
        (activeness, {"Q": torch.eye(5)}, "Q has shape (5, 5)"),
        (diagonalness, {"pairs": 0}, "pairs is 0"),
        (diagonalness, {"pixels": -2}, "pixels is -2"),
        (diagonalness, {"Q": torch.eye(1, Z_DIM)}, "1 direction"),
        (contrastive_accuracy, {"Q": torch.eye(1, Z_DIM)}, "1 direction"),
        (class_transfer, {"classes": [0, 0]}, "classes [0, 0]"),
    ],
)
def test_bad_input_is_named(metric, settings: dict, message: str) -> None:
    settings = {"Q": AXES, **settings}
    with pytest.raises(UserError, match=re.escape(message)):
        metric(curved(), settings.pop("Q"), **settings)
