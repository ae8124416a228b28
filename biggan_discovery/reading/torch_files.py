"""Torch files: a first pass over the pickle without executing it, then `torch.load` with weights_only."""

from __future__ import annotations

import codecs
import io
import pickletools
import re
import warnings
import zipfile
from typing import IO, Any, Self

import numpy as np
import torch

from biggan_discovery.errors import UserError
from biggan_discovery.reading.limits import LARGEST_HEADER, check_zip
from biggan_discovery.reading.source import DAMAGED_ZIP, TORCH

_MOST_OPERATIONS = 2**21  # About 100 for each tensor.
_DAMAGED = "it is a damaged torch file; download it again"
_PICKLES = 5  # Of the old format: a magic number, the version, the machine, the content, the keys of the storages.

_TENSORS = re.compile(
    r"torch\._utils\._rebuild_(tensor(_v2|_v3)?|parameter(_with_state)?)|torch\._tensor\._rebuild_from_type_v2"
    r"|torch\.nn\.parameter\.Parameter|torch\.(storage\.)?\w*Storage|torch\.Size|torch\.device|torch\.Tensor"
    r"|torch\.(float|double|half|bfloat|u?int|long|short|bool|complex)\w*"
    r"|collections\.OrderedDict|_codecs\.encode|(builtins|__builtin__)\.(set|complex)"
)
_GROWING = {"hex", "base64", "uu", "quopri", "zlib", "bz2"}  # Codecs that make bytes of bytes.


class _Inert:
    """Stands for an object that is not a tensor, such as arguments or a score; keeps nothing."""

    def __new__(cls, *args: object) -> Self:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


class _DType:
    """Stands for a NumPy dtype."""

    def __init__(self, kind: str, *args: object):
        self.kind = kind
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class PickledArray(_Inert):
    """Stands for a NumPy array, as NumPy's own functions would allocate whatever size a file claims."""

    array: np.ndarray | None = None
    """None where the array is not of real numbers."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        if isinstance(raw, bytes) and re.fullmatch(r"[fiu][1248]", dtype.kind):
            values = np.frombuffer(raw, np.dtype(dtype.kind).newbyteorder(dtype.order))
            native = values.astype(values.dtype.newbyteorder("="))
            self.array = native.reshape(shape, order="F" if fortran else "C")


_STAND_INS = (
    (
        re.compile(
            r"argparse\.Namespace|types\.SimpleNamespace|pathlib\.\w*Path"
            r"|datetime\.(datetime|date|time|timedelta|timezone)|numpy\.(_core|core)\.multiarray\.scalar|numpy\.ndarray"
        ),
        _Inert,
    ),
    (re.compile(r"numpy\.(_core|core)\.multiarray\._reconstruct"), PickledArray),
    (re.compile(r"numpy\.dtype"), _DType),
)
"""Harmless classes for names that torch does not know."""


def load_torch(file: IO[bytes], form: str) -> Any:
    """The content of a torch file: tensors, `PickledArray`, and Python's containers, numbers and text.

    Args:
        file: seekable.
        form: `TORCH` or `TORCH_LEGACY`.

    Raises:
        UserError: damaged, too large, or with objects besides tensors whose reading could run code.
    """
    names = _check(file, form)
    file.seek(0)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_stand_ins(names)):
            warnings.simplefilter("ignore")  # About pickle protocols, and about damaged files before it fails.
            return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # Broken files make torch.load fail in many ways.
        raise UserError(_DAMAGED) from error


def _check(file: IO[bytes], form: str) -> set[str]:
    """The names that the pickles import, all of them harmless."""
    names: set[str] = set()
    for pickled in _pickles(file) if form == TORCH else _first_bytes(file):
        try:
            _collect(pickled, names, 1 if form == TORCH else _PICKLES)
        except UserError:
            raise
        except Exception as error:  # pickletools raises several on broken bytes.
            raise UserError(_DAMAGED) from error
    for name in sorted(names):
        if not (_TENSORS.fullmatch(name) or _stand_ins({name})):
            shown = name[:80] if name.isprintable() else ascii(name)[:80]
            raise UserError(
                f"it contains more than tensors ({shown}), and reading it could run code; save tensors only, such as "
                "state_dict()"
            )
    return names


def _pickles(file: IO[bytes]) -> list[IO[bytes]]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            check_zip(members, "it")
            found = [each for each in members if each.filename.lower().rpartition("/")[2] == "data.pkl"]
            if any(member.file_size > LARGEST_HEADER for member in found):
                raise UserError(f"its description of the tensors is larger than {LARGEST_HEADER // 2**20} MiB")
            return [io.BytesIO(archive.read(member)) for member in found]
    except (*DAMAGED_ZIP, OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(_DAMAGED) from error


def _first_bytes(file: IO[bytes]) -> list[IO[bytes]]:
    file.seek(0)
    return [io.BytesIO(file.read(LARGEST_HEADER))]


def _collect(pickled: IO[bytes], names: set[str], pickles: int) -> None:
    """Add the names that pickles import, without executing any."""
    count, texts = 0, set()
    for _ in range(pickles):
        for operation, argument, _ in pickletools.genops(pickled):
            count += 1
            if count > _MOST_OPERATIONS:
                raise UserError("it describes too many objects for a file of tensors")
            if operation.name == "GLOBAL":
                names.add(str(argument).replace(" ", "."))
            elif isinstance(argument, str) and len(argument) <= 20:
                texts.add(argument)
    if "_codecs.encode" in names and any(_grows(text) for text in texts):
        raise UserError("it contains more than tensors (an encoder); save tensors only, such as state_dict()")


def _grows(text: str) -> bool:
    try:
        return codecs.lookup(text).name in _GROWING
    except (LookupError, ValueError, SyntaxError):
        return False


def _stand_ins(names: set[str]) -> list[Any]:
    return [(stand_in, name) for name in names for known, stand_in in _STAND_INS if known.fullmatch(name)]
