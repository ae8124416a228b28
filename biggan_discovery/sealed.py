"""Safetensors files of this project: tensors and one JSON object, sealed with a checksum over both.

The object is a single entry of the safetensors header, because the library writes several in arbitrary order. It begins
with the checksum: the sha256 of the rest of the object's text and of every tensor with its name, type and shape. The
text is covered letter by letter, so no changed bit is accepted, not even one that leaves its meaning alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.files import HEADER, existing_file, utf8_path
from biggan_discovery.json_text import parse_json

CHECKSUM = "checksum"
_SEALED = re.compile(r'\{"checksum": "([0-9a-f]{64})"(.*)', re.DOTALL)


class DamagedError(UserError):
    """A file that is cut short, changed or not of this project."""


class ForeignError(DamagedError):
    """A safetensors file that others wrote."""


class Contents(NamedTuple):
    """Contents of a file.

    Attributes:
        header: the JSON object without its checksum.
        tensors: all tensors by name, on the CPU.
    """

    header: dict[str, Any]
    tensors: dict[str, Tensor]


def seal(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """The bytes of a file; equal for equal contents.

    Args:
        tensors: by name, any dtype and shape.
        header: JSON-serialisable, with the version of the file's format, at least 2, as "format".

    Raises:
        TypeError, ValueError: If the header is not JSON-serialisable.

    Example:
        >>> len(seal({"A": torch.eye(2)}, {"format": 2})) % 8
        0
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    rest = json.dumps({CHECKSUM: "", **header}).removeprefix(f'{{"{CHECKSUM}": ""')
    return safetensors.torch.save(kept, {HEADER: f'{{"{CHECKSUM}": "{_digest(rest, kept)}"{rest}'})


def unseal(path: Path, *, most_entries: int | None = None) -> Contents:
    """Read a file, without executing code, and check its seal. Only files of version 1 may have none.

    Args:
        path: a safetensors file.
        most_entries: the most entries of a tensor. Defaults to no limit.

    Raises:
        DamagedError: If it is not a safetensors file with our header (`ForeignError` if only the header is missing), or
            the checksum does not match or is missing.
        UserError: If a tensor is larger than the limit, or the file is not a readable regular file.
        OSError: If reading fails.

    Example:
        >>> unseal(Path("found.safetensors")).header["generator"]
        'scenes-64'
    """
    with _opened(existing_file(path)) as file:  # A pipe would be waited for.
        text = (file.metadata() or {}).get(HEADER)
        if text is None:
            raise ForeignError(f"it has no header {HEADER!r}")
        names = sorted(file.keys())
        for name in names:
            shape = file.get_slice(name).get_shape()
            if most_entries is not None and _entries(shape) > most_entries:
                raise UserError(f"{name[:60]!r} has shape {tuple(shape)}; at most {most_entries:,} entries are read")
        tensors = {name: file.get_tensor(name) for name in names}
    match = _SEALED.fullmatch(text)
    if match and match[1] != _digest(match[2], tensors):
        raise DamagedError("its checksum does not match its contents")
    try:
        header = parse_json(text)
    except UserError as error:
        raise DamagedError(f"its header cannot be read: {error}") from error
    if not isinstance(header, dict):
        raise DamagedError("its header is not a JSON object")
    if not match and (CHECKSUM in header or header.get("format", 1) != 1):
        raise DamagedError(f"it has no checksum, which format {ascii(header.get('format'))[:20]} requires")
    return Contents({key: value for key, value in header.items() if key != CHECKSUM}, tensors)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with utf8_path(path) as name, safetensors.safe_open(name, framework="pt") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise DamagedError(f"it is not a whole safetensors file: {error}") from error
    except PermissionError as error:
        raise UserError(f"it cannot be read: {error.strerror or error}") from error
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOMEM):
            raise
        raise DamagedError(f"it is not a whole safetensors file: {error}") from error


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode("utf-8", "surrogatepass"))
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _entries(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
