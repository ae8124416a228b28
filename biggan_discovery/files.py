"""Reading files, and writing files atomically."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from biggan_discovery.errors import UserError, near_matches

HEADER = "biggan_discovery"  # key of our JSON in the headers of safetensors files


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` if it is an existing file.

    Raises:
        UserError: If there is no such file, with similar names in the same folder, or `path` is a folder.

    Example:
        >>> existing_file("README.md").name
        'README.md'
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file")
    if not path.exists():
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"there is no file {path}{near_matches(path.name, beside)}")
    return path


_UNWRITABLE = (PermissionError, FileExistsError, NotADirectoryError, FileNotFoundError)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check in advance that `atomic_path` can write a file. Creates nothing.

    Raises:
        UserError: If the folder cannot be created or is not writable, or `path` is a folder.
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
    """Context manager that yields a temporary path in the folder of `path` to write to.

    On success the file is fsynced and renamed to `path`; otherwise it is removed. The temporary name keeps the suffix
    of `path`, because encoders infer the format from it.

    Raises:
        UserError: If the folder cannot be created or is not writable, or `path` is a folder.
        OSError: If writing fails later, for example on a full disk; `path` is left unchanged.

    Example:
        >>> with atomic_path("image.png") as temporary:
        ...     image.save(temporary)
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
        if error.filename in (None, name):  # The error of a full disk does not contain a file name.
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file atomically; see `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
