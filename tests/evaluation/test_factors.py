"""Metrics of known factors against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.metrics.dci import dci, disentanglement, mutual_information_gap
from biggan_discovery.evaluation.metrics.factors import (
    Response,
    codes_and_factors,
    codes_and_predictions,
    codes_and_predictions_cost,
    leakage,
    response_of_images,
    response_of_images_cost,
    response_of_latents,
)
from biggan_discovery.generators import FunctionGenerator
from tests.evaluation.known import SHAPE, Z_DIM, Counted, frame, generator, linear, random

NUM = 3
TRUTH = frame(NUM, seed=21)
REST = frame(Z_DIM, seed=21)[NUM:]


def shows_its_factors() -> FunctionGenerator:
    """The first three pixels are the factors; three of six dimensions do nothing."""

    def images(z: Tensor) -> Tensor:
        shown = torch.special.ndtr(z @ TRUTH.T)
        return torch.nn.functional.pad(shown, (0, math.prod(SHAPE) - NUM)).view(-1, *SHAPE)

    shown = generator(images)
    shown.true_directions, shown.factor_names = TRUTH.float(), ("size", "hue", "light")
    return shown


def read(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :NUM]


# Response and leakage.


def test_a_true_direction_moves_its_own_factor_by_a_known_amount() -> None:
    found = response_of_latents(shows_its_factors(), TRUTH, samples=2000)
    # E|Φ(u+1) - Φ(u-1)| for a normal u is 2Φ(1/√2) - 1.
    expected = math.erf(0.5)
    own = found.matrix.diagonal()
    assert ((own - expected).abs() < 4 * found.standard_error.diagonal()).all()
    others = found.matrix - torch.diag(own)
    assert others.max() < 1e-6


def test_both_responses_agree_where_images_show_the_factors() -> None:
    Q = torch.cat((frame(4, seed=5), REST[:1]))
    by_latents = response_of_latents(shows_its_factors(), Q, samples=5, seed=3)
    by_images = response_of_images(shows_its_factors(), Q, read, samples=5, seed=3)
    torch.testing.assert_close(by_latents.matrix, by_images.matrix, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(by_latents.standard_error, by_images.standard_error, rtol=1e-5, atol=1e-7)
    assert by_images.matrix[4].max() < 1e-6


def test_images_of_a_response_cost_what_they_state() -> None:
    counted = Counted(shows_its_factors())
    response_of_images(counted.generator, frame(4), read, samples=3)
    assert counted.count == response_of_images_cost(4, samples=3)
    counted = Counted(shows_its_factors())
    codes_and_predictions(counted.generator, frame(4), read, samples=20)
    assert counted.count == codes_and_predictions_cost(samples=20)


def test_leakage_is_what_does_not_go_to_the_first_factor() -> None:
    matrix = torch.tensor([[0.0, 0.6, 0.0], [0.2, 0.2, 0.2], [0.0, 0.0, 0.0], [0.3, 0.1, 0.0]])
    of_each, of_all = leakage(matrix)
    torch.testing.assert_close(of_each, torch.tensor([0.0, 2 / 3, 0.0, 0.25]))
    assert of_all.item() == pytest.approx(1 - 1.1 / 1.6)


def test_leakage_of_a_response_has_the_spread_of_many_such_responses() -> None:
    changes = random(300, 40, 2, 3).abs() * torch.tensor([[3.0, 1, 1], [1, 1, 2]])
    found = [Response(each).leakage for each in changes]
    means = torch.tensor([each.mean for each in found])
    assert sum(each.standard_error for each in found) / 300 == pytest.approx(means.std().item(), rel=0.15)
    assert Response(changes[0]).leakage.mean == pytest.approx(leakage(changes[0].mean(dim=0))[1].item())


@settings(deadline=None, max_examples=4)
@given(order=st.permutations(range(5)), signs=st.lists(st.sampled_from([-1.0, 1.0]), min_size=5, max_size=5))
def test_signs_and_order_of_directions_do_not_matter(order: list[int], signs: list[float]) -> None:
    Q = frame(5, seed=8)
    changed = (torch.tensor(signs, dtype=torch.float64)[:, None] * Q)[order]
    before = response_of_latents(shows_its_factors(), Q, samples=4).matrix
    after = response_of_latents(shows_its_factors(), changed, samples=4).matrix
    torch.testing.assert_close(after, before[order])


def test_signs_and_order_of_codes_do_not_matter() -> None:
    codes, factors = random(200, 4), random(200, 2, seed=1)
    factors += codes[:, :2]
    for first, second in zip(dci(codes, factors)[:3], dci(-codes.flip(1), factors)[:3], strict=True):
        assert first == pytest.approx(second, abs=1e-3)
    codes, factors = random(1600, 4), random(1600, 2, seed=1)
    factors += codes[:, :2]
    gap, changed = (mutual_information_gap(each, factors) for each in (codes, -codes.flip(1)))
    # The bins of the mirrored codes are mirrored but for one code at each border.
    assert gap.mean == pytest.approx(changed.mean, abs=0.02)
    assert gap.mean > 0.05


# DCI.


def binary_entropy(share: float) -> float:
    return -sum(part * math.log2(part) for part in (share, 1 - share))


def test_the_true_directions_score_one() -> None:
    found = dci(*codes_and_factors(shows_its_factors(), torch.cat((REST, TRUTH)), samples=2000))
    for score in found[:3]:
        assert score.mean > 0.97
        assert score.standard_error < 0.02
    assert (found.importance.argmax(dim=0) == torch.arange(3, 6)).all()


@pytest.mark.parametrize("degrees", [15, 30, 45])
def test_a_rotated_pair_scores_by_its_entropy(degrees: int) -> None:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    factors = random(4000, 2)
    found = dci(factors @ torch.tensor([[c, -s], [s, c]], dtype=torch.float64), factors)
    expected = 1 - binary_entropy(c / (c + s))
    assert found.disentanglement.mean == pytest.approx(expected, abs=0.03)
    assert found.completeness.mean == pytest.approx(expected, abs=0.03)
    assert found.informativeness.mean > 0.98


def test_a_factor_that_no_code_tells_lowers_completeness_and_informativeness_only() -> None:
    found = dci(*codes_and_factors(shows_its_factors(), TRUTH[:2], samples=4000))
    assert found.disentanglement.mean > 0.9
    assert found.informativeness.mean == pytest.approx(2 / 3, abs=0.03)


def test_disentanglement_of_known_importances() -> None:
    importance = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    half = 1 - math.log(2) / math.log(3)
    assert disentanglement(importance).item() == pytest.approx((1 * 1 + 2 * half) / 3)
    assert disentanglement(importance, weighted=False).item() == pytest.approx((1 + half + 0) / 3)


def test_what_images_show_counts_for_predictions() -> None:
    codes, values = codes_and_predictions(shows_its_factors(), TRUTH, read, samples=400)
    inside = codes.abs() < 2.3
    torch.testing.assert_close(values[inside], codes[inside], rtol=0, atol=1e-6)
    assert values.abs().max() <= 2.4


# Mutual information gap.


def test_the_gap_is_one_for_the_factors_themselves_and_none_for_an_even_mixture() -> None:
    factors = random(16_000, 2)
    mixed = factors @ torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    assert mutual_information_gap(factors, factors).mean == pytest.approx(1, abs=0.03)
    assert mutual_information_gap(mixed, factors).mean < 0.03


def test_the_gap_of_noisy_codes_is_that_of_the_gaussian() -> None:
    # I of normals with correlation ρ is -log(1-ρ²)/2; binning loses a little of it.
    factor, noise, other = random(40_000, 3).T
    for rho in (0.5, 0.8):
        codes = torch.stack((rho * factor + (1 - rho**2) ** 0.5 * noise, other), dim=1)
        expected = -math.log(1 - rho**2) / 2 / math.log(20)
        assert mutual_information_gap(codes, factor[:, None]).mean == pytest.approx(expected, rel=0.08)


# Bad input.


def test_unknown_factors_and_too_few_samples_are_refused() -> None:
    with pytest.raises(UserError, match="true factors of function are unknown"):
        response_of_latents(linear(), frame())
    with pytest.raises(UserError, match="give at least 160 samples"):
        dci(random(159, 3), random(159, 2))
    with pytest.raises(UserError, match="1600 samples"):
        mutual_information_gap(random(1599, 3), random(1599, 2))
