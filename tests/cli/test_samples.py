from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
import torch

from biggan_discovery.cli import cli, run
from biggan_discovery.directions import Directions
from biggan_discovery.generators import load_generator
from biggan_discovery.rendering import sample_latents, settings_of, to_uint8
from tests.rendering.tiles import places_of, sheet_of
from tests.tiny import save_tiny_biggan


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_biggan(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def file(tmp_path: Path, generator: Path) -> Path:
    Directions(torch.eye(3, 16), metadata={"generator": str(generator), "classes": [1, 3]}).save(
        tmp_path / "found.safetensors"
    )
    return tmp_path / "found.safetensors"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["x", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(cli, "biggan-discovery")
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


def test_the_numbers_of_a_sheet_are_those_of_pictures(command, file: Path, generator: Path) -> None:
    code, out, err = command("samples", file, "--samples", "12", "--seed", "2", "--scale", "1", "--quiet")
    assert (code, err) == (0, "")
    assert out.startswith("wrote samples.png (")
    network = load_generator(str(generator))
    tile = to_uint8(network(sample_latents(network, 8, 2)[7:], torch.tensor([3])))[0]  # Classes 1 and 3 take turns.
    assert len(places_of(sheet_of(Path("samples.png")), tile)) == 1
    options = ("--pick", "7,2", "--seed", "2", "--scale", "1", "--quiet")
    assert command("edit", file, "--set", "0=1", "--out", "e.png", *options)[0] == 0
    assert command("visualize", file, "--only", "0", "--frames", "3", "--out", "v.png", *options)[0] == 0
    for name in ("e.png", "v.png"):
        assert len(places_of(sheet_of(Path(name)), tile)) == 1
        assert settings_of(name)["samples"] == ["7 cone", "2 sphere"]


def test_a_generator_is_shown_without_directions(command, generator: Path) -> None:
    assert command("samples", generator, "--samples", "4", "--class", "torus", "--quiet", "--out", "t.png")[0] == 0
    assert settings_of("t.png")["samples"] == [f"{number} torus" for number in range(4)]


def test_the_command_is_kept_in_the_picture(command, file: Path) -> None:
    typed = ["edit", str(file), "--set", "0=1", "--out", "my picture.png", "--quiet"]
    assert command(*typed)[0] == 0
    kept = shlex.split(settings_of("my picture.png")["command"])
    assert kept == ["biggan-discovery", *typed]


def test_the_frames_of_an_edit(command, file: Path) -> None:
    frames = ("--format", "frames", "--frames", "5", "--easing", "linear", "--samples", "3", "--columns", "2")
    code, out, err = command("edit", file, "--set", "0=1", "--out", "frames", *frames, "--quiet")
    assert (code, err) == (0, "")
    assert len(list(Path("frames").iterdir())) == 5
    assert "5 frames" in out
    assert command("edit", file, "--set", "0=1", "--out", "frames", *frames, "--quiet")[1].endswith(
        "MB), replacing an older one\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere"),
        (["{file}", "--out", "a.gif"], ".png"),
        (["{file}", "--samples", "0"], "'--samples'"),
        (["{file}", "--class", "pyramid"], "pyramid"),
        (["{file}", "--samples", "10000", "--scale", "32"], "too large"),
    ],
)
def test_bad_input(command, file: Path, arguments: list[str], said: str) -> None:
    code, out, err = command("samples", *(str(file) if each == "{file}" else each for each in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err


def test_import_does_not_lose_names(command) -> None:
    Path("m.csv").write_text("1,0,0\n0,1,0\n")
    assert command("import", "m.csv", "--out", "d.safetensors")[0] == 0
    assert command("import", "m.csv", "--out", "d.safetensors")[0] == 0  # There was no name to lose.
    assert command("name", "d.safetensors", "1", "hue")[0] == 0
    before = Path("d.safetensors").read_bytes()
    code, _, err = command("import", "m.csv", "--out", "d.safetensors")
    assert code == 2
    assert "has names or notes of 1 directions" in err
    assert Path("d.safetensors").read_bytes() == before
    assert command("import", "m.csv", "--out", "d.safetensors", "--overwrite")[0] == 0
    assert Directions.load("d.safetensors").names == ["", ""]
