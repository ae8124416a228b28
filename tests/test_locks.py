"""Locks exclude other processes, and are an effort where the file system has none."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import filelock
import pytest

from biggan_discovery import FunctionGenerator, discover
from biggan_discovery.errors import UserError
from biggan_discovery.locks import Lock
from biggan_discovery.runs.folder import State, locked
from tests.processes import CONTEXT

UNSUPPORTED = [errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.ENOLCK, errno.EINVAL]


def _acquired(path: Path, answers) -> None:
    answers.put(Lock(path, "run").acquire())


def acquired_elsewhere(path: Path) -> bool:
    answers = CONTEXT.SimpleQueue()
    process = CONTEXT.Process(target=_acquired, args=(path, answers))
    process.start()
    process.join()
    return answers.get()


def test_one_process_holds_a_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path / ".lock", "run")
    assert not lock.is_current()
    assert lock.acquire()
    assert lock.is_current()
    assert not acquired_elsewhere(tmp_path / ".lock")
    lock.release()
    assert not lock.is_current()
    assert acquired_elsewhere(tmp_path / ".lock")


@pytest.mark.parametrize("number", UNSUPPORTED)
def test_a_run_without_a_lock_says_so_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    generator = FunctionGenerator(lambda z: z.square().view(-1, 1, 1, 4), z_dim=4)
    discover(generator, out=tmp_path / "run", method="random", judge=False, quiet=True)
    assert (tmp_path / "run" / "directions.safetensors").exists()
    assert f"{tmp_path / 'run'} cannot be locked ({os.strerror(number)})" in caplog.text


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_device_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.raises(OSError, match=os.strerror(number)), locked(tmp_path / "run"):
        pass


def state() -> State:
    return State({}, {}, ("penalty",), 1, [[0.5]])


def test_a_folder_that_was_removed_is_locked_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with locked(folder) as hold:
        shutil.rmtree(folder)
        hold.keep()
        state().save(folder)
        assert not acquired_elsewhere(folder / ".lock")
        hold.keep()
        assert not acquired_elsewhere(folder / ".lock")
    assert acquired_elsewhere(folder / ".lock")


def test_a_folder_that_another_run_has_taken_over_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with locked(folder) as hold:
        folder.rename(tmp_path / "moved")
        with locked(folder), pytest.raises(UserError, match="another run is using"):
            hold.keep()


def test_a_search_locks_a_removed_folder_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    calls = []

    def images(z):
        calls.append(len(z))
        if len(calls) == 6:
            shutil.rmtree(folder)
        return z.square().view(-1, 1, 1, 4)

    generator = FunctionGenerator(images, z_dim=4)
    discover(generator, out=folder, steps=20, batch=2, save_every=1, precision="float32", quiet=True, judge=False)
    assert {".lock", "directions.safetensors", "state.safetensors"} <= {path.name for path in folder.iterdir()}
