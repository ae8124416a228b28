"""What README.md and docs/ show: commands and Python run, and no public name is missing from the API pages."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import torch
from torch import nn

import biggan_discovery
from biggan_discovery import Directions
from biggan_discovery.cli import cli
from biggan_discovery.cli.discover import discover_command
from biggan_discovery.cli.visualize import visualize_command
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.metrics.activeness import ACTIVENESS
from biggan_discovery.rendering import settings_of

CLONE = Path(__file__).parents[1]
PICTURES = sorted(path for path in (CLONE / "docs").rglob("*") if path.suffix in (".webp", ".png"))
PAGES = [CLONE / "README.md", CLONE / "CONTRIBUTING.md", *sorted((CLONE / "docs").glob("*.md"))]
SCRIPTS = {"discover.py": discover_command, "visualize.py": visualize_command}
ADDED_METHODS = re.compile(r"coarse-orojar|image-axes|straightness")  # by the walk-throughs, see tests/extending


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [content for name, content in found if name == language]


def command_lines(page: Path) -> list[list[str]]:
    """The words of each line of the page's blocks of commands, without comments."""
    lines = re.findall(r"^    (python .*)$", page.read_text(), re.MULTILINE)
    for block in (*blocks(page, ""), *blocks(page, "bash")):
        lines += block.replace("\\\n", " ").splitlines()
    lines = [line.replace("$SLURM_ARRAY_TASK_ID", "0") for line in lines if not ADDED_METHODS.search(line)]
    words = (shlex.split(line, comments=True) for line in lines)
    return [each for each in words if each]


def command_of(words: list[str]) -> tuple[click.Command, list[str]] | None:
    """The command of a line and its arguments; None where it is none of ours."""
    for place, word in enumerate(words):
        if word in SCRIPTS:
            return SCRIPTS[word], words[place + 1 :]
        if word == "biggan-discovery" or (word == "biggan_discovery" and words[place - 1] == "-m"):
            found = cli.get_command(click.Context(cli), words[place + 1])
            assert found is not None, words
            return found, words[place + 2 :]
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_that_pages_show(page: Path) -> None:
    makefile = (CLONE / "Makefile").read_text()
    for words in command_lines(page):
        found = command_of(words)
        if found is not None:
            command, arguments = found
            command.make_context(command.name, list(arguments))
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), words
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), words


def test_enough_is_found_to_be_checked() -> None:
    found = {page.name: len(list(filter(None, map(command_of, command_lines(page))))) for page in PAGES}
    assert found["README.md"] >= 5
    assert found["quick-start.md"] >= 10
    assert sum(found.values()) >= 30


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with what the clone has and, in runs/demo, what `make demo` finds."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(CLONE / "directions", tmp_path / "directions")
    found = Directions.load("directions/scenes-64.safetensors")
    for index in range(len(found)):
        found.rename(index, "")
    found.save("runs/demo/directions.safetensors")
    monkeypatch.setitem(ACTIVENESS.presets["quick"], "samples", 2)
    return tmp_path


def gan() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 3 * 8 * 8), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The functions that pages call, on small sizes."""

    def discover(generator: Any, **settings: Any) -> Any:
        few = {"steps": 1, "batch": 1} if "steps" in settings else {"method": "coordinates"}
        return real(generator, **{**settings, **few}, judge=False, quiet=True)

    def evaluate(generator: Any, *directions: Any, **settings: Any) -> Any:
        few = {"metrics": "recovery" if generator == "scenes-64" else "activeness"}
        return judged(generator, *directions, **{**settings, **few}, quiet=True)

    real, judged = biggan_discovery.discover, biggan_discovery.evaluate
    monkeypatch.setattr(biggan_discovery, "discover", discover)
    monkeypatch.setattr(biggan_discovery, "evaluate", evaluate)
    for name in ("draw", "edit"):
        function = getattr(biggan_discovery, name)
        monkeypatch.setattr(biggan_discovery, name, functools.partial(function, frames=4, quiet=True))
    return


SHOWN = [(page.name, block) for page in PAGES if page.name != "CONTRIBUTING.md" for block in blocks(page, "python")]


@pytest.mark.parametrize(("name", "block"), SHOWN, ids=[name for name, _ in SHOWN])
@pytest.mark.usefixtures("empty", "quick")
def test_python_on_pages_runs(name: str, block: str) -> None:
    exec(compile(block, name, "exec"), {"my_gan": gan(), "z": torch.randn(2, 64)})


ROOMS = ["", ".generators", ".directions", ".search", ".evaluation", ".rendering", ".training"]


@pytest.mark.parametrize("room", [importlib.import_module(f"biggan_discovery{room}") for room in ROOMS], ids=ROOMS)
def test_every_public_name_is_on_an_api_page(room: ModuleType) -> None:
    pages = "".join(page.read_text() for page in (CLONE / "docs" / "api").glob("*.md"))
    documented = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)$", pages, re.MULTILINE)}
    assert set(room.__all__) - documented <= {"load"}  # Directions.load under another name


def test_versions_agree() -> None:
    project = (CLONE / "pyproject.toml").read_text()
    [version] = re.findall(r'^version = "(.*)"$', project, re.MULTILINE)
    assert f"version: {version}\n" in (CLONE / "CITATION.cff").read_text()
    assert f"version = {{{version}}}" in (CLONE / "docs" / "citing.md").read_text()
    sections = re.findall(r"^## (\S+)( \(unreleased\))?$", (CLONE / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert next(number for number, unreleased in sections if not unreleased) == version
    assert [number for number, unreleased in sections if unreleased] in ([], [sections[0][0]])


def test_the_wheel_carries_every_file_that_is_not_python() -> None:
    package = CLONE / "biggan_discovery"
    declared = tomllib.loads((CLONE / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    carried = {
        path
        for room, files in declared.items()
        for file in files
        for path in CLONE.glob(f"{room.replace('.', '/')}/{file}")
    }
    others = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert {path.name for path in others} >= {"py.typed", "imagenet_classes.txt"}
    assert others <= carried


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_pictures_name_no_folder_of_the_machine_that_made_them(picture: Path) -> None:
    try:
        settings = settings_of(picture)
    except UserError:
        return  # composed of others, or a screenshot
    assert not re.search(r"(?<![\w.])/\w", " ".join(str(value) for value in settings.values()))
