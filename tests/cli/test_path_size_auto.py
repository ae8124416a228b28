"""`visualize --path-size auto`: all directions change the picture equally."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from biggan_discovery import Directions, FunctionGenerator
from biggan_discovery.cli import cli, run
from biggan_discovery.rendering import Film, Label, Sheet, strip_amounts
from tests.rendering.tiles import sheet_of
from tests.tiny import save_tiny_biggan


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = tmp_path_factory.mktemp("world")
    tiny = save_tiny_biggan(world / "tiny")
    settings = {"path_size": 2.0}
    Directions(torch.eye(3, 16), metadata={"generator": str(tiny), "settings": settings}).save(world / "d.safetensors")
    settings = {"path_size": 0.0}
    Directions(torch.eye(2, 16), metadata={"generator": str(tiny), "settings": settings}).save(world / "at.safetensors")
    return world


def call(arguments: list[str], world: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(world)
    monkeypatch.setattr(sys, "argv", ["biggan-discovery", "visualize", *arguments])
    with pytest.raises(SystemExit) as ended:
        run(cli, "biggan-discovery")
    return ended.value.code or 0


def test_each_direction_goes_its_own_way() -> None:
    generator = FunctionGenerator(lambda z: z[:, :3, None, None].expand(-1, -1, 8, 8) / 10, z_dim=4)
    film = Film(
        generator,
        Directions(torch.eye(3, 4)),
        torch.zeros(1, 4),
        torch.zeros(1, dtype=torch.int64),
        reach={0: 2.0, 2: 5.0},
    )
    sheet = Sheet([Label(str(row)) for row in range(3)], tile=8, columns=3, scale=1)
    (frame,) = film.strip(range(3), strip_amounts(3, 1.0), sheet)
    reds_greens_blues = [frame[..., channel].max() for channel in range(3)]
    # (1 + amount / 10) · 127.5 at the far end; labels and gaps are white and grey.
    ends = [round((1 + reach / 10) * 127.5) for reach in (2.0, 1.0, 5.0)]
    colours = {tuple(colour) for colour in frame.reshape(-1, 3)}
    grey = round(127.5)
    assert {(ends[0], grey, grey), (grey, ends[1], grey), (grey, grey, ends[2])} <= colours
    assert reds_greens_blues == [255] * 3


def test_a_picture_with_equal_changes_is_drawn(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for extra in ([], ["--only", "1"], ["--only", "2", "--transfer"], ["--centred", "--layers", "1-2"]):
        out = world / "auto.png"
        arguments = ["d.safetensors", "--path-size", "auto", "--out", str(out), "--quiet", "--frames", "3", *extra]
        assert call(arguments, world, monkeypatch) == 0
        with Image.open(out) as image:
            assert np.asarray(image).std() > 10


def test_a_number_is_still_a_number(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for size in ("2", "2.0", "3"):
        assert call(["d.safetensors", "--path-size", size, "--out", "n.png", "--quiet"], world, monkeypatch) == 0
        drawn.append(sheet_of(world / "n.png"))
    # Not the bytes, as the file keeps the command.
    assert (drawn[0] == drawn[1]).all()
    assert drawn[0].shape != drawn[2].shape or (drawn[0] != drawn[2]).any()


def test_directions_that_were_searched_for_at_the_samples_are_shown_at_the_usual_size(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(["at.safetensors", "--out", "at.png", "--quiet"], world, monkeypatch) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["d.safetensors", "--path-size", "automatic"], "automatic"),
        (["d.safetensors", "--path-size", "0"], "--path-size"),
        (["d.safetensors", "--path-size", "nan"], "nan"),
        (["d.safetensors", "--curved", "--path-size", "auto"], "path_size is 'auto', which curved paths"),
    ],
)
def test_other_path_sizes_are_refused(
    arguments: list[str], message: str, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(world.iterdir())
    assert call(arguments, world, monkeypatch) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(r"error: [^\n]*\n", printed.err)
    assert message in printed.err
    assert sorted(world.iterdir()) == before
