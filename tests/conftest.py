from __future__ import annotations

import builtins
import gc
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import jaxtyping
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import tests.typechecker

if TYPE_CHECKING:
    import click

    from tests.cli.console import Console

# The shapes in annotations are checked in the test run only; users pay nothing. Annotations say what is right, also for
# what users pass: a function that refuses wrong input by a `UserError` is seen to do so, because arguments are checked
# when it returns. Only modules with shapes are listed: wrapping takes time, and Triton cannot compile what is wrapped.
tests.typechecker.install()

# These start without torch and NumPy and import the names in annotations for static type checkers only; the hook has to
# find them while they load.
with mock.patch.multiple(builtins, create=True, Float=jaxtyping.Float, Tensor=torch.Tensor):
    import biggan_discovery.evaluation.regional_edits
    import biggan_discovery.search.methods.ganspace
    import biggan_discovery.search.methods.jacobian
    import biggan_discovery.search.methods.sefa  # noqa: F401

torch.set_num_threads(1)

# Without a GPU, Triton's kernels are tested in its interpreter. Triton reads this when it is first imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# torch loads this at the first forward-mode derivative of a process, and it uses what torch itself calls deprecated.
# Loaded here, no test's outcome depends on which ran before it.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    import torch._decomp.decompositions_for_jvp


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    # What is there now stays to the end. To look through it for garbage again and again would take minutes.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def annotations_are_checked() -> None:
    tests.typechecker.begin_test()


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of reports are composed, and not rendered, which takes most of the time."""

    def save(_: Figure, path: Path) -> None:
        Image.new("RGB", (8, 8)).save(path, "PNG")

    monkeypatch.setattr(Figure, "savefig", save)


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """Outputs of reference implementations, in a folder beside the clone."""
    folder = Path(__file__).parents[2] / "shared" / "fixtures"
    if not folder.is_dir():
        pytest.skip(f"the reference fixtures are not at {folder}")
    return folder


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Console:
    from tests.cli.console import Console  # Its modules are checked only if they load after the hook above.

    return Console(monkeypatch, capsys)


@pytest.fixture
def benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[click.Command, str], str]:
    """Run a command of `benchmarks` in this process; returns stdout."""
    from biggan_discovery.cli import run

    def call(command: click.Command, words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["benchmark", *words.split()])
        with pytest.raises(SystemExit) as ended:
            run(command, "benchmark")
        printed = capsys.readouterr()
        assert not ended.value.code, printed.err
        return printed.out

    return call
