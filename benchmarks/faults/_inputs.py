"""Inputs that are broken at random or on purpose, from whole ones."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

CANARY = "code-was-run"
"""The folder that every pickle with code makes where it is run."""
_HUGE = (0, -1, 255, 2**31 - 1, 2**31, 2**63 - 1, 2**64, 10**12, 10**400)


class Code:
    """Unpickling this runs code."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (CANARY,)


def mutated(whole: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Content with some random damage."""
    content = bytearray(whole)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(_MUTATORS)(content, chance)
    if chance.random() < 0.1:  # The end of another kind of file.
        other = chance.choice(others)
        content = content[: chance.randrange(len(content) + 1)] + other[chance.randrange(len(other) + 1) :]
    return bytes(content)


def _flipped(content: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 2, 8, 64))):
        if content:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def _head(content: bytearray, chance: random.Random) -> bytearray:
    """Damage where formats keep their sizes."""
    for _ in range(chance.choice((1, 2, 4))):
        if content:
            content[chance.randrange(min(len(content), 256))] = chance.randrange(256)
    return content


def _cut(content: bytearray, chance: random.Random) -> bytearray:
    return content[: chance.randrange(len(content) + 1)]


def _removed(content: bytearray, chance: random.Random) -> bytearray:
    first = chance.randrange(len(content) + 1)
    return content[:first] + content[first + chance.choice((1, 8, 100, 4096)) :]


def _inserted(content: bytearray, chance: random.Random) -> bytearray:
    first = chance.randrange(len(content) + 1)
    return content[:first] + chance.choice((chance.randbytes(chance.choice((1, 8, 500))), bytes(64))) + content[first:]


def _numbers(content: bytearray, chance: random.Random) -> bytearray:
    """Another number where one is written in digits, as in JSON and headers."""
    found = list(re.finditer(rb"\d+", content[:20_000]))
    if not found:
        return content
    match = chance.choice(found)
    return content[: match.start()] + str(chance.choice(_HUGE)).encode() + content[match.end() :]


_MUTATORS = (_flipped, _flipped, _head, _cut, _removed, _inserted, _numbers, _numbers)


def torch_files() -> dict[str, bytes]:
    """Torch files made to harm, by what they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Some of these tensors are deprecated.
        return _torch_files()


def _torch_files() -> dict[str, bytes]:
    deep: Any = torch.eye(2)
    for _ in range(200):
        deep = {"a": deep}
    endless: list[Any] = []
    endless.append(endless)
    values: dict[str, Any] = {
        "code": {"a": torch.eye(3, 16), "b": Code()},
        "expanded": torch.zeros(1).expand(2**27, 16),
        "expanded in a dict": {"linear.weight": torch.zeros(1, 1).expand(2**20, 2**12)},
        "deep": deep,
        "endless": endless,
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "sparse": torch.sparse_coo_tensor(torch.zeros(2, 1), torch.ones(1), (2**30, 2**30)),
        "complex": torch.eye(3, 16) * 1j,
        "bool": torch.ones(3, 16, dtype=torch.bool),
        "float8": torch.eye(3, 16).to(torch.float8_e4m3fn),
        "half": torch.full((3, 16), 6e4, dtype=torch.float16) * 9,
        "quantized": torch.quantize_per_tensor(torch.eye(3, 16), 0.1, 0, torch.qint8),
        "nothing": {},
        "none": None,
        "text": "x" * 10**6,
        "names": {f"\x1b[31m{index}": torch.eye(3, 16) for index in range(300)},
        "keys": dict.fromkeys(range(10**5), 1.0),
        "mixed keys": {1: torch.eye(3, 16), (2, "a"): torch.eye(3, 16), None: 3},
        "shared": {str(index): torch.eye(3, 16).expand(10**6, 3, 16) for index in range(3)},
        "one number": torch.tensor(3.0),
        "empty": torch.zeros(0, 16),
        "wide": torch.zeros(1, 2**22),
    }
    files = {name: _torch_file(value) for name, value in values.items()}
    files["code, old format"] = _torch_file(values["code"], _use_new_zipfile_serialization=False)
    files["bare pickle"] = pickle.dumps(values["code"])
    files["pickle bomb"] = b"\x80\x02]" + b"(l2" * 20 + b"." + b"h\x00" * 99
    return files


def _torch_file(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def numpy_files() -> dict[str, bytes]:
    """NumPy files made to harm, by what they are."""
    descriptions = {
        "huge": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 16), }",
        "negative": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 16), }",
        "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "no kind": "{'descr': '<z9', 'fortran_order': False, 'shape': (3, 16), }",
        "fields": "{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (3,), }",
        "a tuple": "('descr', '<f4')",
        "code": "__import__('os').mkdir('" + CANARY + "')",
        "deep": "(" * 5000 + ")" * 5000,
        "sizes": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "2, " * 64 + "), }",
        "letters": "{'descr': '<U1000000', 'fortran_order': False, 'shape': (3, 16), }",
        "digits": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ", 1), }",
    }
    files = {name: _npy(text) for name, text in descriptions.items()}
    files["code in objects"] = _saved(np.array([[Code()]]), allow_pickle=True)
    files["long header"] = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{"
    files["complex"] = _saved(np.eye(3, 16) * 1j)
    files["large numbers"] = _saved(np.full((3, 16), 1e300))
    files["no rows"] = _saved(np.zeros((0, 16)))
    files["one number"] = _saved(np.float64(1))
    files["many rows"] = _saved(np.zeros((20_000, 16), np.float32))
    return files


def _npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", min(len(header), 2**16 - 1)) + header.encode() + bytes(192)


def _saved(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def zip_files() -> dict[str, bytes]:
    """Zips made to harm, by what they are."""
    whole = _saved(np.eye(3, 16))
    large = _npy("{'descr': '|u1', 'fortran_order': False, 'shape': (3000000000, 1), }") + bytes(3 * 10**8)
    return {
        "zeros": _zip({f"{index}.npy": large for index in range(10)}),
        "members": _zip({f"{index}.npy": b"" for index in range(20_000)}),
        "paths": _zip({"../../outside.npy": whole, "/tmp/outside.npy": whole}),
        "weights": _zip({"G_ema.pth": _torch_file({"a": Code()}), "config.json": b"[" * 10**5}),
        "names": _zip({"\x1b[31m.npy": whole, "directions.npy": whole}),
        "nothing": _zip({}),
    }


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def json_files(whole: Any) -> dict[str, bytes]:
    """JSON made to harm: values by themselves, and in place of each value of a whole object."""
    values: dict[str, Any] = {
        "null": None, "number": 5, "negative": -3, "nan": float("nan"), "huge": 10**400, "large": 10**9,
        "float": 1e308, "true": True, "list": [], "object": {}, "numbers": [1] * 10**5, "text": "x" * 10**6,
        "control": "\x1b[31m\0\u202e", "surrogate": "\ud800", "texts": ["\x1b[2J"] * 5, "layers": [[0, 1, 2]] * 10**5,
    }  # fmt: skip
    files = {name: json.dumps(value).encode() for name, value in values.items()}
    if isinstance(whole, dict):
        for key in whole:
            files |= {f"{key}: {name}": json.dumps({**whole, key: value}).encode() for name, value in values.items()}
            files[f"no {key}"] = json.dumps({other: whole[other] for other in whole if other != key}).encode()
    text = json.dumps(whole)
    files |= {f"in {code}": text.encode(code) for code in ("utf-8-sig", "utf-16", "utf-32", "utf-16-be")}
    deep = {"lists": b"[" * 10**5, "objects": b'{"a":' * 10**5, "500": b"[" * 500 + b"]" * 500}
    return files | deep | {"digits": b"9" * 5000, "bytes": b"\xff\xfe\0", "nothing": b"", "long": b"[" + b"0," * 10**7}


def csv_files() -> dict[str, bytes]:
    """Tables made to harm, by what they are."""
    return {
        "wide": b"0," * 2_000_000 + b"0\n",
        "tall": b"0\n" * 2_000_000,
        "ragged": b"1,2\n3\n",
        "words": b"a,b\nc,d\n",
        "control": b"1,\x1b[31m\n",
        "zeros": b"\0" * 10**5,
        "overflow": b"1e999,2\n3,4\n",
        "digits": b"9" * 10**5 + b",1\n2,3\n",
        "nan": b"nan,1\n2,3\n",
        "quotes": b'"1","2\n3,4\n',
        "numerals": "١,٢\n٣,٤\n".encode(),
        "bytes": b"\xff\xfe1,2",
        "returns": b"1,2\r3,4\r",
        "nothing": b"\n\n",
    }


def safetensors_files(header: dict[str, Any]) -> dict[str, bytes]:
    """Safetensors files made to harm; those with a header of ours have one of format 1, without a checksum."""
    matrix = torch.eye(3, 16)

    def ours(text: bytes | str, **tensors: torch.Tensor) -> bytes:
        kept = {"A": matrix, "Q": matrix.clone(), **tensors}
        text = text if isinstance(text, str) else text.decode("utf-8", "replace")
        return safetensors.torch.save(kept, {"biggan_discovery": text})

    files = {f"header, {name}": ours(text) for name, text in json_files({**header, "format": 1}).items()}
    text = json.dumps({**header, "format": 1, "names": [""] * 3, "notes": [""] * 3})
    tall = torch.zeros(20_000, 16)
    files |= {
        "many rows": ours(text, A=tall, Q=tall.clone()),
        "no rows": ours(text, A=tall[:0], Q=tall[:0].clone()),
        "nan": ours(text, A=matrix * float("nan")),
        "half": ours(text, A=matrix.half(), Q=matrix.half()),
        "integers": ours(text, A=matrix.long(), Q=matrix.long()),
        "names": ours(text, **{"\x1b[31m\n": matrix.clone()}),
        "many tensors": ours(text, **{str(index): torch.zeros(1) for index in range(20_000)}),
        "long header": struct.pack("<Q", 2**63) + b"{",
        "empty header": struct.pack("<Q", 2) + b"{}",
        "deep header": struct.pack("<Q", 10**5) + b"[" * 10**5,
        "huge shape": _raw({"A": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}}, bytes(8)),
        "wrong size": _raw({"A": {"dtype": "F32", "shape": [3, 16], "data_offsets": [0, 8]}}, bytes(8)),
    }
    return files


def _raw(header: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def special(path: Path, chance: random.Random) -> None:
    """Make something at a path that is no regular file with content."""
    kind = chance.randrange(5)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to(path.name)
    elif kind == 3:
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to("/nowhere")
