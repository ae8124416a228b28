"""Locks between processes, as far as the file system has them."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import filelock

_log = logging.getLogger(__name__)
_NO_LOCKS = tuple(
    getattr(errno, name)
    for name in ("ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ENOLCK", "EPERM", "EINVAL", "ENOTTY", "EBADF")
    if hasattr(errno, name)
)


class Lock:
    """Exclusive use of something by one process, through a locked file; the system releases it when the process ends.

    On a file system without locks, it is always acquired, after a warning.

    Args:
        path: the file; it is created in an existing folder and stays.
        what: what must not be used twice, for the warning.

    Example:
        >>> lock = Lock(Path("run/.lock"), "run")
        >>> lock.acquire()
        True
    """

    def __init__(self, path: Path, what: str):
        self._path, self._what = path, what
        self._lock: filelock.BaseFileLock | None = None
        self._file: tuple[int, int] | None = None

    def acquire(self, *, wait: bool = False) -> bool:
        """Acquire the lock; False if another process holds it and `wait` is not set.

        Raises:
            OSError: if the file cannot be created.
        """
        lock = filelock.FileLock(self._path, fallback_to_soft=False)
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except filelock.Timeout:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            _log.warning("%s cannot be locked (%s); do not use it twice at a time", self._what, error.strerror)
        self._lock, self._file = lock, self._identity()
        return True

    def is_current(self) -> bool:
        """Whether the lock is acquired, and its file was not removed since."""
        return self._file is not None and self._file == self._identity()

    def release(self) -> None:
        """Release the lock if it is acquired."""
        if self._lock is not None:
            self._lock.release()
        self._lock = self._file = None

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino
