"""Ways through z, against closed forms and the properties that define them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.rendering.paths import great_circle, lerp, slerp, small_circle

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.floats(0, 1))
def test_an_arc_turns_at_constant_speed_and_its_norm_changes_linearly(seed: int, share: float) -> None:
    a, b = drawn(seed, 2, 3, 7)
    at = slerp(a, b, torch.full((3,), share, dtype=torch.float64))
    torch.testing.assert_close(at.norm(dim=-1), (1 - share) * a.norm(dim=-1) + share * b.norm(dim=-1))
    whole = torch.acos(torch.cosine_similarity(a, b, dim=-1))
    part = torch.acos(torch.cosine_similarity(a, at, dim=-1).clamp(-1, 1))
    torch.testing.assert_close(part, share * whole, atol=1e-6, rtol=1e-6)
    # In the plane of the two.
    basis = torch.linalg.qr(torch.stack((a, b), dim=-1)).Q
    torch.testing.assert_close((basis @ (basis.mT @ at[..., None]))[..., 0], at)


def test_ends_are_exact_and_parallel_latents_too() -> None:
    a, b = drawn(0, 2, 1, 5).float()
    for way in (slerp, lerp):
        assert torch.equal(way(a, b, torch.zeros(1)), a)
        assert torch.equal(way(a, b, torch.ones(1)), b)
    torch.testing.assert_close(slerp(a, 3 * a, torch.tensor([0.25])), 1.5 * a)
    torch.testing.assert_close(slerp(torch.zeros(1, 5), a, torch.tensor([0.25])), 0.25 * a)
    torch.testing.assert_close(lerp(a, b, torch.tensor([0.25])), 0.75 * a + 0.25 * b)


def test_a_latent_for_each_layer_turns_by_itself() -> None:
    a, b = drawn(1, 2, 4, 3, 5)
    shares = torch.rand(4, 1, dtype=torch.float64).expand(4, 3)
    at = slerp(a, b, shares)
    torch.testing.assert_close(at[2, 1], slerp(a[2, 1], b[2, 1], shares[2, 1]))


def test_opposite_latents_have_no_shortest_arc() -> None:
    with pytest.raises(UserError, match="opposite latents"):
        slerp(torch.ones(1, 3), -2 * torch.ones(1, 3), torch.tensor([0.5]))


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.floats(-9, 9))
def test_a_great_circle_is_that_of_the_paper(seed: int, amount: float) -> None:
    z, q = drawn(seed, 7), torch.nn.functional.normalize(drawn(seed + 1, 7), dim=0)
    rest = z - (z @ q) * q
    angle = torch.asin(z @ q / z.norm()) + amount / z.norm()
    expected = z.norm() * (angle.cos() * rest / rest.norm() + angle.sin() * q)
    moved = great_circle(z, 3 * q, torch.tensor(amount, dtype=torch.float64))
    torch.testing.assert_close(moved, expected, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(moved.norm(), z.norm())


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.floats(-9, 9), st.floats(-9, 9))
def test_a_small_circle_keeps_the_norm_and_amounts_add(seed: int, first: float, second: float) -> None:
    z, (q, reference) = drawn(seed, 3, 7), drawn(seed + 1, 2, 7)
    moved = z
    for each in (first, second):
        moved = small_circle(moved, q, reference, torch.full((3,), each, dtype=torch.float64))
    torch.testing.assert_close(moved.norm(dim=-1), z.norm(dim=-1))
    at_once = small_circle(z, q, reference, torch.full((3,), first + second, dtype=torch.float64))
    torch.testing.assert_close(moved, at_once, atol=1e-6, rtol=1e-6)


def test_circles_begin_along_the_direction_at_unit_speed() -> None:
    z, (q, reference) = drawn(2, 3, 7), drawn(3, 2, 7)
    unit = q / q.norm()
    step = torch.full((3,), 1e-6, dtype=torch.float64)
    zero = torch.zeros(3, dtype=torch.float64)
    great = (great_circle(z, q, step) - great_circle(z, q, zero)) / 1e-6
    small = (small_circle(z, q, reference, step) - z) / 1e-6
    assert torch.equal(great_circle(z, q, zero), z)
    torch.testing.assert_close(great.norm(dim=-1), torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(small.norm(dim=-1), torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0)
    # The part of the direction that is tangent to the sphere.
    radial = z / z.norm(dim=-1, keepdim=True)
    tangent = unit - (radial @ unit)[:, None] * radial
    tangent = tangent / tangent.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(great, tangent, atol=1e-5, rtol=0)


def test_a_great_circle_leads_to_the_direction() -> None:
    z, q = drawn(4, 1, 7), drawn(5, 7)
    q = q - (q @ z[0]) / (z[0] @ z[0]) * z[0]  # A quarter of the circle away.
    length = z.norm()
    there = great_circle(z, q, (length * math.pi / 2).view(1))
    torch.testing.assert_close(there[0], length * q / q.norm())


def test_a_small_circle_keeps_all_other_coordinates() -> None:
    z = drawn(6, 2, 5)
    q, reference = torch.eye(5, dtype=torch.float64)[[1, 3]]
    amounts = torch.tensor([0.7, -1.3], dtype=torch.float64)
    moved = small_circle(z, q, reference, amounts)
    torch.testing.assert_close(moved[:, [0, 2, 4]], z[:, [0, 2, 4]])
    radius = torch.hypot(z[:, 1], z[:, 3])
    angle = torch.atan2(z[:, 1], z[:, 3]) + amounts / radius
    torch.testing.assert_close(moved[:, 1], radius * angle.sin())
    torch.testing.assert_close(moved[:, 3], radius * angle.cos())


def test_parallel_directions_span_no_plane() -> None:
    with pytest.raises(UserError, match="not parallel"):
        small_circle(torch.ones(1, 3), torch.ones(3), -2 * torch.ones(3), torch.ones(1))
