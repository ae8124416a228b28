"""Reading files, and writing files atomically.

The bytes of a file are a requirement. What some file systems lack, such as fsync of folders, permissions and locks, is
an effort: it is tried, and the work goes on without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from biggan_discovery.errors import UserError, near_matches

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed anyway.
    fcntl = None

HEADER = "biggan_discovery"  # key of our JSON in the headers of safetensors files

_FAILED_DEVICE = (errno.EIO, errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_BAD_PATH = tuple(
    getattr(errno, name)
    for name in (
        *("EACCES", "EEXIST", "EINVAL", "EISDIR", "ELOOP", "ENAMETOOLONG", "ENODEV", "ENOENT", "ENOTDIR", "ENXIO"),
        *("EPERM", "EROFS"),
    )
)
_MOST_NEW_FOLDERS = 100
_MOST_BESIDE = 10_000  # names to search for similar ones
_OLD = 24 * 3600.0  # seconds after which an unfinished file is taken for abandoned where files cannot be locked


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` if it is an existing file.

    Raises:
        UserError: If there is no such file, with similar names in the same folder, or `path` is a folder, a pipe or a
            device.

    Example:
        >>> existing_file("README.md").name
        'README.md'
    """
    path = Path(path)
    found = _stat(path, "read")
    if found is None:
        raise UserError(f"there is no file {path}{near_matches(path.name, _beside(path))}")
    if stat.S_ISDIR(found.st_mode):
        raise UserError(f"{path} is a folder; give a file")
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path} is a pipe or a device; give a file")
    return path


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check in advance that `atomic_path` can write a file. Creates nothing.

    Raises:
        UserError: If the folder cannot be created or is not writable, or `path` is a folder, a pipe or a device.
    """
    path = Path(path)
    target = _target(path)
    with _of_user(path):
        missing = _missing_folders(target.parent)
        tempfile.TemporaryFile(dir=missing[-1].parent if missing else target.parent).close()


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Create a folder and its parents if they are missing.

    Raises:
        UserError: If that is impossible.
    """
    folder = Path(folder)
    _stat(folder, "write")
    with _of_user(folder):
        for each in reversed(_missing_folders(folder)):
            each.mkdir(exist_ok=True)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Context manager that yields a temporary path in the folder of `path` to write to.

    On success the file is fsynced and renamed to `path`; otherwise it is removed. If `path` is a link, the file that it
    points to is replaced. The temporary name keeps the suffix of `path`, because encoders infer the format from it; a
    further temporary file or folder may be named by appending to it. What killed processes left of earlier attempts to
    write `path` is removed.

    Raises:
        UserError: If the folder cannot be created or is not writable, or `path` is a folder, a pipe or a device.
        OSError: If writing fails later, for example on a full disk; `path` is left unchanged.

    Example:
        >>> with atomic_path("image.png") as temporary:
        ...     image.save(temporary)
    """
    path = Path(path)
    target = _target(path)
    make_folder(target.parent)
    _sweep(target)
    with _of_user(path):
        descriptor, temporary = _create(target)
    try:
        yield temporary
        with effort():
            _sync(temporary)
        with effort(), contextlib.suppress(FileNotFoundError):
            shutil.copymode(target, temporary)
        if fcntl is None:  # Windows renames closed files only; elsewhere the lock is kept until the file has its name.
            os.close(descriptor)
            descriptor = -1
        temporary.replace(target)
        with effort():
            _sync(target.parent)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # The error of a full disk does not contain a file name.
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        if descriptor != -1:
            os.close(descriptor)
        temporary.unlink(missing_ok=True)


def atomic_write(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file atomically; see `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def effort() -> Iterator[None]:
    """Context manager for what some file systems cannot do: only errors of a failing or full device are raised."""
    try:
        yield
    except OSError as error:
        if error.errno in _FAILED_DEVICE:
            raise


def is_bad_path(error: OSError) -> bool:
    """Whether another path would help, so that it is the user who can mend the error, and not the system."""
    return error.errno in _BAD_PATH


@contextlib.contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """Context manager that yields a name of an existing file that is valid UTF-8, which some libraries require.

    Example:
        >>> with utf8_path(path) as name, safetensors.safe_open(name, framework="pt") as file:
        ...     names = file.keys()
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield Path(f"/dev/fd/{file.fileno()}")
    else:
        yield path


def _stat(path: Path, verb: str) -> os.stat_result | None:
    """The status of a file; None if it does not exist, and a `UserError` for a path that cannot exist."""
    try:
        os.fsencode(path)
        return path.stat()
    except FileNotFoundError:
        return None
    except ValueError as error:  # It contains a NUL, or characters that no file name has.
        raise UserError(f"cannot {verb} {os.fspath(path)!r}: it is not a path") from error
    except OSError as error:
        if not is_bad_path(error):
            raise
        raise UserError(f"cannot {verb} {path}: {error.strerror}") from error


def _missing_folders(folder: Path) -> list[Path]:
    """A folder and its parents as far as they do not exist, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    if len(missing) > _MOST_NEW_FOLDERS:
        raise UserError(
            f"cannot write to {folder}: it needs {len(missing)} new folders; at most {_MOST_NEW_FOLDERS} are made"
        )
    return missing


def _target(path: Path) -> Path:
    """The file that is written for `path`, which may be a link to it."""
    found = _stat(path, "write")
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise UserError(f"cannot write {path}: it is a folder; give a file name")
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise UserError(f"cannot write {path}: it is a pipe or a device; give a file name")
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _beside(path: Path) -> list[str]:
    """Names of the files in the folder of `path`, as far as they can be had."""
    try:
        with os.scandir(path.parent) as entries:
            return [entry.name for entry, _ in zip(entries, range(_MOST_BESIDE), strict=False)]
    except OSError:
        return []


@contextlib.contextmanager
def _of_user(path: Path) -> Iterator[None]:
    """Context manager that turns an error of the path into a `UserError`."""
    try:
        yield
    except OSError as error:
        if not is_bad_path(error):
            raise
        raise UserError(f"cannot write {path}: {error.strerror} ({_blamed(error, path)})") from error


def _blamed(error: OSError, path: Path) -> str:
    """The folder that refuses a temporary file, or the path that cannot be created."""
    blamed = Path(error.filename or path)
    return str(path.parent if blamed.name.startswith(_prefix(path)) else blamed)


def _create(target: Path) -> tuple[int, Path]:
    """Create a temporary file for `target`, and lock it so that no other process sweeps it."""
    while True:
        temporary = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}.part{target.suffix}")
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        except FileExistsError:
            continue
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        if fcntl is None or os.fstat(descriptor).st_nlink:
            return descriptor, temporary
        os.close(descriptor)  # Another process swept it before it was locked.


def _prefix(target: Path) -> str:
    """The beginning of temporary names, which leaves room for the rest in names of at most 255 bytes."""
    stem = target.stem
    while len(os.fsencode(f"{stem}{target.suffix}")) > 200:
        stem = stem[:-1]
    return f".{stem}-"


def _sweep(target: Path) -> None:
    """Remove what killed processes left of attempts to write `target`."""
    ours = re.compile(rf"({re.escape(_prefix(target))}[0-9a-f]{{8}}\.part{re.escape(target.suffix)})(\.\w+)?")
    try:
        with os.scandir(target.parent) as entries:
            found = [match for entry in entries if (match := ours.fullmatch(entry.name))]
    except OSError:
        return
    for match in sorted(found, key=lambda match: (match[2] is None, match[0])):  # The first file last.
        with contextlib.ExitStack() as lock:
            if _is_abandoned(target.with_name(match[1]), lock):
                _remove(target.with_name(match[0]), target.with_name(f"{match[1]}.gone"))


def _remove(left: Path, aside: Path) -> None:
    """Remove a file or folder; a folder is moved aside first, so that no program that was started adds to it."""
    with contextlib.suppress(OSError):
        if left.is_dir():
            shutil.rmtree(left.rename(aside) if left != aside else left)
        else:
            left.unlink()


def _is_abandoned(temporary: Path, lock: contextlib.ExitStack) -> bool:
    """Whether no living process writes a temporary file, which none starts to do before `lock` is closed."""
    try:
        descriptor = os.open(temporary, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if fcntl is None:  # Windows does not remove open files.
        os.close(descriptor)
        return True
    lock.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - os.fstat(descriptor).st_mtime > _OLD
    return True


def _sync(path: Path) -> None:
    """Fsync a file or folder; Windows can do so only through a handle that may write, and not for folders."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
