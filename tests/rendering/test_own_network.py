"""Discovering, drawing and editing with an arbitrary user network, from Python."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from biggan_discovery import Directions, Edit, FunctionGenerator, discover, draw, edit
from biggan_discovery.errors import UserError
from biggan_discovery.rendering import CurvedFilm, edited, lines_of, move, sample_latents, to_uint8
from biggan_discovery.rendering.curved import Paths
from tests.rendering.tiles import assert_in_a_row

Z_DIM = 6


class Network(nn.Module):
    """Smooth images of any size and number of channels, by class if there are any."""

    def __init__(self, side: int, channels: int, classes: int = 0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Linear(Z_DIM, 32)
            self.last = nn.Linear(32, channels * side * side)
            self.colours = nn.Embedding(classes, 32) if classes else None
        self.shape = (channels, side, side)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(z))
        if self.colours is not None:
            hidden = hidden + self.colours(y)
        return torch.tanh(self.last(hidden)).unflatten(1, self.shape)


@pytest.fixture(params=[(28, 1), (20, 3)], ids=["28-grey", "20-rgb"])
def generator(request: pytest.FixtureRequest) -> FunctionGenerator:
    side, channels = request.param
    return FunctionGenerator(Network(side, channels, classes=3), z_dim=Z_DIM, num_classes=3)


@pytest.fixture
def found(generator: FunctionGenerator) -> Directions:
    return discover(generator, samples=2, directions=3, judge=False, quiet=True)


def pictures(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def expected(generator: FunctionGenerator, z: Tensor, y: int) -> np.ndarray:
    with torch.no_grad():
        return to_uint8(generator(z[None], torch.tensor([y])))[0].astype(int)


def test_a_strip_shows_the_images_at_its_amounts(
    generator: FunctionGenerator, found: Directions, tmp_path: Path
) -> None:
    out = tmp_path / "strip.png"
    assert draw(generator, found, out, only=[2], classes=1, frames=3, path_size=2, scale=1, seed=4, quiet=True) == out
    q, z = found.Q[2], sample_latents(generator, 1, 4)[0]
    assert_in_a_row(pictures(out), [expected(generator, z + amount * q, 1) for amount in (-2.0, 0.0, 2.0)])


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".webp"])
def test_films_and_what_is_reported(
    generator: FunctionGenerator, found: Directions, tmp_path: Path, suffix: str
) -> None:
    lines: list[str] = []
    out = draw(generator, found, tmp_path / f"film{suffix}", frames=4, samples=2, report=lines.append, quiet=True)
    assert isinstance(out, Path)
    assert out.stat().st_size > 0
    assert re.fullmatch(rf"{re.escape(str(out))} \(\d+ x \d+ pixels, 4 frames in 0.2 s, .* MB\)", *lines)


def test_every_way_to_draw(generator: FunctionGenerator, found: Directions, tmp_path: Path) -> None:
    drawn = {}
    for name, options in {
        "plain": {},
        "centred": {"centred": True},
        "auto": {"path_size": "auto"},
        "curved": {"curved": True, "path_size": 0.5},
        "transfer": {"transfer": True, "only": [1]},
    }.items():
        path = draw(generator, found, tmp_path / f"{name}.png", frames=3, scale=1, quiet=True, **options)
        drawn[name] = pictures(path)
    plain, centred = drawn["plain"], drawn["centred"]
    assert plain.shape != centred.shape or (plain != centred).any()
    # A block for each of two kinds of path, or of three classes.
    block = generator.resolution + 2
    assert drawn["curved"].shape[0] >= 6 * block
    assert drawn["transfer"].shape[0] >= 3 * block


def test_a_generator_without_directions_is_drawn_along_its_singular_vectors(
    generator: FunctionGenerator, tmp_path: Path
) -> None:
    out = tmp_path / "curved.png"
    assert draw(generator, None, out, curved=True, path_size=0.5, frames=3, scale=1, quiet=True) == out
    assert pictures(out).shape[0] >= 6 * (generator.resolution + 2)


def test_a_file_for_each_direction(generator: FunctionGenerator, found: Directions, tmp_path: Path) -> None:
    found.rename(1, "largest size")
    written = draw(generator, found, tmp_path / "all", only=[1, 0], per_direction=True, format="png", quiet=True)
    assert written == [tmp_path / "all" / "001-largest-size.png", tmp_path / "all" / "000.png"]
    assert all(path.is_file() for path in written)


def test_an_edit_adds_up(generator: FunctionGenerator, found: Directions, tmp_path: Path) -> None:
    found.rename(2, "height")
    z = torch.randn(2, Z_DIM, generator=torch.Generator().manual_seed(3))
    after = z + 2 * found.Q[0] - 1.5 * found.Q[2]
    for name, edits in {"map": {0: 2.0, "hei": -1.5}, "list": [Edit(0, 2.0, "all"), Edit("height", -1.5)]}.items():
        out = tmp_path / f"{name}.png"
        kept = tmp_path / f"{name}.npy"
        assert edit(generator, found, edits, out, latents=z, save_latents=kept, classes=[2], scale=1, quiet=True) == out
        np.testing.assert_array_equal(np.load(kept), z.numpy())
        still = pictures(out)
        tops = [assert_in_a_row(still, [expected(generator, at[row], 2) for at in (z, after)]) for row in range(2)]
        assert tops[0] < tops[1]


def test_given_latents_are_drawn(generator: FunctionGenerator, found: Directions, tmp_path: Path) -> None:
    z = sample_latents(generator, 3, 9)
    np.save(tmp_path / "z.npy", z.numpy())
    options = {"frames": 3, "path_size": 1.0, "scale": 1, "quiet": True}
    given = {
        "seed": {"seed": 9, "samples": 2},
        "tensor": {"latents": z.double(), "samples": 2},
        "array": {"latents": z.numpy()[:2]},
        "file": {"latents": tmp_path / "z.npy", "samples": 2},
    }
    drawn = [
        pictures(draw(generator, found, tmp_path / f"{name}.png", **each, **options)) for name, each in given.items()
    ]
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])


def test_other_weights_are_warned_of(
    generator: FunctionGenerator, found: Directions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found.metadata["generator_sha256"] = "0" * 64
    generator.sha256 = "1" * 64
    with caplog.at_level(logging.WARNING, "biggan_discovery"):
        draw(generator, found, tmp_path / "a.png", frames=2, quiet=True)
    assert caplog.messages == ["the directions was made for other weights than those of function"]


BAD: list[tuple[dict, str]] = [
    ({"out": "film"}, "cannot write ''"),
    ({"out": "film.avi"}, "cannot write '.avi'"),
    ({"format": "gif"}, "is not a .gif file"),
    ({"per_direction": True, "format": "avi"}, "cannot write '.avi'"),
    ({"fps": float("nan")}, "fps is nan"),
    ({"samples": 0}, "samples is 0; it should be an integer, at least 1 and at most 10000"),
    ({"samples": 2.5}, "samples is 2.5"),
    ({"frames": 1}, "frames is 1"),
    ({"columns": True}, "columns is True"),
    ({"scale": 33}, "scale is 33"),
    ({"seed": -1}, "seed is -1"),
    ({"easing": "sinus"}, "did you mean 'sine'"),
    ({"path_size": 0}, "path_size is 0"),
    ({"path_size": float("nan")}, "path_size is nan"),
    ({"path_size": "far"}, "path_size is 'far'"),
    ({"path_size": "auto", "curved": True}, "path_size is 'auto'"),
    ({"curved": True, "transfer": True}, "choose one"),
    ({"transfer": True}, "choose one with only"),
    ({"directions": None}, "no directions are given"),
    ({"directions": Directions(torch.eye(2, 5))}, "z_dim 5"),
    ({"only": []}, "only is empty"),
    ({"only": [0, 3]}, "no direction 3; the directions has 0 to 2"),
    ({"only": [-1]}, "no direction -1"),
    ({"classes": 3}, "class 3 is out of range"),
    ({"classes": "pyramid"}, "'pyramid'"),
    ({"layers": "mid"}, "give all"),
    ({"latents": torch.zeros(2, 5)}, "shape (2, 5)"),
    ({"latents": torch.zeros(2, Z_DIM), "samples": 3}, "samples is 3, but latents holds 2"),
    ({"latents": torch.full((2, Z_DIM), float("inf"))}, "not all finite"),
]


@pytest.mark.parametrize(("change", "said"), BAD, ids=[said for _, said in BAD])
def test_bad_input_of_draw(change: dict, said: str, tmp_path: Path) -> None:
    generator = FunctionGenerator(Network(8, 3, classes=3), z_dim=Z_DIM, num_classes=3)
    arguments = {"directions": Directions(torch.eye(3, Z_DIM)), "quiet": True, **change}
    out = tmp_path / arguments.pop("out", "a.png")
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        draw(generator, arguments.pop("directions"), out, **arguments)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({}, "no edits"),
        ({3: 1.0}, "no direction 3"),
        ({"size": 1.0}, "size"),
        ({0: float("nan")}, "amount of direction 0 is nan"),
        ({0: "far"}, "amount of direction 0 is 'far'"),
        ([Edit(0, 1.0), Edit("0", 2.0)], "direction 0 is set twice"),
        ([Edit(0, 1.0, "1-2")], "layers 0 to 0"),
    ],
)
def test_bad_edits(edits: object, said: str, tmp_path: Path) -> None:
    generator = FunctionGenerator(Network(8, 3), z_dim=Z_DIM)
    with pytest.raises(UserError, match=re.escape(said)):
        edit(generator, Directions(torch.eye(3, Z_DIM)), edits, tmp_path / "a.png", quiet=True)
    assert not list(tmp_path.iterdir())


def test_images_that_are_not_square_are_refused(tmp_path: Path) -> None:
    generator = FunctionGenerator(lambda z: z[:, :1, None, None].expand(-1, 3, 8, 12), z_dim=Z_DIM)
    with pytest.raises(UserError, match="12 x 8 pixels"):
        draw(generator, Directions(torch.eye(1, Z_DIM)), tmp_path / "a.png", quiet=True)
    assert not list(tmp_path.iterdir())


def test_latents_from_the_cpu_meet_directions_where_the_generator_is() -> None:
    # The device "meta" holds no numbers but refuses, as a GPU does, to mix its tensors with those of the CPU.
    generator = FunctionGenerator(Network(8, 3), z_dim=Z_DIM).to("meta")
    directions, z, y = Directions(torch.eye(2, Z_DIM)), torch.zeros(4, Z_DIM), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(RuntimeError, match="device"):
        generator.shift(z, torch.zeros(4, Z_DIM, device="meta"))
    lines = lines_of(generator, directions, [0, 1], len(z), layers="all")
    film = CurvedFilm(generator, Paths(lines, torch.zeros(2, 4, 3, Z_DIM, device="meta"), 1.0, 0), z, y)
    for moved in (
        move(generator, directions, z, 0, 1.0),
        edited(generator, directions, z, [Edit(0, 1.0), Edit(1, 2.0)]),
        film._moved(0, 0.5),
        film._moved(3, 0.5),
    ):
        assert moved.device == generator.device
        assert generator(moved, y.to("meta")).shape == (4, 3, 8, 8)
