"""The wheel alone, in an empty folder: its commands work there on what it brings along."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import matplotlib as mpl
import pytest

from tests.processes import Ended, run_all

CLONE = Path(__file__).parents[1]
BUILT_FROM = ("biggan_discovery", "checkpoints", "directions", "README.md", "LICENSE", "pyproject.toml")
SCRIPTS = ("setup.py", "MANIFEST.in", "discover.py", "visualize.py")


def copy_of_the_clone(folder: Path) -> Path:
    """A copy, so that nothing is built in the clone, with a download beside the bundled generators."""
    for name in (*BUILT_FROM, *SCRIPTS):
        source = CLONE / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name, **({"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}))
    (folder / "checkpoints" / "biggan-deep-256").mkdir(exist_ok=True)
    (folder / "checkpoints" / "biggan-deep-256" / "pytorch_model.bin").write_bytes(b"download")
    return folder


def build(source: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "-w", str(out), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_clone(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pip")
    return build(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*command, str(wheel)], check=True)
    return target


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all commands, one after the other, as a user's."""
    return tmp_path_factory.mktemp("empty")


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_has_every_file_that_is_not_python_and_no_download(wheel: Path) -> None:
    files = files_of(wheel)
    package = {str(path.relative_to(CLONE)) for path in (CLONE / "biggan_discovery").rglob("*") if path.is_file()}
    assert {name for name in package if not name.endswith((".pyc", ".py"))} | {"biggan_discovery/py.typed"} <= files
    bundled = {name.removeprefix("biggan_discovery/bundled/") for name in files if "/bundled/" in name}
    folders = (*CLONE.glob("checkpoints/scenes-*"), CLONE / "checkpoints" / "cifar-32")
    found = [CLONE / "directions" / f"{name}.safetensors" for name in ("cifar-32", "scenes-64")]
    tracked = [*(file for each in folders for file in each.iterdir()), *found]
    assert bundled == {str(path.relative_to(CLONE)) for path in tracked}
    assert wheel.stat().st_size < 20e6


def test_a_source_distribution_gives_the_same_wheel(wheel: Path, source: Path, tmp_path: Path) -> None:
    code = "from setuptools import build_meta; import sys; print(build_meta.build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=source, check=True, capture_output=True)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        content.extractall(tmp_path, filter="data")
    (tmp_path / "out").mkdir()
    again = build(next(path for path in tmp_path.glob("biggan_discovery-*") if path.is_dir()), tmp_path / "out")
    assert files_of(again) == files_of(wheel)


COMMANDS = [
    ("generators", "scenes-64"),
    ("classes torus", "4  torus"),
    ("visualize scenes-64 --only 0 --samples 1 --frames 4 --out film.gif", "wrote film.gif"),
    ("edit scenes-64 --set 'object hue=2' --out edit.png", "wrote edit.png"),
    ("samples scenes-64 --samples 2 --out sheet.png", "sheet.png"),
    ("name scenes-64", "hue"),
    ("evaluate scenes-64 --metrics recovery --no-figures --quiet", "wrote scenes-64-report"),
    ("export scenes-64 scenes.npy", "wrote scenes.npy"),
]


def test_commands_work_in_an_empty_folder(installed: Path, empty: Path) -> None:
    ends = run_each(installed, empty, [command for command, _ in COMMANDS])
    for (command, said), ended in zip(COMMANDS, ends, strict=True):
        assert ended.code == 0, f"{command}: {ended.err}"
        assert said in ended.out, command


def test_what_is_found_there_is_drawn_and_judged_there(installed: Path, empty: Path) -> None:
    found = run(installed, empty, "discover --method sefa --directions 1 --no-judge --out found")
    assert "see it with: biggan-discovery visualize found" in found.stdout
    file = "found/directions.safetensors"
    commands = [f"visualize {file} --only 0 --samples 1 --frames 2 --format png", f"evaluate {file} --metrics recovery"]
    drawn, judged = run_each(installed, empty, commands)
    assert "wrote found/directions.png" in drawn.out
    assert "wrote found/directions-report" in judged.out


def test_what_it_brings_along_is_not_written_to(installed: Path, empty: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (installed / "biggan_discovery" / "bundled").rglob("*")}
    commands = ["name scenes-64 0 mine", "visualize scenes-65", "discover --generator scenes65"]
    for command, ended in zip(commands, run_each(installed, empty, commands), strict=True):
        assert ended.code == 2, command
        assert ended.err.startswith("error: "), command
        assert ended.err.count("\n") == 1, command
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_help_names_commands_that_exist_there(installed: Path, empty: Path) -> None:
    for command in ("discover", "visualize", "edit", "evaluate", "explore"):
        text = run(installed, empty, f"{command} --help").stdout
        assert "python discover.py" not in text
        assert "python visualize.py" not in text
        assert f"  biggan-discovery {command}" in text
        assert "directions/scenes-64.safetensors" not in text


def run(installed: Path, folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run the console script where only the wheel's files, and other packages, are importable."""
    script = [sys.executable, str(installed / "bin" / "biggan-discovery"), *shlex.split(command)]
    return subprocess.run(
        script, cwd=folder, env=environment(installed, folder), capture_output=True, text=True, check=False
    )


def run_each(installed: Path, folder: Path, commands: list[str]) -> list[Ended]:
    """Run commands there in one process."""
    return run_all([shlex.split(command) for command in commands], folder, environment(installed, folder))


def environment(installed: Path, folder: Path) -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("BIGGAN_DISCOVERY")}
    variables["PATH"] = f"{installed / 'bin'}{os.pathsep}{variables['PATH']}"
    variables |= {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return variables | {"MPLCONFIGDIR": mpl.get_cachedir()}  # To collect this machine's fonts takes long.
