from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from biggan_discovery.cli import cli, run
from biggan_discovery.generators import catalogue
from biggan_discovery.generators.catalogue import BUNDLED, CHECKPOINTS_VARIABLE
from tests.tiny import save_tiny_biggan


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_tiny_biggan(tmp_path / "mine")
    monkeypatch.setenv(CHECKPOINTS_VARIABLE, str(tmp_path))
    monkeypatch.setenv("PYTORCH_PRETRAINED_BIGGAN_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr(catalogue, "_CLONE", tmp_path / "clone")
    return tmp_path


def _run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int | str | None, str, str]:
    """Exit code, stdout and stderr of the command line."""
    monkeypatch.setattr(sys, "argv", ["biggan-discovery", *arguments])
    with pytest.raises(SystemExit) as caught:
        run(cli, "biggan-discovery")
    captured = capsys.readouterr()
    return caught.value.code or 0, captured.out, captured.err


@pytest.mark.usefixtures("checkpoints")
def test_generators(checkpoints: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = _run(capsys, monkeypatch, "generators")
    assert (code, err) == (0, "")
    header, *named, mine = out.splitlines()
    scenes, remote = named[0], named[len(BUNDLED) :]
    assert header.split() == ["NAME", "PIXELS", "Z_DIM", "CLASSES", "SIZE", "STATE", "FOLDER"]
    assert scenes.split() == ["scenes-64", "-", "-", "-", "-", "missing", str(checkpoints / "scenes-64")]
    size = f"{(checkpoints / 'mine' / 'pytorch_model.bin').stat().st_size / 1e6:.1f}"
    assert mine.split() == ["mine", "32", "16", "5", size, "MB", "present", str(checkpoints / "mine")]
    assert [line.split()[:4] for line in remote] == [
        ["biggan-deep-128", "128", "128", "1000"],
        ["biggan-deep-256", "256", "128", "1000"],
        ["biggan-deep-512", "512", "128", "1000"],
        ["brock-128", "128", "120", "1000"],
    ]
    assert all("not downloaded" in line for line in remote)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ([], ["0  cube", "1  sphere", "2  cylinder", "3  cone", "4  torus"]),
        (["C"], ["0  cube", "2  cylinder", "3  cone"]),
    ],
)
@pytest.mark.usefixtures("checkpoints")
def test_classes(
    query: list[str], expected: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = _run(capsys, monkeypatch, "classes", *query, "--generator", "mine")
    assert (code, out.splitlines(), err) == (0, expected, "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["golden retr"], ["207  n02099601  golden retriever"]),
        (["n02012849"], ["134  n02012849  crane"]),
        (["crane", "--generator", "biggan-deep-512"], ["134  n02012849  crane", "517  n03126707  crane"]),
    ],
)
@pytest.mark.usefixtures("checkpoints")
def test_classes_of_imagenet_without_a_download(
    arguments: list[str], expected: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = _run(capsys, monkeypatch, "classes", *arguments)
    assert (code, out.splitlines(), err) == (0, expected, "")


def test_search_finds_classes_of_the_bundled_generator_too(
    checkpoints: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkpoints / "mine").rename(checkpoints / "scenes-64")
    code, out, _ = _run(capsys, monkeypatch, "classes", "torus")
    assert (code, out.splitlines()) == (0, ["scenes-64:", "4  torus"])


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["classes", "shpere", "--generator", "mine"], "'sphere'"),
        (["classes", "--generator", "mien"], "'mine'"),
        (["classes", "--generator", "scenes-64"], "install the package again"),
        (["classes", "one", "two"], "unexpected extra argument"),
        (["generators", "extra"], "unexpected extra argument"),
        (["generators", "--all"], "No such option"),
    ],
)
@pytest.mark.usefixtures("checkpoints")
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = _run(capsys, monkeypatch, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert part in err


@pytest.mark.parametrize("command", ["classes", "generators"])
def test_help_does_not_load_torch(command: str) -> None:
    code = (
        "import sys\nfrom biggan_discovery.cli import cli\n"
        f"try: cli(['{command}', '--help'])\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert time.monotonic() - start < 5  # Half a second on an idle machine; a bound that a busy one meets too.
