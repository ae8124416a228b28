"""Cards and thumbnails of directions files."""

from __future__ import annotations

import base64
import functools
import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from PIL import Image

from biggan_discovery import Directions, evaluate, load_generator, output
from biggan_discovery.cli import cli
from biggan_discovery.cli.discover import discover_command
from biggan_discovery.errors import UserError
from biggan_discovery.rendering import to_uint8
from biggan_discovery.rendering.latents import sample_latents
from biggan_discovery.rendering.thumbnail import COLUMNS, SIDE, add_thumbnail, read_thumbnail
from biggan_discovery.sharing.card import card_text, search_command, write_card
from tests.explorer.serving import save_directions

yaml = pytest.importorskip("yaml")


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return save_directions(tmp_path)


@pytest.fixture
def card(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The command; what it said on stderr."""

    def run(*words: str | Path) -> str:
        with output.guarded():
            cli.main(["card", *map(str, words), "--quiet"], standalone_mode=False)
        return capsys.readouterr().err

    return run


def front(text: str) -> dict[str, Any]:
    """The YAML header, as the Hub reads it."""
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1])  # pyright: ignore


def test_a_card_says_what_is_known(found: Path, card: Callable[..., str]) -> None:
    directions = Directions.load(found)
    directions.rename(1, "from | <script>alert(1)</script>")
    directions.recommend(2, (-1, 2))
    directions.credit(author="A. Name", licence="CC-BY-4.0")
    directions.save(found)
    evaluate(
        directions.metadata["generator"], found, metrics="activeness", out=found.with_name("found-report"), quiet=True
    )
    card(found)
    text = Path("README.md").read_text()
    assert front(text)["license"] == "cc-by-4.0"
    assert front(text)["library_name"] == "biggan-discovery"
    assert "latent-directions" in front(text)["tags"]
    assert "| 1 | from \\| \\<script\\>" in text
    assert "1 to 2 |" in text
    assert "## Figures" in text
    assert "(found-card.png)" in text
    with Image.open("found-card.png") as picture:
        assert picture.width > 100
    kept = Directions.load(found)
    assert kept.thumbnail is not None
    assert kept.names == directions.names


def test_yaml_is_not_broken_by_strangers() -> None:
    directions = Directions(torch.eye(2, 8))
    for licence in ('a: "b"\n---', "mine: yes # no", "'", "- x", "ＭＩＴ\u2028x"):
        directions.metadata["licence"] = licence
        assert front(card_text(directions))["license_name"] == licence
    directions.metadata["licence"] = "MIT"
    assert front(card_text(directions)).get("license_name") is None
    del directions.metadata["licence"]
    assert "license" not in front(card_text(directions))


@pytest.mark.parametrize(
    ("metadata", "options"),
    [
        ({"method": "sefa", "seed": 0}, {"method": "sefa", "seed": 0}),
        (
            {
                "method": "orojar",
                "solver": "joint-diagonalization",
                "seed": 3,
                "settings": {"samples": 8, "directions": 4},
            },
            {"method": "orojar", "solver": "joint-diagonalization", "seed": 3, "samples": 8, "directions": 4},
        ),
        (
            {
                "method": "hessian",
                "solver": "adam",
                "classes": [207, [[1, 0.5], [2, 0.5]]],
                "settings": {"steps": 5, "mask_sha256": "x"},
            },
            {"classes": "207;1:0.5,2:0.5", "steps": 5, "solver": "adam"},
        ),
        (
            {"method": "sefa", "layers": "mid", "truncation": 0.5, "generator": "/home/me/nets/mine"},
            {"layers": "mid", "truncation": 0.5, "generator": "mine"},
        ),
    ],
)
def test_the_command_of_a_search_is_one_that_discover_takes(metadata: dict[str, Any], options: dict[str, Any]) -> None:
    command = search_command(Directions(torch.eye(4, 8), metadata=metadata))
    assert command is not None
    program, name, *words = shlex.split(command)
    assert (program, name) == ("biggan-discovery", "discover")
    context = discover_command.make_context("discover", words, parent=click.Context(click.Group()))
    assert {key: context.params[key] for key in options} == options


def test_no_search_made_an_import() -> None:
    directions = Directions(torch.eye(2, 8), metadata={"method": "import", "source": "pca.npy"})
    assert search_command(directions) is None
    assert "Imported from pca.npy" in card_text(directions)


def test_a_readme_of_others_stays(found: Path, card: Callable[..., str]) -> None:
    Path("README.md").write_text("# Mine\n")
    with pytest.raises(UserError, match="is there and is not a card"):
        card(found)
    assert Path("README.md").read_text() == "# Mine\n"
    card(found, "--out", "cards/README.md")
    card(found, "--out", "cards/README.md")  # Its own is replaced.


def test_without_the_generator_the_thumbnail_is_shown(found: Path, card: Callable[..., str]) -> None:
    card(found)
    Path("found-card.png").unlink()
    Path("tiny").rename("elsewhere")
    assert "no picture is drawn: " in card(found)
    assert "(found-card.png)" in Path("README.md").read_text()
    directions = Directions.load(found)
    del directions.metadata["thumbnail"]
    directions.save(found)
    Path("found-card.png").unlink()
    assert "no picture is drawn: " in card(found)
    assert "card.png" not in Path("README.md").read_text()
    assert not Path("found-card.png").exists()


def test_a_run_is_taken_by_its_folder(found: Path, card: Callable[..., str]) -> None:
    Path("run").mkdir()
    found.rename("run/directions.safetensors")
    card("run")
    assert Path("run/README.md").is_file()
    with pytest.raises(UserError, match="no file"):
        card("tiny")  # A folder that is no run.


def test_a_thumbnail_shows_what_torch_draws(found: Path) -> None:
    directions = Directions.load(found)
    generator = load_generator(directions.metadata["generator"], device="cpu")
    add_thumbnail(directions, generator, {2: 1.5, 0: 1.0})
    directions.save("small.safetensors")
    pixels = read_thumbnail(Directions.load("small.safetensors"))
    assert pixels is not None
    assert pixels.shape == (2 * SIDE, COLUMNS * SIDE, 3)
    z = sample_latents(generator, 1, 0)
    with torch.no_grad():
        drawn = to_uint8(generator(directions.apply(z, 2, 1.5), torch.tensor([0])))[0]
    expected = np.asarray(Image.fromarray(drawn).resize((SIDE, SIDE), Image.Resampling.BOX)).astype(int)
    assert np.abs(pixels[:SIDE, -SIDE:].astype(int) - expected).mean() < 12  # WebP is lossy.


def webp(width: int, height: int, frames: int = 1) -> bytes:
    buffer = io.BytesIO()
    images = [Image.new("RGB", (width, height), (100 * each, 0, 0)) for each in range(frames)]
    images[0].save(buffer, "webp", save_all=frames > 1, append_images=images[1:])
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("UklGR" + "A" * 20_000, "thumbnail must be a small WebP file"),
        (base64.b64encode(b"\x89PNG" + b"\0" * 40).decode(), "thumbnail must be a small WebP file"),
        ({"a": 1}, "thumbnail must be a small WebP file"),
        ("UklGR!!!!!", "thumbnail must be a small WebP file"),
    ],
)
def test_a_huge_or_foreign_thumbnail_is_refused(found: Path, value: Any, said: str) -> None:
    directions = Directions.load(found)
    with pytest.raises(UserError, match=said):
        Directions(directions.A, metadata={"thumbnail": value})


@pytest.mark.parametrize("content", [webp(1600, 1600), webp(16, 16, frames=3), webp(16, 16)[:30]])
def test_a_thumbnail_that_unpacks_to_more_is_not_unpacked(content: bytes) -> None:
    directions = Directions(torch.eye(2, 8), metadata={"thumbnail": base64.b64encode(content).decode()})
    with pytest.raises(UserError, match="thumbnail"):
        read_thumbnail(directions)


def test_noise_has_no_thumbnail_rather_than_a_large_one(found: Path) -> None:
    directions = Directions.load(found)
    generator = load_generator(directions.metadata["generator"], device="cpu")
    random = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        noise = functools.partial(random.integers, 0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        patch.setattr("biggan_discovery.rendering.thumbnail._tile", lambda _: noise())
        add_thumbnail(directions, generator, dict.fromkeys(range(6), 1.0))
    directions.save("noise.safetensors")  # It fits, or is left out.
    assert len(json.dumps(directions.metadata.get("thumbnail"))) < 10_003


def test_cards_are_the_same_twice(found: Path) -> None:
    directions = Directions.load(found)
    generator = load_generator(directions.metadata["generator"], device="cpu")
    texts = []
    for folder in ("a", "b"):
        [card, picture] = write_card(directions, generator, Path(folder) / "README.md", quiet=True)
        texts.append((card.read_bytes(), picture.read_bytes(), directions.thumbnail))
    assert texts[0] == texts[1]
