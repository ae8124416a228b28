"""Stimuli: every picture is the image that the manifest says, to the last bit of a PNG."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from biggan_discovery.directions import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import load_generator
from biggan_discovery.generators.labels import class_list, labels_of
from biggan_discovery.rendering import edit, load_latents, sample_latents, to_uint8, write_stimuli
from tests.cli.console import Console
from tests.tiny import save_tiny_biggan


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_biggan(tmp_path_factory.mktemp("network") / "tiny")


@pytest.fixture(autouse=True)
def folder(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny").symlink_to(tiny)
    A = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    Directions(A, metadata={"generator": "tiny", "names": ["", "hue", ""], "layers": "all"}).save("d.safetensors")


def lines(path: Path | str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_picture_is_what_the_manifest_says() -> None:
    mixed = "cube:0.7, torus:0.3; cone"
    written = write_stimuli(None, "d.safetensors", "s", samples=2, frames=3, classes=mixed, seed=4, quiet=True)
    assert written == Path("s/manifest.csv")
    rows = lines(written)
    assert len(rows) == 3 * 2 * 3
    assert {row["file"] for row in rows} | {"manifest.csv"} == {each.name for each in Path("s").iterdir()}
    generator, Q = load_generator("tiny"), Directions.load("d.safetensors").Q
    for row in rows:
        z = sample_latents(generator, 2, int(row["seed"]))[int(row["sample"])][None]
        y = labels_of(class_list(generator, row["class_weights"]), 5)
        image = generator(z + float(row["amount"]) * Q[int(row["direction"])], y)
        with Image.open(f"s/{row['file']}") as picture:
            assert np.array_equal(np.asarray(picture), to_uint8(image)[0])
        assert row["generator_sha256"] == generator.sha256
    assert rows[6]["name"] == "hue"
    assert [rows[0]["class_weights"], rows[3]["class_weights"]] == ["0:0.7,4:0.3", "3:1.0"]
    of_one = [float(row["amount"]) for row in rows[:3]]
    assert of_one == [-of_one[2], 0, of_one[2]]


def test_equal_extents_if_asked() -> None:
    write_stimuli(None, "d.safetensors", "s", only=[2], samples=1, frames=5, path_size=2.0, quiet=True)
    assert [float(row["amount"]) for row in lines("s/manifest.csv")] == [-2, -1, 0, 1, 2]


def test_of_latents_the_row_is_named() -> None:
    np.save("z.npy", torch.zeros(4, 16).numpy())
    write_stimuli(None, "d.safetensors", "s", only=[0], latents="z.npy", pick=[3], frames=2, path_size=1.0, quiet=True)
    assert [(row["sample"], row["seed"]) for row in lines("s/manifest.csv")] == [("3", "")] * 2


def test_earlier_stimuli_are_replaced_and_other_files_are_not(console: Console) -> None:
    options = ["--only", "0", "--path-size", "1", "--frames", "2", "--quiet", "--frames-out", "s"]
    console("visualize", "d.safetensors", "--samples", "3", *options)
    printed = console("visualize", "d.safetensors", "--samples", "1", *options)
    assert printed == "wrote s/manifest.csv and 2 pictures of 32 x 32 pixels\n"
    assert sorted(each.name for each in Path("s").iterdir()) == ["000-000-000.png", "000-000-001.png", "manifest.csv"]
    Path("s/notes.txt").touch()
    assert "it has other files, such as notes.txt" in console("visualize", "d.safetensors", *options, code=2)
    for more in (["--out", "a.mp4"], ["--transfer"], ["--format", "png"], ["--scale", "2"]):
        assert f"{more[0]} does nothing with --frames-out" in console(
            "visualize", "d.safetensors", *options, *more, code=2
        )


def test_edited_latents_are_saved_for_other_tools() -> None:
    z, y = torch.randn(4, 16), torch.rand(4, 5)
    Path("video").mkdir()
    np.save("video/noise_vectors.npy", z.numpy())
    np.save("video/class_vectors.npy", y.numpy())
    edit(
        None, "d.safetensors", {1: 2.0}, "e.png", latents="video", save_edited="edited", save_latents="same", quiet=True
    )
    Q = Directions.load("d.safetensors").Q
    torch.testing.assert_close(torch.from_numpy(np.load("edited/noise_vectors.npy")), z + 2 * Q[1])
    assert np.array_equal(np.load("edited/class_vectors.npy"), y.numpy())
    assert torch.equal(load_latents("same", 16), z)


def test_a_latents_file_of_another_kind_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(UserError, match=r"not as 'z.txt'"):
        edit(None, "d.safetensors", {1: 2.0}, "e.png", save_edited="z.txt", quiet=True)
    assert not Path("e.png").exists()
