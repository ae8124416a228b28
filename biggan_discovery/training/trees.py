"""Files in a folder, a zip or a tar, one after another; sizes are judged before anything is unpacked."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from biggan_discovery.errors import UserError
from biggan_discovery.reading.limits import check_bytes
from biggan_discovery.reading.pictures import LARGEST_PICTURE
from biggan_discovery.reading.source import DAMAGED_ZIP, first_bytes

MOST_FILES = 2**24
LARGEST_TREE = 2**40
"""Bytes of all files in an archive, unpacked."""

_ZIP = b"PK\x03\x04"
_COMPRESSED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zX": lzma.open}
_DAMAGED = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, *DAMAGED_ZIP)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or a tar by its content; compressed files are taken for a tar."""
    head = first_bytes(path, 512)
    return head.startswith((_ZIP, *_COMPRESSED)) or head[257:262] == b"ustar"


def files_in(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Names, with "/" between folders, and contents of the files with some suffixes.

    Hidden files and what other programs leave beside pictures are passed over.

    Raises:
        UserError: damaged, or larger than the limits of this module.
    """
    if path.is_dir():
        yield from _in_folder(path, suffixes)
        return
    try:
        if first_bytes(path, 4) == _ZIP:
            yield from _in_zip(path, suffixes)
        else:
            yield from _in_tar(path, suffixes)
    except UserError:
        raise
    except _DAMAGED as error:
        raise UserError(f"{path} is a damaged archive ({error}); download it again") from error


def count_in(path: Path, suffixes: tuple[str, ...]) -> int | None:
    """The number of files that `files_in` gives; None for a tar, which would have to be read for it."""
    if path.is_dir():
        return sum(1 for _ in _paths(path, suffixes))
    if first_bytes(path, 4) != _ZIP:
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(_wanted(name, suffixes) for name in archive.namelist())
    except _DAMAGED as error:
        raise UserError(f"{path} is a damaged zip ({error}); download it again") from error


def _in_folder(folder: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for path in _paths(folder, suffixes):
        status = path.stat()
        if stat.S_ISREG(status.st_mode):  # A pipe would be waited for.
            check_bytes(status.st_size, LARGEST_PICTURE, str(path))
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _paths(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(each for each in folders if not each.startswith((".", "__MACOSX")))
        for name in sorted(names):
            if _wanted(name, suffixes):
                yield Path(parent, name)


def _in_zip(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        members = [each for each in archive.infolist() if not each.is_dir() and _wanted(each.filename, suffixes)]
        _check(path, len(members), sum(each.file_size for each in members))
        for member in members:
            check_bytes(member.file_size, LARGEST_PICTURE, f"{member.filename} in {path}")
            yield member.filename, archive.read(member)  # Never more than the size that its header states.


def _in_tar(path: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    count = size = 0
    head = first_bytes(path, 4)
    opener = next((each for magic, each in _COMPRESSED.items() if head.startswith(magic)), open)
    with opener(path, "rb") as file, tarfile.open(fileobj=_Limited(file), mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # It would keep all.  # pyright: ignore[reportAttributeAccessIssue]
            count, size = count + 1, size + member.size
            _check(path, count, size)
            check_bytes(member.size, LARGEST_PICTURE, f"{member.name} in {path}")
            if member.isreg() and _wanted(member.name, suffixes):
                content = archive.extractfile(member)
                assert content is not None
                yield member.name, content.read()


class _Limited(io.RawIOBase):
    """A stream that refuses to read much at once, which only headers of hostile archives ask for."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        if not 0 <= size <= LARGEST_PICTURE + tarfile.RECORDSIZE:
            raise tarfile.ReadError("a header claims too much")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of the file."""
        return self._file.tell()


def _check(path: Path, count: int, size: int) -> None:
    check_bytes(size, LARGEST_TREE, f"{path}, unpacked,")
    if count > MOST_FILES:
        raise UserError(f"{path} has more than {MOST_FILES:,} files, which is too many")


def _wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith((".", "__MACOSX")) and part not in (".", "..") for part in parts)
    return name.lower().endswith(suffixes) and not hidden
