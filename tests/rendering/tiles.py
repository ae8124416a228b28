"""Finding pictures in a sheet, wherever its layout puts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def sheet_of(path: Path) -> np.ndarray:
    """A still, (H, W, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def places_of(sheet: np.ndarray, tile: np.ndarray, atol: int = 1) -> list[tuple[int, int]]:
    """(top, left) of each place where a sheet (H, W, 3) shows a picture (h, w, 3), up to `atol` of 255 levels."""
    sheet, tile = sheet.astype(int), tile.astype(int)
    height, width = tile.shape[:2]
    middle = (height // 2, width // 2)
    corners = np.argwhere((np.abs(sheet - tile[middle]) <= atol).all(-1)) - middle
    inside = corners[((corners >= 0) & (corners <= (sheet.shape[0] - height, sheet.shape[1] - width))).all(1)]
    return [
        (int(top), int(left))
        for top, left in inside
        if (np.abs(sheet[top : top + height, left : left + width] - tile) <= atol).all()
    ]


def assert_in_a_row(sheet: np.ndarray, tiles: list[np.ndarray]) -> int:
    """Check that a sheet shows pictures side by side in this order, each once; return the pixel row of their top."""
    found = [places_of(sheet, tile) for tile in tiles]
    assert all(len(places) == 1 for places in found), f"pictures are found at {found}"
    tops, lefts = zip(*(places[0] for places in found), strict=True)
    assert len(set(tops)) == 1
    assert list(lefts) == sorted(lefts)
    return tops[0]
