"""Which directions are inactive: against Jacobians in closed form, the bundled generators, and files without one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biggan_discovery.directions import Directions
from biggan_discovery.directions.activity import (
    INACTIVE,
    active_first,
    inactive,
    random_strengths,
    random_strengths_cost,
    relative_changes,
    stored_changes,
    strengths,
    strengths_cost,
)
from biggan_discovery.generators import load_generator
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw
from tests.evaluation.known import PIXELS, SLOPES, Z_DIM, Counted, curved, dead, frame, generator, linear

AXES = torch.eye(Z_DIM, dtype=torch.float64)
changes = st.lists(st.floats(0, 10), min_size=1, max_size=12)


def latents(of, count: int = 4):
    drawn = draw(
        of, list(range(of.num_classes)), 1, count=count, probes=0, path_size=0, seed=1, stream=Stream.ACTIVENESS, step=0
    )
    return drawn.z, drawn.y


def measured(of, Q: torch.Tensor, layers: str = "all", count: int = 16) -> list[float]:
    z, y = latents(of, count)
    of_each = strengths(of, Q, z, y, layers=layers).mean(dim=0)
    return relative_changes(of_each.tolist(), random_strengths(of, z, y).mean().item())


def test_strength_is_the_squared_slope_whatever_the_length_of_a_row() -> None:
    Q = frame(4)
    of = linear()
    expected = (Q @ SLOPES.T).square().mean(dim=1).expand(4, -1)
    for rows in (Q, 3 * Q):
        torch.testing.assert_close(strengths(of, rows, *latents(of)), expected, rtol=1e-6, atol=0)


def test_random_directions_have_the_mean_strength_of_the_space() -> None:
    of = linear()
    found = random_strengths(of, *latents(of, 200))
    assert found.mean().item() == pytest.approx(SLOPES.square().sum().item() / PIXELS / Z_DIM, rel=0.03)


def test_both_cost_what_is_stated() -> None:
    counted = Counted(curved(), num_classes=2)
    z, y = latents(counted.generator, 3)
    strengths(counted.generator, frame(5), z, y)
    assert counted.count == strengths_cost(5, samples=3)
    random_strengths(counted.generator, z, y)
    assert counted.count == strengths_cost(5, samples=3) + random_strengths_cost(samples=3)


@pytest.mark.parametrize("living", range(Z_DIM + 1))
def test_dimensions_that_do_nothing_are_inactive(living: int) -> None:
    assert inactive(measured(dead(living), AXES)) == list(range(living, Z_DIM))


def test_one_exceptional_direction_does_not_make_the_others_inactive() -> None:
    slopes = torch.ones(PIXELS, Z_DIM, dtype=torch.float64)
    slopes[:, 0] = 8.0
    assert inactive(measured(linear(slopes), AXES)) == []


def test_changes_of_rounding_are_none() -> None:
    noise = generator(lambda z: 1e-7 * torch.sin(1e3 * z).sum(dim=1, keepdim=True).expand(-1, PIXELS).view(-1, 3, 4, 4))
    assert measured(noise, AXES) == [0.0] * Z_DIM


@pytest.mark.parametrize("name", ["scenes-64", "cifar-32"])
def test_bundled_directions_are_of_the_bundled_weights(name: str) -> None:
    found = Directions.load(name)
    assert found.metadata["generator_sha256"] == load_generator(name, device="cpu").sha256
    assert found.names[0]


def test_the_bundled_directions_have_eight_inactive_ones() -> None:
    of, found = load_generator("scenes-64"), Directions.load("scenes-64")
    assert inactive(stored_changes(found) or []) == list(range(8, 16))
    z, y = latents(of, 4)
    of_each = strengths(of, found.Q, z, y).mean(dim=0).tolist()
    for seed in range(2):
        of_random = random_strengths(of, z, y, seed=seed).mean().item()
        assert inactive(relative_changes(of_each, of_random)) == list(range(8, 16))


def test_strengths_that_a_search_kept() -> None:
    found = Directions(torch.eye(3), metadata={"strength": [4.0, 1.9, 0.1]})
    assert stored_changes(found) == pytest.approx([2**0.5, 0.95**0.5, 0.05**0.5])
    found.metadata["random_strength"] = 4.0
    assert stored_changes(found) == pytest.approx([1.0, 0.475**0.5, 0.025**0.5])


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"singular_values": [3.0, 2.0, 1.0]},
        {"random_strength": 1.0},
        {"strength": [1.0, 2.0, 3.0], "layers": "mid"},  # compared with what?
    ],
)
def test_files_that_do_not_say(metadata: dict) -> None:
    assert stored_changes(Directions(torch.eye(3), metadata=metadata)) is None


def test_a_part_of_the_space_does_not_say() -> None:
    assert stored_changes(Directions(torch.eye(2, 3), metadata={"strength": [1.0, 2.0]})) is None


@given(changes)
def test_active_directions_come_first_in_their_order(found: list[float]) -> None:
    order, idle = active_first(found), inactive(found)
    live = [index for index in range(len(found)) if found[index] >= INACTIVE]
    assert order == live + idle


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=12), st.floats(1e-6, 1e6), st.floats(1e-3, 1e3))
def test_contrast_does_not_matter(strength: list[float], of_random: float, scale: float) -> None:
    strength = [max(each, 1e-6) for each in strength]
    scaled = relative_changes([scale * each for each in strength], scale * of_random)
    assert scaled == pytest.approx(relative_changes(strength, of_random))
