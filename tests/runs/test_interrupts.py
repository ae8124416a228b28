"""A search that is interrupted at any time and in any way resumes bit for bit."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors
import torch

from biggan_discovery import FunctionGenerator, discover
from biggan_discovery.runs.folder import read_saved
from tests.processes import Command, Ended, save_fast_biggan

RESULTS = ("directions.safetensors", "history.csv", "state.safetensors")
STEPS = 40
LONG = 100_000  # steps that no test waits for


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_fast_biggan(tmp_path_factory.mktemp("fast"))


@pytest.fixture
def search(tmp_path: Path, generator: Path) -> Iterator[Callable[..., Command]]:
    """Start a search in a folder below `tmp_path`."""
    started: list[Command] = []

    def start(out: str | Path, *, steps: int = STEPS, save_every: int = 2) -> Command:
        options = ("--out", tmp_path / out, "--steps", str(steps), "--save-every", str(save_every), "--batch", "2")
        started.append(Command(tmp_path, "discover", "--generator", generator, *options))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.join()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, generator: Path) -> Path:
    """The folder of an uninterrupted search."""
    folder = tmp_path_factory.mktemp("whole")
    options = ("--out", folder, "--steps", str(STEPS), "--save-every", "2", "--batch", "2")
    assert Command(folder, "discover", "--generator", generator, *options).wait().code == 0
    return folder


def steps_saved(folder: Path) -> int:
    """Steps in the checkpoint of a run; 0 if there is none, as at the start and while one takes the other's place."""
    if not (folder / "state.safetensors").exists():
        return 0
    try:
        with safetensors.safe_open(folder / "state.safetensors", framework="pt") as file:
            return len(file.get_tensor("history"))
    except (FileNotFoundError, RuntimeError):
        return 0


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def assert_same(folder: Path, whole: Path) -> None:
    for name in RESULTS:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_saves_and_the_run_goes_on(tmp_path, search, whole, number, code):
    running = search("run", save_every=10)
    wait_for(lambda: steps_saved(tmp_path / "run"))
    running.send(number)
    ended = running.wait()
    assert ended.code == code
    assert f"stopped; the run is saved in {tmp_path / 'run'}, run the same command again to resume" in ended.err
    assert "Traceback" not in ended.err
    saved = steps_saved(tmp_path / "run")
    assert 10 <= saved <= STEPS
    assert not list((tmp_path / "run").glob(".*-*")), "temporary files are left"
    assert search("run", save_every=10).wait().code == 0
    assert_same(tmp_path / "run", whole)


def test_asked_twice_it_does_not_wait(tmp_path, search):
    running = search("run", steps=LONG)
    wait_for(lambda: steps_saved(tmp_path / "run"))
    running.send(signal.SIGINT)
    running.send(signal.SIGINT)
    assert running.wait().code == 130
    assert steps_saved(tmp_path / "run") >= 2


def test_killed_at_random_moments_it_ends_the_same(tmp_path, search, whole):
    chance = random.Random(0)
    for attempt in range(4):
        folder = tmp_path / f"run{attempt}"
        at = chance.randrange(STEPS - 4)
        running = search(folder.name)
        wait_for(lambda: folder.exists() and steps_saved(folder) >= at)  # noqa: B023 - called at once
        time.sleep(chance.uniform(0, 0.02))
        running.send(signal.SIGKILL)
        running.wait()
        resumed = search(folder.name).wait()
        assert resumed.code == 0, resumed.err
        assert_same(folder, whole)


def test_a_second_run_in_the_folder_is_refused(tmp_path, search):
    first = search("run", steps=LONG)
    wait_for(lambda: steps_saved(tmp_path / "run"))
    second = search("run", steps=LONG).wait()
    assert second == Ended(
        2, "", f"error: another run is using {tmp_path / 'run'}; wait for it, or choose another --out\n"
    )
    first.send(signal.SIGKILL)
    first.wait()
    saved = read_saved(tmp_path / "run")  # Also if it was killed while one checkpoint took the other's place.
    assert saved is not None
    assert len(saved.tensors["history"]) >= 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_leaves_the_last_good_state(search, small_disk):
    run = small_disk / "run"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(48 * 1024))
    ended = search(run, steps=LONG).wait()  # the history grows until it does not fit
    assert ended.code == 1
    assert [line for line in ended.err.splitlines() if line.startswith("error: ")] == [
        f"error: No space left on device ({run / 'history.csv'})"
    ]
    assert "Traceback" not in ended.err
    assert steps_saved(run) >= 2
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock", "history.csv", "state.previous.safetensors", "state.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("failing", ["history.csv", "state.safetensors", "directions.safetensors"])
def test_after_a_full_disk_the_run_goes_on(tmp_path, monkeypatch, failing):
    generator = FunctionGenerator(lambda z: z.square().view(-1, 1, 1, 4), z_dim=4)
    options = {"steps": 6, "batch": 2, "save_every": 2, "quiet": True}
    whole = discover(generator, out=tmp_path / "whole", **options)
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name.startswith(f".{Path(failing).stem}-"):
            write(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left") as failed:
            discover(generator, out=tmp_path / "run", **options)
    assert failed.value.filename == str(tmp_path / "run" / failing)
    assert not list((tmp_path / "run").glob(f".{Path(failing).stem}-*"))
    assert torch.equal(discover(generator, out=tmp_path / "run", **options).Q, whole.Q)
    assert_same(tmp_path / "run", tmp_path / "whole")
