from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import pytest
import torch
from PIL import Image

from biggan_discovery.cli import cli, run
from biggan_discovery.directions import Directions
from biggan_discovery.generators import load_generator
from biggan_discovery.rendering import sample_latents, to_uint8
from tests.rendering.tiles import assert_in_a_row, places_of, sheet_of
from tests.tiny import save_tiny_biggan

SMALL = ("--samples", "2", "--scale", "1", "--quiet")


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_biggan(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def file(tmp_path: Path, generator: Path) -> Path:
    A = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    metadata = {
        "generator": str(generator),
        "generator_sha256": load_generator(str(generator)).sha256,
        "names": ["hue", "", "camera height"],
        "classes": [1, 3],
        "settings": {"path_size": 2.0},
    }
    Directions(A, metadata=metadata).save(tmp_path / "found.safetensors")
    return tmp_path / "found.safetensors"


@pytest.fixture
def visualize(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command on `file`, with small pictures; return exit code, stdout and stderr."""

    def call(*arguments: str | Path, path: Path = file) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["biggan-discovery", "visualize", str(path), *SMALL, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(cli, "biggan-discovery")
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


def test_the_picture_lies_beside_the_file_and_is_said(visualize, file: Path) -> None:
    code, out, err = visualize("--frames", "8")
    assert (code, err) == (0, "")
    picture = file.with_suffix(".mp4")
    height, width = iio.imread(picture, index=0).shape[:2]
    assert f"wrote {picture} ({width} x {height} pixels, 8 frames in 0.4 s," in out
    assert "replacing" not in out
    assert "MB), replacing an older one\n" in visualize("--frames", "8")[1]


def test_the_picture_shows_the_generators_images(visualize, file: Path, generator: Path) -> None:
    """Compare a strip made by the command with images from the generator."""
    out = file.with_name("strip.png")
    options = "--only 2 --frames 3 --samples 2 --seed 4 --path-size 2"
    code, _, err = visualize("--out", out, *options.split())
    assert (code, err) == (0, "")
    network, q = load_generator(str(generator)), Directions.load(file).Q[2]
    z = sample_latents(network, 2, 4)
    tops = []
    for sample, y in enumerate((1, 3)):
        at = [(z + amount * q)[sample][None] for amount in (-2.0, 0.0, 2.0)]
        tops.append(assert_in_a_row(sheet_of(out), [to_uint8(network(each, torch.tensor([y])))[0] for each in at]))
    assert tops[0] < tops[1]


def test_a_file_for_each_direction(visualize, file: Path) -> None:
    code, out, _ = visualize("--per-direction", "--only", "0-1", "--format", "webp", "--frames", "4")
    folder = file.with_suffix("")
    assert code == 0
    assert out == f"wrote 2 files to {folder}\n"
    assert sorted(path.name for path in folder.iterdir()) == ["000-hue.webp", "001.webp"]


def test_the_same_command_draws_the_same_picture(visualize, file: Path) -> None:
    drawn = []
    for _ in range(2):
        assert visualize("--out", file.with_name("a.gif"), "--frames", "6", "--seed", "9")[0] == 0
        drawn.append(file.with_name("a.gif").read_bytes())
    assert drawn[0] == drawn[1]


def test_every_option_is_taken(visualize, file: Path) -> None:
    options = "--only 2,0 --frames 5 --fps 25 --path-size 1 --easing linear --centred --columns 2 --class torus,0"
    code, _, err = visualize(
        *options.split(), "--truncation", "0.5", "--device", "cpu", "--out", file.with_name("a.mp4")
    )
    assert (code, err) == (0, "")


def test_curved_paths_stand_below_straight_lines(visualize, file: Path, generator: Path) -> None:
    """Rows of straight lines equal the generator's images; rows of paths equal them in the middle."""
    out = file.with_name("curved.png")
    code, said, err = visualize("--curved", "--out", out, "--only", "0,2", "--frames", "3", "--path-size", "0.5")
    assert (code, err) == (0, "")
    assert "wrote" in said
    network, found = load_generator(str(generator)), Directions.load(file)
    z, still = sample_latents(network, 2, 0), sheet_of(out)
    for sample, y in enumerate((1, 3)):
        middle = places_of(still, to_uint8(network(z[sample][None], torch.tensor([y])))[0])
        assert len(middle) == 4  # The line and the path of both directions.
        for row, (line, path) in ((0, middle[:2]), (2, middle[2:])):
            assert line[0] < path[0]
            end = to_uint8(network((z + 0.5 * found.Q[row])[sample][None], torch.tensor([y])))[0]
            assert [top for top, _ in places_of(still, end)] == [line[0]]


def test_curved_without_directions(
    generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--curved", "--generator", str(generator), "--only", "1", "--frames", "4", "--format", "webp"]
    monkeypatch.setattr(
        sys,
        "argv",
        ["x", "visualize", *options, "--path-size", "0.5", "--layers", "2", "--class", "cone", "--scale", "1"],
    )
    with pytest.raises(SystemExit) as ended:
        run(cli)
    assert not ended.value.code
    printed = capsys.readouterr()
    assert "wrote curved.webp" in printed.out
    assert "following paths: 4/4" in printed.err
    with Image.open("curved.webp") as image:
        assert image.n_frames == 4
        assert 2 * 34 < image.height < 4 * 34  # a caption, and the line and the path of one sample


def test_curved_in_a_file_for_each_direction(visualize, file: Path) -> None:
    options = ("--curved", "--only", "0-1", "--frames", "4", "--path-size", "0.25", "--samples", "1")
    code, _, _ = visualize("--per-direction", *options)
    assert code == 0
    assert sorted(path.name for path in file.with_suffix("").iterdir()) == ["000-hue.mp4", "001.mp4"]


def test_other_weights_are_warned_of(visualize, file: Path) -> None:
    other = save_tiny_biggan(file.with_name("other"), seed=1)
    code, _, err = visualize("--generator", other, "--frames", "4")
    assert code == 0
    assert err.startswith("warning: ")
    assert err.count("\n") == 1


def test_progress_is_told(file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "visualize", str(file), "--frames", "4", "--samples", "1"])
    with pytest.raises(SystemExit):
        run(cli)
    assert "drawing: 4/4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--frames", "0"], "'--frames'"),
        (["--frames", "3"], "3 frames"),
        (["--frames", "nine"], "'nine'"),
        (["--fps", "-1"], "'--fps'"),
        (["--fps", "nan"], "nan"),
        (["--fps", "100", "--format", "gif"], "at most 50"),
        (["--samples", "0"], "'--samples'"),
        (["--path-size", "0"], "'--path-size'"),
        (["--path-size", "inf"], "inf"),
        (["--only", "0,3"], "no direction 3"),
        (["--only", "a"], "'a'"),
        (["--only", ""], "not an index"),
        (["--only", "2-1"], "write 1-2"),
        (["--columns", "0"], "'--columns'"),
        (["--scale", "0"], "'--scale'"),
        (["--easing", "sinus"], "did you mean 'sine'"),
        (["--class", "9"], "9"),
        (["--class", "pyramid"], "pyramid"),
        (["--seed", "-1"], "'--seed'"),
        (["--truncation", "0"], "'--truncation'"),
        (["--truncation", "nan"], "nan"),
        (["--generator", "nowhere"], "nowhere"),
        (["--device", "abacus"], "abacus"),
        (["--format", "avi"], "'--format'"),
        (["--out", "a.avi"], "'.avi'"),
        (["--out", "a.mp4", "--format", "gif"], "leave one"),
        (["--out", "/dev/null/a.gif"], "/dev/null"),
        (["--per-direction", "--out", "/dev/null/a"], "/dev/null"),
        (["--samples", "10000", "--scale", "32"], "too large"),
        (["--curved", "--transfer"], "choose one"),
        (["--curved", "--path-size", "1000"], "at most 250"),
        (["--curved", "--samples", "10000", "--scale", "32"], "too large"),
    ],
)
def test_bad_input(visualize, arguments: list[str], said: str) -> None:
    # The last --samples and --scale count, so these cases override the small ones.
    code, out, err = visualize(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err


def test_bad_files(visualize, file: Path, generator: Path) -> None:
    wide = Directions(torch.eye(20), metadata={"generator": str(generator)})
    wide.save(file.with_name("wide.safetensors"))
    odd = Directions.load(file)
    odd.metadata["settings"] = {"path_size": "far"}
    odd.save(file.with_name("odd.safetensors"))
    foreign = Directions.load(file)
    foreign.metadata["classes"] = [17]
    foreign.save(file.with_name("foreign.safetensors"))
    file.with_name("cut.safetensors").write_bytes(file.read_bytes()[:100])
    cases = {
        "wide": "z_dim 20",
        "odd": "'far'",
        "foreign": "has classes that",
        "cut": "cut.safetensors",
        "gone": "gone",
    }
    for name, said in cases.items():
        # Curved paths alone take their path size from the file.
        code, _, err = visualize(*(["--curved"] * (name == "odd")), path=file.with_name(f"{name}.safetensors"))
        assert code == 2
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert said in err
    assert not list(file.parent.glob("*.gif"))


@pytest.mark.parametrize("command", ["visualize", "edit"])
def test_help_is_quick(command: str) -> None:
    start = time.perf_counter()
    code = """import sys
from biggan_discovery.cli import main
try: main()
finally: assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code, command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Examples:" in done.stdout
    assert (
        time.perf_counter() - start < 5
    )  # Half a second on an idle machine; what matters is that torch is not loaded.
