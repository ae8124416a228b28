"""Changing the names and other metadata in a directions file without losing what others change at the same time."""

from __future__ import annotations

import contextlib
import copy
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from biggan_discovery.directions.directions import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.files import existing_file
from biggan_discovery.generators.hub import Address, is_address

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def changing(path: str | os.PathLike[str]) -> Iterator[Directions]:
    """Context manager that loads directions, lets the caller change them, and saves them if they are different.

    Others who change the same file wait, on file systems that can lock. After an exception nothing is saved.

    Args:
        path: a directions file; not the name of the bundled one.

    Raises:
        UserError: If the file cannot be read or is read-only; see `Directions.load` and `Directions.save`.

    Example:
        >>> with changing("found.safetensors") as directions:
        ...     directions.rename(0, "zoom")
    """
    if is_address(path):
        raise UserError(f"{Address.read(path)} is on the Hub; change a copy of it: `hf download`, then `push`")
    source = Directions.load(path).source
    if source != os.fspath(path):
        raise UserError(f"{path} is the bundled file {source}; change a copy of it")
    with _locked(Path(path)):
        directions = Directions.load(path)
        before = copy.deepcopy(directions.metadata)
        yield directions
        if directions.metadata != before:
            directions.save(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that is replaced, not written to: the lock is of the file that has the name now."""
    while True:
        _check_changeable(existing_file(path))
        if fcntl is None:
            yield
            return
        try:
            opened = path.open("rb")
        except PermissionError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        with opened as file:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    yield
                    return


def _check_changeable(path: Path) -> None:
    """A read-only file could be replaced, but whoever made it read-only does not want that."""
    writable = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    if not path.stat().st_mode & writable or not os.access(path, os.W_OK):
        raise UserError(f"cannot change {path}: it is read-only; change a copy")
