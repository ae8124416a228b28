from __future__ import annotations

import numpy as np
import pytest
import torch

from biggan_discovery.errors import UserError
from biggan_discovery.memory import OutOfMemoryError
from biggan_discovery.rendering import Label, Sheet, to_uint8
from biggan_discovery.rendering.table import Limits

LABELS = [Label("0"), Label("1", "camera height"), Label("2", "an unreasonably-long-word-that-cannot-be-broken")]


def _tile(value: int, side: int = 16) -> np.ndarray:
    return np.full((side, side, 3), (value, 255, value), np.uint8)  # No text is green.


def test_the_range_is_fixed_and_rounded() -> None:
    values = [-9.0, -1.0, 0.0, 1 / 255, 1.0, 9.0, float("nan"), float("inf")]
    images = torch.tensor(values).reshape(-1, 1, 1, 1)
    assert to_uint8(images)[:, 0, 0].tolist() == [[v] * 3 for v in (0, 0, 128, 128, 255, 255, 0, 255)]
    # A dull image stays dull.
    assert np.unique(to_uint8(torch.full((1, 3, 4, 4), 0.1))).tolist() == [140]


def test_every_level_comes_back() -> None:
    level = torch.arange(256) / 127.5 - 1
    assert to_uint8(level.reshape(1, 1, 16, 16))[0, :, :, 0].flatten().tolist() == list(range(256))


def test_other_channels_are_refused() -> None:
    with pytest.raises(UserError, match="2 channels"):
        to_uint8(torch.zeros(1, 2, 4, 4))


@pytest.mark.parametrize("across", [1, 2, 3, 99])
def test_blocks_go_down_and_then_across(across: int) -> None:
    sheet = Sheet(LABELS, tile=16, rows=2, columns=4, across=across, scale=2)
    drawn = sheet.draw(_tile(100 + i) for i in range(24))
    assert drawn.shape == (sheet.height, sheet.width, 3)
    corners = []
    for i in range(24):
        rows, columns = np.nonzero((drawn == (100 + i, 255, 100 + i)).all(-1))
        top, left = rows.min(), columns.min()
        assert (drawn[top : top + 32, left : left + 32, 0] == 100 + i).all()
        corners.append((top, left))
    for block in range(3):
        # Within a block: rows by the top, columns by the left.
        assert sorted(corners[8 * block : 8 * block + 8]) == corners[8 * block : 8 * block + 8]
    starts = [corners[8 * block] for block in range(3)]
    assert starts == sorted(starts, key=lambda corner: (corner[1], corner[0]))
    assert len({left for _, left in starts}) == min(across, 3)


def test_labels_and_header_stand_where_no_picture_is() -> None:
    sheet = Sheet(LABELS, tile=64, columns=2, header=("-1", "+1"), across=1)
    drawn = sheet.draw([_tile(255, 64)] * 6)
    dark = np.argwhere((drawn[30:] < 128).all(-1))  # below the header
    assert dark[:, 1].max() < drawn.shape[1] - 2 * 128
    assert (drawn[:14, -2 * 128 :] < 200).any()
    third = drawn.shape[0] // 3
    assert all((drawn[i * third : (i + 1) * third, : -2 * 132] < 128).any() for i in range(3))


def test_small_pictures_are_enlarged() -> None:
    assert Sheet([Label()], tile=64).width == 128 + 2 * 4
    assert Sheet([Label()], tile=256).width == 256 + 2 * 8
    assert Sheet([Label()], tile=64, scale=1).width == 64 + 2 * 2


def test_the_number_of_pictures_must_fit() -> None:
    sheet = Sheet(LABELS, tile=16)
    for count in (2, 4):
        with pytest.raises(ValueError, match="zip"):
            sheet.draw([_tile(0)] * count)


def test_a_sheet_too_large_is_refused() -> None:
    with pytest.raises(UserError, match="too large"):
        Sheet([Label(str(i)) for i in range(1000)], tile=512, columns=100)


def test_a_side_that_the_format_does_not_take_is_refused_before_drawing() -> None:
    labels = [Label(str(i)) for i in range(300)]
    assert Sheet(labels, tile=64, across=1, scale=1, limits=Limits(20_000)).height > 19_000
    with pytest.raises(UserError, match=r"too large for this format, in which a side has at most 16384; show fewer"):
        Sheet(labels, tile=64, across=1, scale=1, limits=Limits(16_384))


def test_pictures_are_enlarged_less_where_a_side_would_be_too_long() -> None:
    labels = [Label(str(i)) for i in range(20)]
    wide = Sheet(labels, tile=16, across=1)
    narrow = Sheet(labels, tile=16, across=1, limits=Limits(side=wide.height - 1))
    assert narrow.height < wide.height


def test_a_sheet_for_which_memory_is_missing_is_refused_before_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [Label(str(i)) for i in range(1000)]
    sheet = Sheet(labels, tile=64, scale=1, limits=Limits(memory=80))
    monkeypatch.setattr("biggan_discovery.memory.free_memory", lambda: 90 * sheet.width * sheet.height)
    with pytest.raises(OutOfMemoryError, match=r"pixels would take at least .* free; show fewer directions or samples"):
        Sheet(labels, tile=64, scale=1, limits=Limits(memory=80))
    Sheet(labels, tile=64, scale=1)
    Sheet(labels[:10], tile=64, limits=Limits(memory=80))
