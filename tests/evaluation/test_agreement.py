"""Matching and principal angles of sets with a known relation."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.agreement import agreement, chance_agreement
from tests.evaluation.known import Z_DIM, frame


@settings(deadline=None, max_examples=20)
@given(
    order=st.permutations(range(Z_DIM)), signs=st.lists(st.sampled_from([-2.0, 1.0]), min_size=Z_DIM, max_size=Z_DIM)
)
def test_order_sign_and_length_are_undone(order: list[int], signs: list[float]) -> None:
    Q = frame()
    found = agreement(Q, (torch.tensor(signs, dtype=torch.float64)[:, None] * Q)[order])
    assert found.partners == [(row, order.index(row)) for row in range(Z_DIM)]
    assert found.mean == pytest.approx(1)
    assert [math.copysign(1, cosine) for cosine in found.cosines] == [math.copysign(1, sign) for sign in signs]


@pytest.mark.parametrize("degrees", [0.0, 10.0, 35.0])
def test_a_turn_of_one_plane_is_measured(degrees: float) -> None:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    axes = torch.eye(Z_DIM, dtype=torch.float64)
    turned = axes[:2].clone()
    turned[1] = c * axes[1] + s * axes[2]
    found = agreement(axes[:2], turned)
    assert found.cosines == pytest.approx([1, c])
    assert found.angles == pytest.approx([0, degrees], abs=1e-4)
    assert found.weighted_mean(torch.tensor([3.0, 1.0])) == pytest.approx((3 + c) / 4)


def test_the_best_sum_wins_over_the_best_first_pair() -> None:
    one = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    other = torch.tensor([[0.9, 0.436], [0.0, 1.0]])
    assert agreement(one, other).partners == [(0, 0), (1, 1)]


def test_sets_of_different_size_are_matched_as_far_as_they_go() -> None:
    Q = frame()
    found = agreement(Q, Q[[4, 1]])
    assert found.partners == [(1, 1), (4, 0)]
    assert found.angles == pytest.approx([0, 0], abs=1e-5)


def test_chance_grows_with_the_number_of_directions_to_choose_from() -> None:
    few, many = chance_agreement(2, 2, 50), chance_agreement(2, 50, 50)
    assert few.mean < many.mean < 0.6
    # One direction each: the mean |cos| of random unit vectors in 3 dimensions is 1/2.
    single = chance_agreement(1, 1, 3)
    assert single.mean == pytest.approx(0.5, abs=4 * single.standard_error)


def test_different_spaces_are_refused() -> None:
    with pytest.raises(UserError, match="z_dim 6 and 4"):
        agreement(frame(), torch.eye(4))
