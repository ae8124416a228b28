"""Files are written whole or not at all, on every file system, and nothing of killed writers stays."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biggan_discovery import files
from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.files import atomic_path, atomic_write, check_writable, existing_file, make_folder
from tests.processes import CONTEXT

UNSUPPORTED = [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EBADF, errno.EROFS]
FAILING = [errno.EIO, errno.ENOSPC, errno.EDQUOT]


def failing(number: int):
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", UNSUPPORTED)
@pytest.mark.parametrize("what", ["fsync", "chmod", "flock", "open of folders"])
def test_efforts_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, number: int) -> None:
    (tmp_path / "a.npy").write_bytes(b"old")
    if what == "open of folders":
        real = os.open

        def files_only(path, *arguments):
            if os.path.isdir(path):  # noqa: PTH112
                failing(number)()
            return real(path, *arguments)

        monkeypatch.setattr(os, "open", files_only)
    elif what == "flock":
        monkeypatch.setattr(files.fcntl, "flock", failing(number))
    else:
        monkeypatch.setattr(os, what, failing(number))
    atomic_write(tmp_path / "a.npy", b"new")
    assert (tmp_path / "a.npy").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("number", FAILING)
def test_devices_that_fail_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "a.npy").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing(number))
    with pytest.raises(OSError, match=r"a\.npy") as caught:
        atomic_write(tmp_path / "a.npy", b"new")
    assert caught.value.errno == number
    assert (tmp_path / "a.npy").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("target", ["file.npy", "folder/file.npy", "missing.npy"])
@pytest.mark.parametrize("absolute", [True, False])
def test_links_are_written_through(tmp_path: Path, target: str, absolute: bool) -> None:
    (tmp_path / "folder").mkdir()
    if target != "missing.npy":
        (tmp_path / target).write_bytes(b"old")
    for link, to in (("link.npy", target), ("second.npy", "link.npy")):
        (tmp_path / link).symlink_to(tmp_path / to if absolute else to)
    check_writable(tmp_path / "second.npy")
    atomic_write(tmp_path / "second.npy", b"new")
    assert (tmp_path / target).read_bytes() == b"new"
    assert (tmp_path / "link.npy").is_symlink()
    assert (tmp_path / "second.npy").is_symlink()


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_permissions_are_kept_and_new_files_have_the_usual_ones(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "a", b"1")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
        (tmp_path / "a").chmod(mode)
        atomic_write(tmp_path / "a", b"2")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    finally:
        os.umask(before)


HOSTILE = {
    "NUL": "a\0b",
    "lone surrogate": "a\ud800b",
    "a million letters": "a" * 10**6,
    "256 letters": "a" * 252 + ".npy",
    "a loop of links": "loop/a.npy",
    "below a file": "file/a.npy",
    "a folder": "folder",
    "a pipe": "pipe",
    "a device": "/dev/null",
    "1,000 folders": "/".join("a" * 1000) + "/a.npy",
    "1,000 long folders": "/".join(["folder"] * 1000),
    "nothing": "",
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE.keys())
def test_paths_that_cannot_be_are_one_line(world: Path, path: str) -> None:
    before = sorted(world.rglob("*"))
    with pytest.raises(UserError):
        existing_file(path)
    for write in (check_writable, lambda path: atomic_write(path, b"")):
        with pytest.raises(UserError):
            write(path)
    assert sorted(world.rglob("*")) == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(), min_size=1, max_size=300))
def test_every_name_is_written_or_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "names"
    make_folder(folder)
    try:
        atomic_write(folder / name.replace("/", "_"), b"content")
    except UserError:
        return
    [written] = folder.iterdir()
    assert written.read_bytes() == b"content"
    written.unlink()


def test_the_longest_names_are_written(tmp_path: Path) -> None:
    for name in ("a" * 251 + ".npy", "é" * 127, "." + "a" * 254):
        atomic_write(tmp_path / name, b"content")
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def _write_and_hang(path: Path, more: str, ready, killed: bool) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        if more == ".parts":
            temporary.with_name(temporary.name + more).mkdir()
            temporary.with_name(temporary.name + more).joinpath("film").write_bytes(b"half")
        elif more:
            temporary.with_name(temporary.name + more).write_bytes(b"half")
        ready.set()
        if killed:
            os.kill(os.getpid(), 9)
        ready.wait_for_end.wait()


class Ready:
    def __init__(self) -> None:
        self._event, self.wait_for_end = CONTEXT.Event(), CONTEXT.Event()
        self.set, self.wait = self._event.set, self._event.wait


@pytest.mark.parametrize("name", ["a.gif", "with space.tar.gz", "none", ".hidden", "a[1]*.npy", "ä.npy"])
@pytest.mark.parametrize("more", ["", ".nut", ".parts"])
@pytest.mark.parametrize("killed", [True, False])
def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path: Path, name: str, more: str, killed: bool) -> None:
    ready = Ready()
    others = [f".{name}", f".{name}-1.part", f"{name}.part", ".x-12345678.part.gif", "x-12345678.part.gif"]
    for other in others:
        (tmp_path / other).touch()
    writer = CONTEXT.Process(target=_write_and_hang, args=(tmp_path / name, more, ready, killed))
    writer.start()
    assert ready.wait(30)
    if killed:
        writer.join()
    left = {path.name for path in tmp_path.iterdir()} - set(others)
    assert len(left) == 1 + bool(more)
    atomic_write(tmp_path / name, b"whole")
    expected = {*others, name} | (set() if killed else left)
    assert {path.name for path in tmp_path.iterdir()} == expected
    ready.wait_for_end.set()
    writer.join()
    assert (tmp_path / name).read_bytes() == (b"whole" if killed else b"half")


def test_a_file_that_was_just_created_is_swept_before_it_is_locked_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process sweeps between the creation of a temporary file and its lock."""
    created, found, locked, swept = (threading.Event() for _ in range(4))
    lock, remove = fcntl.flock, files._remove
    kept = []

    def flock(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX and not created.is_set():
            created.set()
            assert found.wait(30)
        lock(descriptor, operation)

    def slow_remove(*paths: Path) -> None:
        found.set()
        locked.wait(0.5)
        remove(*paths)

    def write() -> None:
        with atomic_path(tmp_path / "a") as temporary:
            locked.set()
            assert swept.wait(30)
            kept.append(temporary.exists())

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(files, "_remove", slow_remove)
    writer = threading.Thread(target=write)
    writer.start()
    assert created.wait(30)
    files._sweep(tmp_path / "a")
    swept.set()
    writer.join()
    assert kept == [True]


def _write_often(path: Path, content: bytes, count: int) -> None:
    for _ in range(count):
        atomic_write(path, content)


def test_ten_writers_of_one_file(tmp_path: Path) -> None:
    contents = [bytes([index]) * 5000 for index in range(10)]
    writers = [CONTEXT.Process(target=_write_often, args=(tmp_path / "a", each, 30)) for each in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert (tmp_path / "a").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_similar_names_are_not_sought_for_words_without_end() -> None:
    assert near_matches("hesian", ["hessian", "x" * 10**6]) == " (did you mean 'hessian'?)"
    assert near_matches("x" * 10**6, ["hessian"]) == ""
