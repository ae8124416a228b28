from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from biggan_discovery.cli import cli, run
from biggan_discovery.directions import Directions
from biggan_discovery.generators import load_generator
from biggan_discovery.rendering import sample_latents, settings_of, to_uint8
from tests.rendering.tiles import assert_in_a_row, places_of, sheet_of
from tests.tiny import save_tiny_biggan


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_biggan(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def file(tmp_path: Path, generator: Path) -> Path:
    A = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    metadata = {"generator": str(generator), "names": ["hue", "", "camera height"]}
    Directions(A, metadata=metadata).save(tmp_path / "found.safetensors")
    return tmp_path / "found.safetensors"


@pytest.fixture
def edit(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command on `file` in its folder, with small pictures; return exit code, stdout and stderr."""
    monkeypatch.chdir(file.parent)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["x", "edit", str(file), "--scale", "1", "--quiet", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(cli, "biggan-discovery")
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


def test_before_and_after(edit, file: Path, generator: Path) -> None:
    code, out, err = edit(
        "--set", "0=+2", "--set", "camera height=-1.5", "--class", "cone", "--seed", "3", "--out", "e.png"
    )
    assert (code, err) == (0, "")
    assert out.startswith("wrote e.png (")
    network, Q = load_generator(str(generator)), Directions.load(file).Q
    z, y = sample_latents(network, 1, 3), torch.tensor([3])
    before_and_after = [to_uint8(network(at, y))[0] for at in (z, z + 2 * Q[0] - 1.5 * Q[2])]
    assert_in_a_row(sheet_of(Path("e.png")), before_and_after)


@pytest.mark.parametrize("suffix", ["gif", "mp4", "webp"])
def test_a_loop(edit, suffix: str) -> None:
    code, out, err = edit("--set", "1=3", "--samples", "2", "--frames", "6", "--out", f"e.{suffix}")
    assert (code, err) == (0, "")
    assert "6 frames" in out


def test_latents_are_kept_and_given_again(edit) -> None:
    first = ("--set", "hue=1", "--samples", "2", "--seed", "5", "--out", "a.png", "--save-latents", "z.npy")
    assert edit(*first)[0] == 0
    assert edit("--set", "hue=1", "--latents", "z.npy", "--out", "b.png")[0] == 0
    np.testing.assert_array_equal(np.asarray(Image.open("a.png")), np.asarray(Image.open("b.png")))
    assert edit("--set", "hue=1", "--latents", "z.npy", "--samples", "1", "--out", "c.png")[0] == 0
    assert np.asarray(Image.open("c.png")).shape[0] < np.asarray(Image.open("b.png")).shape[0]


@pytest.mark.parametrize("name", ["z.npy", "z.npz"])
def test_kept_latents_come_back_with_their_classes(edit, generator: Path, name: str) -> None:
    first = ("--set", "hue=1", "--pick", "7,2", "--class", "cube,torus,cone", "--out", "a.png", "--save-latents", name)
    assert edit(*first)[0] == 0
    assert settings_of("a.png")["samples"] == ["7 torus", "2 cone"]
    assert edit("--set", "hue=1", "--latents", name, "--out", "b.png")[0] == 0
    assert settings_of("b.png")["samples"] == ["0 torus", "1 cone"]
    network = load_generator(str(generator))
    z, y = sample_latents(network, 8, 0), torch.tensor([4, 3])
    for index, number in enumerate((7, 2)):
        tile = to_uint8(network(z[number : number + 1], y[index : index + 1]))[0]
        for path in ("a.png", "b.png"):
            assert len(places_of(sheet_of(Path(path)), tile)) == 1
    # Asking for classes wins.
    assert edit("--set", "hue=1", "--latents", name, "--class", "cube", "--out", "c.png")[0] == 0
    assert settings_of("c.png")["samples"] == ["0 cube", "1 cube"]
    assert edit("--set", "hue=1", "--latents", name, "--pick", "1", "--out", "d.png")[0] == 0
    assert settings_of("d.png")["samples"] == ["1 cone"]


def test_classes_of_latents_that_the_generator_lacks_are_refused(edit) -> None:
    np.savez("z.npz", z=np.zeros((2, 16)), y=np.array([1, 99]))
    code, _, err = edit("--set", "hue=1", "--latents", "z.npz")
    assert code == 2
    assert "z.npz has classes 1 to 99" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--set"),
        (["--set", "3"], "DIRECTION=AMOUNT"),
        (["--set", "=2"], "DIRECTION=AMOUNT"),
        (["--set", "3=2"], "no direction 3"),
        (["--set", "-1=2"], "-1"),
        (["--set", "camera hight=2"], "camera height"),
        (["--set", "0=far"], "'far'"),
        (["--set", "0="], "not a number"),
        (["--set", "0=nan"], "finite"),
        (["--set", "0=inf"], "finite"),
        (["--set", "0=1", "--set", "hue=2"], "twice"),
        (["--set", "0=1", "--frames", "1"], "'--frames'"),
        (["--set", "0=1", "--fps", "0"], "'--fps'"),
        (["--set", "0=1", "--samples", "-2"], "'--samples'"),
        (["--set", "0=1", "--out", "e.bmp"], "'.bmp'"),
        (["--set", "0=1", "--out", "/dev/null/e.png"], "/dev/null"),
        (["--set", "0=1", "--latents", "gone.npy"], "gone.npy"),
        (["--set", "0=1", "--latents", "narrow.npy"], "(2, 3)"),
        (["--set", "0=1", "--latents", "fine.npy", "--samples", "3"], "holds 2"),
        (["--set", "0=1", "--save-latents", "z.txt"], ".npy"),
        (["--set", "0=1", "--class", "pyramid"], "pyramid"),
    ],
)
def test_bad_input(edit, arguments: list[str], said: str) -> None:
    np.save("narrow.npy", np.zeros((2, 3)))
    np.save("fine.npy", np.zeros((2, 16)))
    code, out, err = edit(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert not list(Path.cwd().glob("edit.*"))
