"""Finding files to read, and writing files so that no half file is ever seen under its final name."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from biggan_discovery.errors import UserError, near_matches

HEADER = "biggan_discovery"  # the key of our own JSON in the headers of safetensors files


def existing_file(path: str | os.PathLike[str]) -> Path:
    """`path`, where a file is there to read.

    Raises:
        UserError: where there is none, naming files beside it with nearly that name, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file in it")
    if not path.exists():
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"there is no file {path}{near_matches(path.name, beside)}")
    return path


_UNWRITABLE = (PermissionError, FileExistsError, NotADirectoryError, FileNotFoundError)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise what `atomic_path` would raise, before anything slow is done; nothing is left behind.

    Raises:
        UserError: where the folder cannot be made or written, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; give a file name")
    folder = next(parent for parent in path.parents if parent.exists())
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except _UNWRITABLE as error:
        raise UserError(f"cannot write {path}: {error.strerror} ({folder})") from error


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path in the folder of `path` to write to; fsynced and renamed to `path` on success, else removed.

    The temporary name keeps the suffix of `path`, because encoders choose their format by it.

    Raises:
        UserError: where the folder cannot be made or written, or `path` is a folder.
        OSError: where writing fails later, for example on a full disk; `path` is then as it was.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; give a file name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except _UNWRITABLE as error:
        raise UserError(f"cannot write {path}: {error.strerror} ({error.filename})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        if error.filename in (None, name):  # a full disk does not tell what it had no room for
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write the whole content of a file at once; see `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
