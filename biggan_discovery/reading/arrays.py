"""Files of NumPy and safetensors: each array with its shape, read only when it is asked for."""

from __future__ import annotations

import math
import warnings
import zipfile
from typing import IO, Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.reading.limits import LARGEST_HEADER, check_shape, check_zip
from biggan_discovery.reading.source import DAMAGED_ZIP

_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_DAMAGED = "it is not a .npy file of plain numbers, or is damaged"


def load_npy(file: IO[bytes], size: int, most: int) -> np.ndarray | None:
    """The array of a .npy file; None where it is not of numbers.

    Args:
        file: at its start.
        size: bytes that there are.
        most: see `check_shape`.

    Raises:
        UserError: damaged, larger than `most`, or fewer bytes than its header claims.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About headers that Python 2 wrote.
            version = np.lib.format.read_magic(file)
            shape, fortran, dtype = _READ_HEADER[version](file)
        if dtype.kind not in "fiubc":
            return None
    except MemoryError as error:  # What Python's parser raises for a header nested too deeply.
        raise UserError(_DAMAGED) from error
    except Exception as error:  # The header is parsed as Python, so broken ones raise almost anything.
        raise UserError(_DAMAGED) from error
    check_shape(shape, most, "its header")
    needed = math.prod(shape) * dtype.itemsize
    if needed > size:
        raise UserError(f"{_DAMAGED}: its header claims {needed:,} bytes of numbers, and the file has {size:,} bytes")
    content = file.read(needed)
    if len(content) < needed:
        raise UserError(f"{_DAMAGED}: its end is missing")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))


def load_npz(file: IO[bytes], most: int) -> dict[str, np.ndarray]:
    """The arrays of a .npz file that are of numbers, by name.

    Raises:
        UserError: damaged, or larger than `most` numbers in all.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            check_zip(members, "it")
            for member in members:
                with archive.open(member) as each:
                    array = load_npy(each, member.file_size, most - sum(map(np.size, arrays.values())))
                if array is not None:
                    arrays[member.filename.removesuffix(".npy")] = array
    except (*DAMAGED_ZIP, OSError) as error:
        raise UserError("it is a damaged .npz file") from error
    return arrays


def load_safetensors(file: IO[bytes]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    Raises:
        UserError: damaged.
    """
    file.seek(0)
    if int.from_bytes(file.read(8), "little") > LARGEST_HEADER:
        raise UserError(f"its header is larger than {LARGEST_HEADER // 2**20} MiB")
    file.seek(0)
    try:
        return safetensors.torch.load(file.read())
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"it is not a safetensors file, or is damaged ({reason})") from error


def to_tensor(value: Any) -> Tensor | None:
    """An array as a tensor that shares its memory; None where torch has no such numbers."""
    if isinstance(value, Tensor):
        # Of the class, as attributes of an instance may hide its methods; leaves subclasses and hooks behind.
        plain = torch.Tensor.detach(value)
        return plain if plain.layout == torch.strided and plain.device.type == "cpu" else None
    array = np.asarray(value)
    if array.dtype.kind not in "fiubc" or array.dtype.itemsize > 16:
        return None
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)  # Extended precision.
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.float64)
    return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
