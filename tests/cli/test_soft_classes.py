"""Soft classes on the command line: in pictures, in searches, and in the files that both leave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from biggan_discovery.directions import Directions
from biggan_discovery.generators import load_generator
from biggan_discovery.rendering import edit, sample_latents, settings_of, to_uint8
from biggan_discovery.rendering.latent_files import load_samples
from tests.cli.console import Console
from tests.rendering.tiles import assert_in_a_row, sheet_of
from tests.tiny import save_tiny_biggan

MIX = torch.tensor([[0.25, 0, 0, 0, 0.75]])


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_biggan(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def file(tmp_path: Path, generator: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    A = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    Directions(A, metadata={"generator": str(generator)}).save(tmp_path / "found.safetensors")
    return tmp_path / "found.safetensors"


def test_an_edit_shows_the_mix(console: Console, file: Path, generator: Path) -> None:
    console("edit", file, "--set", "0=2", "--class", "cube:1, torus:3", "--out", "e.png", "--scale", "1", "--quiet")
    network, Q = load_generator(str(generator)), Directions.load(file).Q
    z = sample_latents(network, 1, 0)
    assert_in_a_row(sheet_of(Path("e.png")), [to_uint8(network(at, MIX))[0] for at in (z, z + 2 * Q[0])])
    assert settings_of("e.png")["samples"] == ["0 torus 0.75 + cube 0.25"]


@pytest.mark.parametrize("suffix", ["npy", "npz", "pt", "csv"])
def test_class_vectors_of_a_file_go_to_samples_row_by_row(
    console: Console, file: Path, generator: Path, suffix: str
) -> None:
    rows = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    path = Path(f"classes.{suffix}")
    match suffix:
        case "npy":
            np.save(path, rows.numpy())
        case "npz":
            np.savez(path, class_vectors=rows.numpy(), other=np.zeros(2))
        case "pt":
            torch.save(rows, path)
        case _:
            np.savetxt(path, rows.numpy(), delimiter=",")
    console("edit", file, "--set", "0=2", "--class-vectors", path, "--out", "e.png", "--scale", "1", "--quiet",
            "--columns", "3", "--save-latents", "z.npz")  # fmt: skip
    network = load_generator(str(generator))
    z = sample_latents(network, 3, 0)
    _, y = load_samples("z.npz", 16)
    torch.testing.assert_close(y, rows)
    pairs = torch.stack((z, z + 2 * Directions.load(file).Q[0]), dim=1).flatten(0, 1)
    images = to_uint8(network(pairs, y.repeat_interleave(2, dim=0)))
    assert_in_a_row(sheet_of(Path("e.png")), list(images))


@pytest.mark.usefixtures("file")
def test_a_search_keeps_the_mix_and_resumes_with_it(console: Console, generator: Path) -> None:
    search = ["discover", "--generator", generator, "--method", "sefa", "--no-judge", "--quiet", "--out", "run"]
    console(*search, "--class", "cube:1, torus:3")
    found = Directions.load("run/directions.safetensors")
    assert found.metadata["classes"] == [[[0, 0.25], [4, 0.75]]]
    assert found.metadata["class_names"] == ["torus 0.75 + cube 0.25"]
    assert "already finished" in console(*search, "--class", "torus:0.75, cube:0.25")
    assert "classes" in console(*search, "--class", "cube:1, torus:2", code=2)
    console("edit", "run/directions.safetensors", "--set", "0=0", "--out", "e.png", "--quiet")
    assert settings_of("e.png")["samples"] == ["0 torus 0.75 + cube 0.25"]
    assert "torus 0.75 + cube 0.25" in console("name", "run/directions.safetensors")


def test_a_report_of_soft_classes(console: Console, file: Path) -> None:
    options = ["--metrics", "activeness,class-transfer", "--no-figures", "--quiet", "--out", "report"]
    console("evaluate", file, "--class", "cube:1, torus:3; cone", *options)
    report = json.loads(Path("report/report.json").read_text())
    assert report["conditions"]["classes"] == [[[0, 0.25], [4, 0.75]], 3]
    assert "torus 0.75 + cube 0.25, cone" in Path("report/report.html").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--class", "cube:0.5, torus"], "'torus' has no weight"),
        (["--class-vectors", "missing.npy"], "no file of class vectors missing.npy"),
        (["--class-vectors", "wide.npy"], "have shape (2, 6); the generator takes weights (N, 5)"),
        (["--class-vectors", "nan.npy"], "are not all finite"),
        (["--class-vectors", "two.npz"], "should be one array, or one called class_vectors"),
        (["--class", "cube", "--class-vectors", "wide.npy"], "--class and --class-vectors both"),
        (["--class-vectors", "wide.npy", "--class", "cube"], "--class and --class-vectors both"),
    ],
)
def test_bad_input_in_one_line(console: Console, file: Path, options: list[str], said: str) -> None:
    np.save("wide.npy", np.ones((2, 6)))
    np.save("nan.npy", np.full((2, 5), np.nan))
    np.savez("two.npz", a=np.ones((2, 5)), b=np.ones((2, 5)))
    error = console("edit", file, "--set", "0=1", *options, code=2)
    assert said in error
    assert error.count("\n") == 1


def test_latents_keep_class_weights(file: Path, generator: Path) -> None:
    rows = torch.tensor([[0.1, 0, 0.3, 0, 2.5], [0, 1, 0, 0, 0]])
    for name in ("z.npy", "z.npz"):
        edit(str(generator), file, {0: 1.0}, "e.png", classes=rows, save_latents=name, quiet=True)
        z, y = load_samples(name, 16)
        assert torch.equal(y, rows)
        assert torch.equal(z, sample_latents(load_generator(str(generator)), 2, 0))
