"""Amounts beyond the recommended range are warned of."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from biggan_discovery import Directions, FunctionGenerator, draw, edit
from biggan_discovery.rendering import range_of
from tests.rendering.test_own_network import Network

Z_DIM = 6


@pytest.fixture(scope="module")
def generator() -> FunctionGenerator:
    return FunctionGenerator(Network(8, 3), z_dim=Z_DIM)


def with_ranges(ranges: Any, path_size: float | None = 4.0) -> Directions:
    settings = {} if path_size is None else {"path_size": path_size}
    names = ["", "hue", ""]
    return Directions(
        torch.eye(3, Z_DIM), metadata={"settings": settings, "names": names, "recommended_range": ranges or [None] * 3}
    )


@pytest.mark.parametrize(
    ("ranges", "path_size", "expected"),
    [
        ([[-1, 2.5], [0, 3], [-9, -1]], 4.0, [(-1, 2.5), (0, 3), (-9, -1)]),
        (None, 4.0, [(-4, 4)] * 3),
        (None, None, [(-5, 5)] * 3),  # the generator's default
        ([[1, 2], None, None], 4.0, [(1, 2), (-4, 4), (-4, 4)]),
    ],
)
def test_the_range_is_that_of_the_file_or_of_the_search(
    generator: FunctionGenerator, ranges: Any, path_size: float | None, expected: list[tuple[float, float]]
) -> None:
    directions = with_ranges(ranges, path_size)
    assert [range_of(directions, generator, index) for index in range(3)] == expected


@pytest.mark.parametrize("amount", [-1000.0, -4.01, 4.01, 1000.0])
def test_an_edit_beyond_the_range_is_warned_of_in_one_line(
    generator: FunctionGenerator, tmp_path: Path, caplog: pytest.LogCaptureFixture, amount: float
) -> None:
    with caplog.at_level(logging.WARNING, "biggan_discovery"):
        edit(generator, with_ranges(None), {"hue": amount, 2: 1.0}, tmp_path / "a.png", quiet=True)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("beyond the recommended range")
    assert f"{amount:+.6g} along direction 1 hue (-4 to +4)" in caplog.messages[0]


def test_what_lies_inside_is_not(
    generator: FunctionGenerator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "biggan_discovery"):
        edit(generator, with_ranges(None), {1: -4.0, 2: 4.0}, tmp_path / "a.png", quiet=True)
        edit(generator, with_ranges([[-9, 9]] * 3), {1: 8.5}, tmp_path / "a.png", quiet=True)
        draw(generator, with_ranges(None), tmp_path / "a.png", path_size=4.0, quiet=True)
        draw(generator, with_ranges(None), tmp_path / "a.png", quiet=True)
    assert not caplog.messages


def test_a_path_beyond_the_range_of_many_directions_is_one_line(
    generator: FunctionGenerator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directions = Directions(torch.eye(5, Z_DIM), metadata={"recommended_range": [[-2, 1]] * 5})
    with caplog.at_level(logging.WARNING, "biggan_discovery"):
        draw(generator, directions, tmp_path / "a.png", path_size=1.5, quiet=True)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("±1.5 along direction 2 (-2 to +1) and 2 more")
