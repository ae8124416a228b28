"""Opening a file from a stranger, and telling what it is by its first bytes. Needs no torch."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from biggan_discovery.errors import UserError
from biggan_discovery.reading.limits import LARGEST_FILE, check_bytes, check_zip

Place = Path | zipfile.Path
"""A file on disk, or one inside a zip."""

DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)  # RuntimeError: encrypted.

TORCH, TORCH_LEGACY, NPY, NPZ, SAFETENSORS, JSON, TEXT, ZIP = (
    "torch file",
    "torch file of the old format",
    ".npy file",
    ".npz file",
    "safetensors file",
    "JSON file",
    "table",
    "zip file",
)

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # Before UTF-16, whose mark it begins with.
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEGACY_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa850192e")  # torch.serialization.MAGIC_NUMBER, pickled.
_MATRIX = "save the array with numpy.save instead"
_REFUSED = (
    (b"\x89HDF", "an HDF5 file (also of MATLAB 7.3 and Keras)", f"read it with h5py and {_MATRIX}"),
    (b"MATLAB 5.0", "a MATLAB file", f"read it with scipy.io.loadmat and {_MATRIX}"),
    (b"\xd0\xcf\x11\xe0", "an Excel file", "save the sheet as CSV instead"),
    (b"PAR1", "a Parquet file", "save it with pandas.DataFrame.to_csv instead"),
    (b"ARROW1", "an Arrow file", "save it with pandas.DataFrame.to_csv instead"),
    (b"RDX", "an R file", "save it with write.csv instead"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first"),
    (b"BZh", "compressed with bzip2", "unpack it first"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer without the file itself", "run git lfs pull"),
    (b"\x89PNG", "a picture", "give a file of numbers"),
    (b"\xff\xd8\xff", "a picture", "give a file of numbers"),
    (b"GIF8", "a picture", "give a file of numbers"),
    (b"%PDF", "a PDF", "give a file of numbers"),
)
_CONTROL = frozenset(map(chr, set(range(32)) - set(b"\t\n\r\f\x1b"))) | {"\x7f"}


@contextlib.contextmanager
def open_place(place: Place) -> Iterator[IO[bytes]]:
    """A file as a seekable stream; one in a zip is unpacked in memory.

    Raises:
        UserError: missing, unreadable, larger than `LARGEST_FILE`, not a regular file, or in a damaged zip.
    """
    try:
        if isinstance(place, zipfile.Path):
            yield io.BytesIO(_unpacked(place))
            return
        check_regular(place)
        with place.open("rb") as file:
            check_bytes(os.fstat(file.fileno()).st_size, LARGEST_FILE, str(place))
            yield file
    except OSError as error:
        raise UserError(f"cannot read {place}: {error.strerror or error}") from error


def check_regular(path: Path) -> None:
    """Check that a path is a regular file. A pipe or a device would be waited for, or never end.

    Raises:
        UserError: not a regular file.
        OSError: missing.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    kind = next((name for test, name in kinds if test(mode)), "a device")
    raise UserError(f"{path} is {kind}; give a file")


def holds_tensors(path: Path) -> bool:
    """Whether a file begins as those with tensors do: zip and torch files, pickles, safetensors."""
    head = first_bytes(path, 9)
    return head.startswith((b"PK\x03\x04", b"\x80")) or head[8:] == b"{"


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a regular file; none where there is no such file, or it cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def _unpacked(place: zipfile.Path) -> bytes:
    check_zip(place.root.infolist(), str(place.root.filename))
    try:
        return cast(bytes, place.read_bytes())
    except (*DAMAGED_ZIP, KeyError) as error:
        raise UserError(f"{place} cannot be unpacked: {error}; download it again") from error


def form_of(file: IO[bytes]) -> str:
    """What a file is by its content: `TORCH`, `TORCH_LEGACY`, `NPY`, `NPZ`, `SAFETENSORS`, `JSON`, `TEXT` or `ZIP`.

    Args:
        file: seekable; left at its start.

    Raises:
        UserError: empty, damaged, or anything else; says what it is, as far as it is known, and how to save it instead.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(4096)
    file.seek(0)
    if not head:
        raise UserError("it is empty")
    if head.startswith(b"PK\x03\x04"):
        return _form_of_zip(file)
    if head.startswith(b"\x93NUMPY"):
        return NPY
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return SAFETENSORS
    if head[:1] == b"\x80":
        if _LEGACY_MAGIC in head[:32]:
            return TORCH_LEGACY
        raise UserError("it is a Python pickle, and reading it could run code; save it with numpy.save or torch.save")
    for magic, what, instead in _REFUSED:
        if head.startswith(magic):
            raise UserError(f"it is {what}; {instead}")
    if head[257:262] == b"ustar" or _is_old_tar(file):
        raise UserError("it is a tar archive; unpack it first")
    return _form_of_text(head)


def _form_of_zip(file: IO[bytes]) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name.lower() for name in archive.namelist()]
    except (*DAMAGED_ZIP, OSError, ValueError) as error:
        raise UserError("it is a damaged zip or torch file; download it again") from error
    finally:
        file.seek(0)
    if any(name.endswith("constants.pkl") for name in names):
        raise UserError("it is a TorchScript archive, which is code; save the network's state_dict() instead")
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return TORCH
    if any(name.startswith("xl/") for name in names):
        raise UserError("it is an Excel file; save the sheet as CSV instead")
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    return ZIP


def _is_old_tar(file: IO[bytes]) -> bool:
    """Whether a file is a tar archive without a magic number; some tools still write these."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            return archive.next() is not None
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError, MemoryError, OSError):
        return False
    finally:
        file.seek(0)


def decoded(content: bytes) -> str:
    """Text in UTF-8, in UTF-16 or UTF-32 with a byte order mark, or in Latin-1."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")  # Only names can have such letters.


def _form_of_text(head: bytes) -> str:
    text = decoded(head)
    if any(letter in _CONTROL for letter in text):
        raise UserError("it is of no known format, or damaged; known are torch, safetensors, .npy, .npz, JSON and CSV")
    first = text.lstrip()[:1]
    if first == "<":
        raise UserError("it is a web page or XML; download the file itself")
    return JSON if first in ("[", "{") else TEXT
