"""Recommended ranges on generators whose images saturate, turn back or become unusual at known amounts."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from biggan_discovery import Directions
from biggan_discovery.evaluation.ranges import recommend_ranges
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.rendering.ways import equal_reach

LENGTH = 4.0  # of z, which has 16 coordinates


def high_end(path: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """The upper end for one direction, along which a pattern is added that other coordinates also vary."""
    patterns = torch.linalg.qr(torch.randn(48, 2, generator=torch.Generator().manual_seed(0)))[0].T.view(2, 3, 4, 4)

    def images(z: torch.Tensor) -> torch.Tensor:
        amounts = torch.stack((path(z[:, 0] / 100 + z[:, 15]), 20 * z[:, 1]), dim=1)
        return torch.einsum("nk,kchw->nchw", amounts, patterns.to(z))

    generator = FunctionGenerator(images, z_dim=16, resolution=4)
    row = torch.eye(16)[15:]
    found = Directions(row, row)
    recommend_ranges(found, generator)
    ends = found.recommended_ranges[0]
    assert ends is not None
    return ends[1]


def test_an_edit_that_goes_on_holds_up_to_the_length_of_z() -> None:
    assert high_end(lambda x: x / 10) == pytest.approx(LENGTH, rel=0.2)


def test_an_edit_that_saturates_holds_until_then() -> None:
    # From z, of order 1, on to where almost nothing is added.
    assert high_end(lambda x: torch.tanh(x) / 10) <= 0.7 * LENGTH


def test_an_edit_that_turns_back_holds_until_then() -> None:
    # A circle in two patterns would be an edit that returns; here a wave of period 4 comes back after 2.
    assert high_end(lambda x: torch.sin(math.pi / 2 * x) / 10) <= 0.5 * LENGTH


def test_films_do_not_go_beyond_a_recommended_range() -> None:
    generator = FunctionGenerator(lambda z: z[:, :1, None, None].expand(-1, 3, 4, 4) / 10, z_dim=16, resolution=4)
    rows = torch.eye(16)[:1]
    found = Directions(rows, rows)
    free = equal_reach(generator, found, [0], classes=[0])
    assert free[0] > 0.5
    found.recommend(0, (-0.5, 3.0))
    assert equal_reach(generator, found, [0], classes=[0]) == {0: 0.5}


def test_an_edit_whose_images_become_unusual_ends() -> None:
    assert high_end(lambda x: 1000 * x.abs() * x) < 0.6 * LENGTH
