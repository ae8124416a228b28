"""User errors: one line that names the mistake, exit code 2, and an unchanged disk."""

from __future__ import annotations

import functools
import json
import os
import pickle
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import safetensors.torch
import torch

from biggan_discovery import Directions, discover
from biggan_discovery.cli import cli, run
from biggan_discovery.evaluation import held_out_values
from biggan_discovery.memory import OutOfMemoryError
from biggan_discovery.search import judging
from tests.bad_input_cases import CASES, HUGE
from tests.processes import Command, Ended
from tests.tiny import save_tiny_biggan

CLONE = Path(__file__).parents[1]
RUN = {"steps": 2, "batch": 2, "quiet": True}  # of the finished run in the folder "run"


class Evil:
    """Unpickling this creates a file named pwned."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, ("pwned",)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the default generator of all commands, and many files with one defect each."""
    world = tmp_path_factory.mktemp("world")
    tiny = save_tiny_biggan(world / "checkpoints" / "scenes-64")
    (world / "folder").mkdir()
    (world / "folder.gif").mkdir()
    (world / "folder.npy").mkdir()
    _broken_generators(world, tiny)
    _broken_directions(world, tiny)
    _broken_matrices(world)
    _broken_runs(world, tiny)
    return world


def _broken_generators(world: Path, tiny: Path) -> None:
    weights = (tiny / "pytorch_model.bin").read_bytes()
    state = torch.load(tiny / "pytorch_model.bin", weights_only=True)
    config = json.loads((tiny / "config.json").read_text())

    def broken(name: str, *, remove: str = "", **files: bytes | str | dict) -> Path:
        folder = shutil.copytree(tiny, world / name)
        for file, content in files.items():
            path = folder / {"weights": "pytorch_model.bin"}.get(file, f"{file}.json")
            if isinstance(content, dict) and file == "weights":
                torch.save(content, path)
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content if isinstance(content, str) else json.dumps(content))
        if remove:
            (folder / remove).unlink()
        return folder

    broken("weights-cut", weights=weights[: len(weights) // 2])
    broken("weights-empty", weights=b"")
    broken("weights-text", weights="once upon a time")
    broken("weights-code", weights={**state, "extra": Evil()})
    broken("weights-old-code", weights=pickle.dumps({**state, "extra": Evil()}, protocol=4))
    broken("weights-lacking", weights={key: state[key] for key in list(state)[1:]})
    broken("weights-more", weights={**state, "generator.surplus": torch.zeros(1)})
    broken("weights-nan", weights={**state, "embeddings.weight": state["embeddings.weight"] * float("nan")})
    (broken("weights-folder", remove="pytorch_model.bin") / "pytorch_model.bin").mkdir()
    broken("weights-gone", remove="pytorch_model.bin")
    (broken("weights-safe", remove="pytorch_model.bin") / "model.safetensors").write_bytes(b"\xff" * 64)
    broken("config-text", config="{")
    broken("config-list", config="[]")
    broken("config-binary", config=b"\xff\xfe\x00")
    broken("config-lacking", config={key: value for key, value in config.items() if key != "z_dim"})
    broken("config-other", config={**config, "z_dim": 20})
    broken("config-negative", config={**config, "channel_width": -8})
    broken("config-huge", config=json.dumps(config).replace("0.0001", HUGE))
    broken("config-large", config={**config, "z_dim": 10**9})
    broken("classes-few", classes='["cube"]')
    broken("settings-odd", discovery='{"stesp": 5}')
    broken("settings-huge", discovery=f'{{"lr": {HUGE}}}')
    save_tiny_biggan(world / "wide", z_dim=20, class_embed_dim=20)


def _broken_directions(world: Path, tiny: Path) -> None:
    A = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    good = Directions(A, metadata={"generator": "scenes-64", "names": ["hue", "", "camera height"]})
    good.save(world / "found.safetensors")
    content = (world / "found.safetensors").read_bytes()
    (world / "cut.safetensors").write_bytes(content[:-100])
    (world / "empty.safetensors").write_bytes(b"")
    (world / "noise.safetensors").write_bytes(np.random.default_rng(0).bytes(500))
    (world / "html.safetensors").write_text("<html>404 Not Found</html>")
    torch.save({"A": good.A, "Q": good.Q, "x": Evil()}, world / "code.safetensors")

    metadata = {**good.metadata, "format": 1}

    def save(name: str, header: object = metadata, **tensors: torch.Tensor) -> None:
        # Version 1 of the format has no checksum, so that other mistakes are reached.
        text = header if isinstance(header, str) else json.dumps(header)
        content = safetensors.torch.save({"A": good.A, "Q": good.Q, **tensors}, {"biggan_discovery": text})
        (world / f"{name}.safetensors").write_bytes(content)

    def changed(name: str, **changes: Any) -> None:
        save(name, {**metadata, **changes})

    safetensors.torch.save_file({"A": good.A, "Q": good.Q}, world / "bare.safetensors")
    save("garbled", "{")
    save("listed", [1])
    changed("future", format=99)
    changed("lost", generator="/nowhere/at/all")
    changed("coded", generator="gan.py:evil")
    code = "def evil():\n    import os; os.mkdir('pwned')\ndef unsized(z): return z[:, None, None]\n"
    (world / "gan.py").write_text(code + "if __name__ == '__main__': evil()\n")
    changed("numbered", generator=5)
    changed("foreign", classes=[17])
    changed("misnamed", names=["hue"])
    changed("unset", settings=None)
    changed("far", settings={"path_size": "far"})
    save("farther", json.dumps({**metadata, "settings": {"path_size": 7}}).replace("7}", f"{HUGE}}}"))
    changed("trunk", truncation="high")
    save("nan", A=good.A * float("nan"), Q=good.Q * float("nan"))
    save("skew", Q=good.Q + 0.1)
    save("shape", Q=good.Q[:2].contiguous())
    save("double", A=good.A.double(), Q=good.Q.double())
    Directions(torch.eye(20), metadata={"generator": str(tiny)}).save(world / "broad.safetensors")


def _broken_matrices(world: Path) -> None:
    matrix = np.eye(3, 16, dtype=np.float32)
    np.save(world / "fine.npy", matrix)
    np.save(world / "wide.npy", np.eye(3, 20))
    np.save(world / "deep.npy", np.ones((2, 3, 16)))
    np.save(world / "complex.npy", matrix * 1j)
    np.save(world / "none.npy", np.zeros((0, 16)))
    np.save(world / "zeros.npy", np.zeros((3, 16)))
    np.save(world / "tall.npy", np.random.default_rng(0).normal(size=(17, 16)))
    np.save(world / "nan.npy", matrix * np.nan)
    np.save(world / "large.npy", matrix.astype(np.float64) * 1e99)
    np.save(world / "code.npy", np.array([[Evil()]]), allow_pickle=True)
    np.savez(world / "two.npz", a=matrix, b=matrix)
    (world / "cut.npy").write_bytes((world / "fine.npy").read_bytes()[:90])
    (world / "cut.npz").write_bytes((world / "two.npz").read_bytes()[:90])
    (world / "empty.npy").write_bytes(b"")
    (world / "empty.csv").write_bytes(b"")
    (world / "empty.pt").write_bytes(b"")
    (world / "ragged.csv").write_text("1,2,3\n4,5\n")
    (world / "words.csv").write_text("1,2\n3,four\n")
    (world / "nan.csv").write_text("1,nan\n")
    (world / "binary.csv").write_bytes(b"\xff\xfe1,2")
    torch.save(Evil(), world / "code.pt")
    (world / "old-code.pt").write_bytes(pickle.dumps({"a": Evil()}, protocol=4))
    torch.save({"a": torch.eye(2), "b": torch.eye(3)}, world / "two.pt")
    (world / "text.txt").write_text("not numbers\n")


def _broken_runs(world: Path, tiny: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIGGAN_DISCOVERY_CHECKPOINTS", str(tiny.parent))
        quick = functools.partial(held_out_values, samples=2)
        patch.setattr(judging, "held_out_values", quick)
        discover("scenes-64", out=world / "run", **RUN)
    state = (world / "run" / "state.safetensors").read_bytes()
    with safetensors.safe_open(world / "run" / "state.safetensors", framework="pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def broken(name: str, content: bytes) -> None:
        (world / name).mkdir()
        (world / name / "state.safetensors").write_bytes(content)

    broken("run-cut", state[:-20])
    broken("run-empty", b"")
    broken("run-noise", np.random.default_rng(0).bytes(300))
    broken("run-list", safetensors.torch.save(tensors, {"biggan_discovery": "[]"}))
    broken("run-lacking", safetensors.torch.save({"A": tensors["A"]}, header))
    broken("run-shape", safetensors.torch.save({**tensors, "A": tensors["A"][:3].contiguous()}, header))
    broken("run-long", safetensors.torch.save({**tensors, "history": torch.zeros(9, 2, dtype=torch.float64)}, header))
    broken("run-nan", safetensors.torch.save({**tensors, "A": tensors["A"] * float("nan")}, header))
    finished = shutil.copytree(world / "run", world / "run-result-cut")
    (finished / "directions.safetensors").write_bytes(b"cut")


@pytest.fixture
def fails(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Run a command, check that it fails as on bad input, and return the error line."""
    monkeypatch.chdir(world)
    monkeypatch.setenv("BIGGAN_DISCOVERY_CHECKPOINTS", str(world / "checkpoints"))
    monkeypatch.setenv("BIGGAN_DISCOVERY_OFFLINE", "1")

    def call(command: str) -> str:
        monkeypatch.setattr(sys, "argv", ["biggan-discovery", *shlex.split(command)])
        before = listing(world)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pytest.raises(SystemExit) as ended:
                run(cli, "biggan-discovery")
        printed = capsys.readouterr()
        assert not warned, [str(warning.message) for warning in warned]
        error = re.sub(r"\Aclass(es)? \d.*\n", "", printed.err)  # The classes taken are said before all else.
        check(ended.value.code, printed.out, error)
        assert listing(world) == before
        return error

    return call


def check(code: object, out: str, err: str) -> None:
    assert (code, out) == (2, ""), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert len(err) < 1000


def listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder except run locks, with attributes that change on replacement or writing."""
    paths = [path for path in folder.rglob("*") if path.name != ".lock"]
    stats = {str(path.relative_to(folder)): (path.lstat(), path.is_dir()) for path in paths}
    return {
        name: (stat.st_ino, 0, 0) if is_dir else (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        for name, (stat, is_dir) in stats.items()
    }


@pytest.mark.parametrize(("command", "said"), CASES.items(), ids=[command[:60] for command in CASES])
def test_bad_input_is_one_line(fails: Callable[[str], str], command: str, said: str) -> None:
    assert said in fails(command)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("discover.py --generator nowhere", "'nowhere'"),
        ("visualize.py fund.safetensors", "found.safetensors"),
        ("-m biggan_discovery import old-code.pt --out x.safetensors", "old-code.pt"),
        ("-m biggan_discovery clases", "did you mean 'classes'"),
    ],
)
def test_as_users_start_it(world: Path, command: str, said: str) -> None:
    before = listing(world)
    words = [str(CLONE / word) if word.endswith(".py") else word for word in command.split()]
    environment = {**os.environ, "PYTHONPATH": str(CLONE)}
    done = subprocess.run([sys.executable, *words], cwd=world, env=environment, capture_output=True, text=True)
    check(done.returncode, done.stdout, done.stderr)
    assert said in done.stderr
    assert listing(world) == before


def test_the_code_in_these_files_would_run_if_they_were_read_carelessly(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validates that the unchanged listing above proves that no code ran."""
    monkeypatch.chdir(tmp_path)
    torch.load(world / "code.pt", weights_only=False)
    (tmp_path / "pwned").rmdir()
    np.load(world / "code.npy", allow_pickle=True)
    (tmp_path / "pwned").rmdir()
    torch.load(world / "weights-code" / "pytorch_model.bin", weights_only=False)
    (tmp_path / "pwned").rmdir()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory; close other programs, or raise the limit"),
        (OutOfMemoryError("no room for it"), "no room for it"),
    ],
)
def test_out_of_memory_is_not_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: MemoryError, said: str
) -> None:
    @click.command()
    def hungry() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["hungry"])
    with pytest.raises(SystemExit) as ended:
        run(hungry)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {said}\n"


def test_without_arguments_there_is_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["biggan-discovery"])
    with pytest.raises(SystemExit) as ended:
        run(cli, "biggan-discovery")
    assert ended.value.code == 2
    assert "\nCommands:\n" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """`biggan-discovery classes e | head -1`, where head exits first."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "biggan_discovery", "classes", "e"]
    with (tmp_path / "err").open("wb") as err:
        code = subprocess.run(command, cwd=CLONE, stdout=writing, stderr=err, check=False).returncode
    os.close(writing)
    assert code == 1
    assert (tmp_path / "err").read_bytes() == b""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_picture_that_is_stopped_leaves_nothing(world: Path, tmp_path: Path, number: int, code: int) -> None:
    shutil.copy(world / "found.safetensors", tmp_path)
    generator = ("--generator", world / "checkpoints" / "scenes-64")
    running = Command(tmp_path, "visualize", tmp_path / "found.safetensors", "--frames", "9999", *generator)
    end = time.monotonic() + 120
    while not any(path.stat().st_size for path in tmp_path.glob(".found-*")):
        assert time.monotonic() < end
        time.sleep(0.01)
    running.send(number)
    ended = running.wait()
    assert ended.code == code
    assert "Traceback" not in ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["err.txt", "found.safetensors", "out.txt"]


def test_file_names_that_are_not_utf8_are_kept(world: Path, tmp_path: Path) -> None:
    """File names of arbitrary bytes, as Linux allows, are printed and saved."""
    generator = tmp_path / os.fsdecode(b"g\xff")
    shutil.copytree(world / "checkpoints" / "scenes-64", generator)
    file, matrix = tmp_path / "found.safetensors", tmp_path / os.fsdecode(b"\xe9t\xe9.npy")
    imported = Command(tmp_path, "import", world / "fine.npy", "--generator", generator, "--out", file).wait()
    assert (imported.code, imported.err) == (0, "")
    assert Directions.load(file).metadata["generator"] == str(generator)
    exported = Command(tmp_path, "export", file, matrix).wait()
    assert exported == Ended(0, f"wrote {matrix}: Q, 3 directions × 16\n", "")
    assert np.array_equal(np.load(matrix), np.load(world / "fine.npy"))
