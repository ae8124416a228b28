"""Samples are picked by their numbers on a contact sheet, and pictures say which they show."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from biggan_discovery import Directions, FunctionGenerator, contact_sheet, draw, edit
from biggan_discovery.errors import UserError
from biggan_discovery.rendering import sample_classes, sample_latents, settings_of, to_uint8
from tests.rendering.test_own_network import Network
from tests.rendering.tiles import assert_in_a_row, places_of, sheet_of

Z_DIM, SIDE = 6, 16


@pytest.fixture(scope="module", params=[1, 3, 25])
def generator(request: pytest.FixtureRequest) -> FunctionGenerator:
    return FunctionGenerator(Network(SIDE, 3, classes=request.param), z_dim=Z_DIM, num_classes=request.param)


@pytest.fixture(scope="module")
def found() -> Directions:
    return Directions(torch.randn(4, Z_DIM, generator=torch.Generator().manual_seed(0)))


def image_of(generator: FunctionGenerator, number: int, seed: int, count: int = 99) -> np.ndarray:
    z, y = sample_latents(generator, count, seed), sample_classes(range(generator.num_classes), count)
    return to_uint8(generator(z[number : number + 1], y[number : number + 1]).detach())[0]


def test_a_contact_sheet_shows_the_samples_in_reading_order(generator: FunctionGenerator, tmp_path: Path) -> None:
    out = contact_sheet(generator, tmp_path / "s.png", samples=7, columns=3, seed=4, scale=1, quiet=True)
    sheet = sheet_of(out)
    tiles = [image_of(generator, number, 4) for number in range(7)]
    tops = [assert_in_a_row(sheet, tiles[start : start + 3]) for start in (0, 3, 6)]
    assert tops == sorted(tops)


@pytest.mark.parametrize("pick", [[5], [5, 0, 31], [63, 2]])
def test_a_number_means_the_same_sample_everywhere(
    generator: FunctionGenerator, found: Directions, tmp_path: Path, pick: list[int]
) -> None:
    tiles = [image_of(generator, number, 1) for number in pick]
    sheet = sheet_of(contact_sheet(generator, tmp_path / "s.png", samples=64, seed=1, scale=1, quiet=True))
    assert all(len(places_of(sheet, tile)) == 1 for tile in tiles)
    still = draw(generator, found, tmp_path / "d.png", only=[0], frames=3, pick=pick, seed=1, scale=1, quiet=True)
    assert isinstance(still, Path)
    tops = [places_of(sheet_of(still), tile)[0][0] for tile in tiles]
    assert tops == sorted(tops)
    other = sheet_of(edit(generator, found, {0: 3.0}, tmp_path / "e.png", pick=pick, seed=1, scale=1, quiet=True))
    assert all(places_of(other, tile) for tile in tiles)
    for name in ("d", "e"):
        assert [title.split()[0] for title in settings_of(tmp_path / f"{name}.png")["samples"]] == list(map(str, pick))


def test_rows_of_given_latents_are_picked(generator: FunctionGenerator, found: Directions, tmp_path: Path) -> None:
    z = torch.randn(5, Z_DIM, generator=torch.Generator().manual_seed(3))
    options = {"latents": z, "scale": 1, "quiet": True, "classes": 0}
    picked = sheet_of(edit(generator, found, {0: 1.0}, tmp_path / "a.png", pick=[4], **options))
    tile = to_uint8(generator(z[4:], torch.tensor([0])).detach())[0]
    assert places_of(picked, tile)
    with pytest.raises(UserError, match="no sample 5; the latents have 0 to 4"):
        edit(generator, found, {0: 1.0}, tmp_path / "b.png", pick=[5], **options)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pick": []}, "pick is empty"),
        ({"pick": [-1]}, "pick has -1; numbers of samples are integers from 0 to 9999"),
        ({"pick": [10_000]}, "pick has 10000"),
        ({"pick": [1.5]}, "pick has 1.5"),
        ({"pick": [1], "samples": 2}, "give one of them"),
    ],
)
def test_bad_picks(generator: FunctionGenerator, found: Directions, tmp_path: Path, change: dict, said: str) -> None:
    for call in (
        lambda: draw(generator, found, tmp_path / "a.png", quiet=True, **change),
        lambda: edit(generator, found, {0: 1.0}, tmp_path / "a.png", quiet=True, **change),
    ):
        with pytest.raises(UserError, match=re.escape(said)):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"out": "a.gif"}, "a contact sheet is a .png file"),
        ({"out": "a"}, "cannot write ''"),
        ({"samples": 0}, "samples is 0"),
        ({"columns": 0}, "columns is 0"),
        ({"classes": "pyramid"}, "'pyramid'"),
        ({"samples": 10_000, "scale": 32}, "too large"),
    ],
)
def test_bad_contact_sheets(generator: FunctionGenerator, tmp_path: Path, change: dict, said: str) -> None:
    change = {"quiet": True, **change}
    with pytest.raises(UserError, match=re.escape(said)):
        contact_sheet(generator, tmp_path / change.pop("out", "a.png"), **change)
    assert not list(tmp_path.iterdir())


def test_large_contact_sheets_are_enlarged_less(tmp_path: Path) -> None:
    small = FunctionGenerator(lambda z: z[:, :1, None, None].expand(-1, 3, 8, 8), z_dim=Z_DIM)
    sheet = sheet_of(contact_sheet(small, tmp_path / "a.png", samples=900, quiet=True))
    assert sheet.nbytes <= 3 * 4_000_000


@pytest.mark.parametrize("form", ["mp4", "gif", "webp"])
@pytest.mark.parametrize("job", ["draw", "edit"])
def test_films_too_large_for_their_format_are_refused_before_drawing(form: str, job: str, tmp_path: Path) -> None:
    asked: list[int] = []

    def images(z: torch.Tensor) -> torch.Tensor:
        asked.append(len(z))
        return z[:, :1, None, None].expand(-1, 3, 16, 16)

    network, found = FunctionGenerator(images, z_dim=2), Directions(torch.eye(2))
    jobs = {
        "draw": lambda: draw(network, found, tmp_path / f"a.{form}", samples=1000, quiet=True),
        "edit": lambda: edit(network, found, {0: 1.0}, tmp_path / f"a.{form}", samples=1000, columns=1000, quiet=True),
    }
    with pytest.raises(UserError, match=r"too large for this format, .* at most 1638\d; show fewer .*samples"):
        jobs[job]()
    assert sum(asked) < 50
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["png", "mp4"])
def test_a_class_is_logged_once(form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    network = FunctionGenerator(Network(SIDE, 3, classes=3), z_dim=Z_DIM, num_classes=3)
    found = Directions(torch.eye(Z_DIM))
    if form == "png":
        contact_sheet(network, tmp_path / "a.png", classes="2", samples=2, quiet=True)
    draw(network, found, tmp_path / f"b.{form}", classes="2", samples=2, frames=4, quiet=True)
    assert caplog.messages.count("class 2") == (2 if form == "png" else 1)


def test_classes_without_names_are_called_classes(tmp_path: Path) -> None:
    network = FunctionGenerator(Network(SIDE, 3, classes=4), z_dim=Z_DIM, num_classes=4)
    sheet = contact_sheet(network, tmp_path / "a.png", classes=3, samples=2, quiet=True)
    assert settings_of(sheet)["samples"] == ["0 class 3", "1 class 3"]
