"""`discover.py` end to end, on a tiny generator."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from biggan_discovery import Directions
from biggan_discovery.installed import as_typed
from tests.processes import Command, Ended, save_fast_biggan

CLONE = Path(__file__).parents[1]
NUMBER = r"-?[\d.]+(e[-+]?\d+)?"


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_fast_biggan(tmp_path_factory.mktemp("place") / "fast")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: Path) -> Callable[..., Ended]:
    """Run `discover` with few steps in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        options = ("--generator", generator, "--steps", "4", "--batch", "2")
        return Command(tmp_path, "discover", *options, *arguments).wait()

    return run


def test_the_script_finds_directions_and_says_how_well(tmp_path: Path, generator: Path) -> None:
    command = [sys.executable, "discover.py", "--generator", generator, "--steps", "5", "--batch", "2"]
    command += ["--out", tmp_path / "run", "--class", "cone,torus", "--directions", "4"]
    done = subprocess.run(command, cwd=CLONE, capture_output=True, text=True, check=True)
    assert re.search(
        r"^held-out Hessian Penalty: [\d.]+ ± [\d.]+ of random \([\d.e-]+ after, [\d.e-]+ before, [\d.e-]+ random "
        r"directions\)$",
        done.stdout,
        re.MULTILINE,
    )
    assert done.stdout.startswith(
        "found 4 directions with 80 generator evaluations\noff-diagonal second derivatives at 12 "
    )
    file = tmp_path / "run" / "directions.safetensors"
    assert done.stdout.splitlines()[-1] == f"saved {file}; see it with: {as_typed(sys.executable)} visualize.py {file}"
    assert "searching: 5/5" in done.stderr
    assert "\r" not in done.stderr, "a bar in a pipe"
    found = Directions.load(file)
    assert found.Q.shape == (4, 6)
    assert (found.Q @ found.Q.T - torch.eye(4)).abs().max() <= 1e-6
    assert found.metadata["class_names"] == ["cone", "torus"]
    assert found.metadata["generator"] == str(generator)
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 6


def test_without_out_the_folder_is_called_by_what_was_asked(call, tmp_path: Path) -> None:
    first = call("--class", "cone", "--seed", "3")
    assert first.code == 0, first.err
    assert [path.name for path in (tmp_path / "directions").iterdir()] == ["fast-cone-hessian-seed3"]
    assert (
        "see it with: biggan-discovery visualize directions/fast-cone-hessian-seed3/directions.safetensors" in first.out
    )


def test_each_class_has_a_run_of_its_own(call, tmp_path: Path) -> None:
    both = call("--class", "cone,torus", "--each", "--out", "runs", "--no-judge")
    assert both.code == 0, both.err
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["3-cone", "4-torus"]
    assert [line.split()[1] for line in both.out.splitlines()[1::2]] == [
        f"runs/{name}/directions.safetensors;" for name in ("3-cone", "4-torus")
    ]
    assert call("--class", "torus", "--out", "alone", "--no-judge").code == 0
    for name in ("directions.safetensors", "state.safetensors"):
        assert (tmp_path / "runs" / "4-torus" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    again = call("--class", "cone,torus", "--each", "--out", "runs", "--no-judge")
    assert again.out.count("already finished") == 2


def test_without_out_runs_of_classes_lie_in_one_folder(call, tmp_path: Path) -> None:
    assert call("--class", "cone", "--each", "--no-judge").code == 0
    assert (tmp_path / "directions" / "fast-cone-hessian-seed0-each" / "3-cone" / "directions.safetensors").exists()


def test_a_class_that_fails_does_not_keep_the_others(call, tmp_path: Path) -> None:
    (tmp_path / "runs" / "3-cone").mkdir(parents=True)
    (tmp_path / "runs" / "3-cone" / "state.safetensors").write_bytes(b"damaged")
    done = call("--class", "cone,torus", "--each", "--out", "runs", "--no-judge")
    assert done.code == 2
    assert (tmp_path / "runs" / "4-torus" / "directions.safetensors").exists()
    (line,) = [line for line in done.err.splitlines() if "error" in line]
    assert line.startswith("error: 3-cone: runs/3-cone/state.safetensors is not a readable state")


def test_what_is_wrong_for_each_class_is_said_once(call) -> None:
    done = call("--each", "--directions", "7")
    assert (done.code, done.out, done.err) == (
        2,
        "",
        "error: directions is 7; a space of 6 coordinates allows 1 to 6\n",
    )


def test_the_same_command_again_says_that_all_is_done(call, tmp_path: Path) -> None:
    first = call("--out", "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    again = call("--out", "run")
    assert (first.code, again.code) == (0, 0)
    assert "already" not in first.out
    assert "already finished" in again.out
    assert first.out.splitlines()[0] == again.out.splitlines()[0]
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_progress_is_plain_lines_in_a_pipe_and_nothing_when_quiet(call) -> None:
    shown = call("--out", "a")
    announced, *lines = shown.err.splitlines()
    assert announced.endswith(
        "6 directions in layers all, 4 steps of 2 samples, cpu, float32, 64 generator evaluations"
    )
    assert re.fullmatch(rf"searching: 4/4, penalty {NUMBER} \({NUMBER} step/s, 0 s left\)", lines[0])
    assert lines[-1].startswith("judging at unseen latents: ")
    assert "\x1b" not in shown.err
    assert "\r" not in shown.err
    quiet = call("--out", "b", "--quiet")
    assert (quiet.code, quiet.err) == (0, "")
    assert quiet.out == shown.out.replace(" a/", " b/")


def test_tensorboard_lies_in_the_folder(call, tmp_path: Path) -> None:
    assert call("--out", "run", "--tracker", "tensorboard").code == 0
    assert len(list((tmp_path / "run").glob("events.out.tfevents.*"))) == 1


def test_help_is_quick_and_shows_every_option() -> None:
    code = """import sys
sys.argv = ["discover.py", "--help"]
from runpy import run_path
try: run_path("discover.py", run_name="__main__")
finally: assert not {"torch", "numpy", "safetensors", "scipy"} & set(sys.modules)
"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=CLONE, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for option in (
        *("generator", "class", "directions", "steps", "batch", "lr", "path-size", "epsilon", "probes", "init"),
        *("orthogonalize", "truncation", "seed", "device", "out", "save-every", "tracker", "quiet", "method"),
    ):
        assert f"--{option}" in done.stdout
    assert "Examples:" in done.stdout
    # Half a second on an idle machine; the bound allows for cold caches.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
