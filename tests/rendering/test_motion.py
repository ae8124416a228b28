from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.directions import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.rendering import edit_shares, loop_amounts, move, strip_amounts, traversal
from biggan_discovery.rendering.motion import generate
from biggan_discovery.rendering.table import EASINGS
from tests.rendering.toy import Z_DIM, levels, toy_generator


@pytest.fixture
def directions() -> Directions:
    return Directions(torch.randn(3, Z_DIM, generator=torch.Generator().manual_seed(0)))


@settings(deadline=None)
@given(st.integers(4, 500), st.floats(1e-3, 1e3), st.sampled_from(list(EASINGS)))
def test_a_loop_reaches_both_ends_exactly_and_has_no_jump(frames: int, path_size: float, easing: str) -> None:
    amounts = loop_amounts(frames, path_size, easing)
    assert len(amounts) == frames
    assert amounts[0] == 0
    assert max(amounts) == path_size
    assert min(amounts) == -path_size
    up, down = amounts.index(path_size), amounts.index(-path_size)
    assert up < down
    assert amounts[: up + 1] == sorted(amounts[: up + 1])
    assert amounts[up : down + 1] == sorted(amounts[up : down + 1], reverse=True)
    assert amounts[down:] == sorted(amounts[down:])
    # The way from the last frame to the first is a step like the others.
    assert amounts[-1] < 0
    assert -amounts[-1] == pytest.approx(amounts[1])


@settings(deadline=None)
@given(st.integers(1, 100))
def test_the_pace_is_the_sine_or_the_triangle_wave(quarter: int) -> None:
    frames = 4 * quarter
    sine = [2 * math.sin(2 * math.pi * frame / frames) for frame in range(frames)]
    assert loop_amounts(frames, 2.0) == pytest.approx(sine, abs=1e-9)
    triangle = [math.asin(value / 2) / (math.pi / 2) for value in sine]
    assert loop_amounts(frames, 1.0, "linear") == pytest.approx(triangle, abs=1e-6)
    assert len(set(loop_amounts(frames, 2.0))) == 2 * quarter + 1


def test_strips_and_edits_are_evenly_made() -> None:
    assert strip_amounts(5, 4.0) == [-4, -2, 0, 2, 4]
    assert strip_amounts(2, 3.0) == [-3, 3]
    for frames in (2, 3, 4, 7, 60):
        shares = edit_shares(frames)
        assert (shares[0], max(shares), shares[frames // 2]) == (0, 1, 1)
    assert edit_shares(4) == [0, 0.5, 1, 0.5]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: loop_amounts(3, 1.0), "3 frames"),
        (lambda: loop_amounts(60, 0.0), "path size 0.0"),
        (lambda: loop_amounts(60, math.nan), "path size nan"),
        (lambda: loop_amounts(60, math.inf), "path size inf"),
        (lambda: loop_amounts(60, 1.0, "sin"), "did you mean 'sine'"),
        (lambda: strip_amounts(1, 1.0), "strip of 1"),
        (lambda: edit_shares(1), "1 frames"),
    ],
)
def test_bad_input(call, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("orthogonalize", ["qr", "none"])
def test_centred_moves_set_the_part_along_the_direction_and_leave_the_rest(orthogonalize: str) -> None:
    A = torch.randn(3, Z_DIM, generator=torch.Generator().manual_seed(1))
    Q = A if orthogonalize == "none" else None
    directions = Directions(A, Q, {"settings": {"orthogonalize": orthogonalize}})
    q, z = directions.Q[1].double(), torch.randn(7, Z_DIM, dtype=torch.float64)
    moved = move(toy_generator(), directions, z, 1, 2.5, centred=True)
    torch.testing.assert_close(moved @ q / (q @ q), torch.full((7,), 2.5, dtype=torch.float64))
    across = torch.linalg.svd(q[None]).Vh[1:]
    torch.testing.assert_close(moved @ across.T, z @ across.T)
    torch.testing.assert_close(move(toy_generator(), directions, z, 1, 2.5), z + 2.5 * q)


def test_a_traversal_is_the_images_of_the_moved_latents(directions: Directions) -> None:
    z, y = torch.randn(4, Z_DIM), torch.zeros(4, dtype=torch.int64)
    walked = list(traversal(toy_generator(), directions, z, y, 2, [-1.0, 0.0, 3.0], batch=3))
    assert len(walked) == 3
    q = directions.Q[2]
    for images, amount in zip(walked, (-1, 0, 3), strict=True):
        torch.testing.assert_close(images, levels(z + amount * q))


def test_images_are_made_in_batches_and_only_when_asked_for() -> None:
    sizes: list[int] = []

    def counted(z: torch.Tensor) -> torch.Tensor:
        sizes.append(len(z))
        return levels(z)

    generator = FunctionGenerator(counted, z_dim=Z_DIM, resolution=8, channels=3)
    batches = generate(generator, torch.zeros(10, Z_DIM), torch.zeros(10, dtype=torch.int64), batch=4)
    next(batches)
    assert sizes == [4]
    assert not any(images.requires_grad for images in batches)
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize(("resolution", "sizes"), [(32, [40]), (64, [16, 16, 8]), (128, [4] * 10), (4096, [1] * 40)])
def test_the_larger_images_are_the_fewer_are_made_at_once(resolution: int, sizes: list[int]) -> None:
    made: list[int] = []

    def counted(z: torch.Tensor) -> torch.Tensor:
        made.append(len(z))
        return z.new_zeros(()).expand(len(z), 3, resolution, resolution)

    generator = FunctionGenerator(counted, z_dim=Z_DIM, resolution=resolution, channels=3)
    list(generate(generator, torch.zeros(40, Z_DIM), torch.zeros(40, dtype=torch.int64)))
    assert made == sizes
