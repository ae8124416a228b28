from __future__ import annotations

import numpy as np
import pytest
import torch

from biggan_discovery.directions import Directions
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.rendering import Edit, Film, Label, Sheet, film, loop_amounts, strip_amounts, to_uint8
from tests.rendering.toy import RESOLUTION, Z_DIM, levels


class Counting:
    """The toy generator, counting its images."""

    def __init__(self) -> None:
        self.made = 0
        self.generator = FunctionGenerator(self._images, z_dim=Z_DIM, resolution=RESOLUTION, channels=3)

    def _images(self, z: torch.Tensor) -> torch.Tensor:
        self.made += len(z)
        return levels(z)


@pytest.fixture
def directions() -> Directions:
    return Directions(torch.eye(Z_DIM)[:3])


def _film(counting: Counting, directions: Directions) -> Film:
    z = torch.randn(2, Z_DIM, generator=torch.Generator().manual_seed(0))
    return Film(counting.generator, directions, z, torch.zeros(2, dtype=torch.int64), batch=4)


def _pictures(canvas: np.ndarray, sheet: Sheet) -> list[list[int]]:
    """The colour of each picture, located by the tiles of a sheet with known values."""
    count = len(list(sheet._places()))
    where = sheet.draw(np.full((RESOLUTION, RESOLUTION, 3), 1 + i, np.uint8) for i in range(count))
    return [np.unique(canvas[(where == 1 + i).all(-1)], axis=0).tolist()[0] for i in range(count)]


def test_frames_show_each_direction_and_sample_at_the_amount(directions: Directions) -> None:
    counting = Counting()
    made, sheet = _film(counting, directions), Sheet([Label("2"), Label("0")], tile=RESOLUTION, columns=2, scale=1)
    amounts = loop_amounts(8, 1.5)
    frames = list(made.loop([2, 0], amounts, sheet))
    for frame, amount in zip(frames, amounts, strict=True):
        expected = []
        for row in (2, 0):
            z = made.z.clone()
            z[:, row] += amount  # The directions are coordinates.
            expected += to_uint8(levels(z))[:, 0, 0].tolist()
        np.testing.assert_allclose(_pictures(frame, sheet), expected, atol=1)


def test_the_way_back_is_not_made_again(directions: Directions, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = Sheet([Label("0")], tile=RESOLUTION, columns=2)
    counting = Counting()
    reused = list(_film(counting, directions).loop([0], loop_amounts(20, 1.0), sheet))
    assert counting.made == 2 * 11
    monkeypatch.setattr(film, "_REUSE_BYTES", 0)
    again = Counting()
    fresh = list(_film(again, directions).loop([0], loop_amounts(20, 1.0), sheet))
    assert again.made == 2 * 20
    np.testing.assert_array_equal(reused, fresh)


def test_frames_are_made_when_they_are_asked_for(directions: Directions) -> None:
    counting = Counting()
    frames = _film(counting, directions).loop([0, 1, 2], loop_amounts(20, 1.0), Sheet([Label()] * 3, tile=8, columns=2))
    assert counting.made == 0
    next(frames)
    assert counting.made == 6


def test_a_strip_has_a_row_for_each_sample_and_a_column_for_each_amount(directions: Directions) -> None:
    made = _film(Counting(), directions)
    sheet = Sheet([Label("1"), Label("2")], tile=RESOLUTION, rows=2, columns=3, scale=1)
    (still,) = made.strip([1, 2], strip_amounts(3, 2.0), sheet)
    expected = []
    for row in (1, 2):
        for z in made.z:
            for amount in (-2, 0, 2):
                moved = z.clone()
                moved[row] += amount
                expected += to_uint8(levels(moved[None]))[:, 0, 0].tolist()
    np.testing.assert_allclose(_pictures(still, sheet), expected, atol=1)


def test_an_edit_goes_along_several_directions_at_once(directions: Directions) -> None:
    made = _film(Counting(), directions)
    after = made.z.clone()
    after[:, 0] += 1.0
    after[:, 2] -= 0.5
    before_level, after_level = (to_uint8(levels(z))[:, 0, 0].tolist() for z in (made.z, after))
    loop_sheet = Sheet([Label()], tile=RESOLUTION, columns=2, scale=1)
    edits = [Edit(0, 1.0), Edit(2, -0.5)]
    first, full = made.edit_loop(edits, [0.0, 1.0], loop_sheet)
    np.testing.assert_allclose(_pictures(first, loop_sheet), before_level, atol=1)
    np.testing.assert_allclose(_pictures(full, loop_sheet), after_level, atol=1)
    sheet = Sheet([Label()], tile=RESOLUTION, rows=2, columns=2, scale=1)
    (still,) = made.edit_still(edits, sheet)
    pairs = [level for pair in zip(before_level, after_level, strict=True) for level in pair]
    np.testing.assert_allclose(_pictures(still, sheet), pairs, atol=1)
