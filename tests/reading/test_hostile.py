"""Files that are damaged or made to harm: every reader succeeds or refuses in one line, and nothing else happens."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biggan_discovery import load_generator
from biggan_discovery.directions import Directions, import_matrix
from biggan_discovery.errors import UserError
from biggan_discovery.generators.factor_predictor import load_factor_predictor
from biggan_discovery.rendering.latent_files import load_samples
from tests.brock_tiny import tiny_state
from tests.pickled import Call
from tests.tiny import save_tiny_biggan

SEEDS = int(os.environ.get("FUZZ_EXAMPLES", "250"))
"""Mutations of each test run; a longer campaign sets the variable."""


def _torch(value: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


ARRAY = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
MATRICES = {
    "npy": _npy(ARRAY),
    "npz": _npz(z=ARRAY, y=np.arange(3)),
    "pt": _torch({"state_dict": {"z": torch.from_numpy(ARRAY), "a": ARRAY, "s": np.float64(1)}, "epoch": 3}),
    "old pt": _torch(torch.from_numpy(ARRAY), _use_new_zipfile_serialization=False),
    "safetensors": safetensors.torch.save({"z": torch.from_numpy(ARRAY)}),
    "csv": b",a,b\nx,1.5,2\ny,3,4e-3\n",
    "semicolon": b"1,5;2,5\n3,5;4,5\n",
    "json": json.dumps({"z": ARRAY.tolist()}).encode(),
}
_STATE = tiny_state()
WEIGHTS = {
    "pth": _torch(_STATE),
    "old pth": _torch({"g_ema": _STATE}, _use_new_zipfile_serialization=False),
    "safetensors": safetensors.torch.save({key: value.contiguous() for key, value in _STATE.items()}),
    "zip": _zip(**{"138k/G_ema.pth": _torch(_STATE), "138k/config.json": b'{"BN_eps": 1e-5}'}),
}


def _mutated(content: bytes, chance: random.Random) -> bytes:
    """A copy with a few bytes changed, removed, repeated or inserted; sizes in headers are favoured."""
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        # Headers are at the beginning and, of zips, at the end.
        near = chance.choice((64, 512, len(found)))
        position = chance.randrange(max(1, min(near, len(found))))
        position = len(found) - 1 - position if chance.random() < 0.3 else position
        way = chance.randrange(7)
        if way == 0 and found:
            found[position] ^= 1 << chance.randrange(8)
        elif way == 1 and found:
            found[position] = chance.choice(b"\x00\xff\x80([{\"'.9eu\n")
        elif way == 2:
            del found[position : position + chance.choice((1, 4, 100, len(found)))]
        elif way == 3:
            found[position:position] = chance.randbytes(chance.choice((1, 4, 8)))
        elif way == 4:
            found[position : position + 4] = struct.pack("<I", chance.choice((0, 2**31 - 1, 2**32 - 1)))
        elif way == 5:
            found[position : position + 8] = struct.pack("<Q", chance.choice((2**40, 2**63, 2**64 - 1)))
        else:
            found[position:position] = found[position : position + chance.choice((1, 16, 1000))]
    return bytes(found)


def _only_user_errors(read: Callable[[], object]) -> None:
    said = ""
    try:
        read()
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 2000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@given(seed=st.integers(0, 2**63), name=st.sampled_from(sorted(MATRICES)))
@settings(max_examples=SEEDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_matrices_and_latents(folder: Path, seed: int, name: str) -> None:
    path = folder / "matrix"
    path.write_bytes(_mutated(MATRICES[name], random.Random(seed)))
    _only_user_errors(lambda: import_matrix(path))
    _only_user_errors(lambda: load_samples(path, 16, 9))


@given(seed=st.integers(0, 2**63), name=st.sampled_from(sorted(WEIGHTS)))
@settings(max_examples=SEEDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_weights(folder: Path, seed: int, name: str) -> None:
    path = folder / "weights.pth"
    path.write_bytes(_mutated(WEIGHTS[name], random.Random(seed)))
    _only_user_errors(lambda: load_generator(path, device="cpu"))


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tiny_biggan(tmp_path_factory.mktemp("deep"))
    (folder / "discovery.json").write_text('{"steps": 100, "path_size": 3.0}')
    rows = safetensors.torch.save({"directions": torch.eye(2, 16)}, {"names": '["a", "b"]'})
    (folder / "directions.safetensors").write_bytes(rows)
    return folder


@given(
    seed=st.integers(0, 2**63),
    name=st.sampled_from(
        ["config.json", "classes.json", "discovery.json", "directions.safetensors", "pytorch_model.bin"]
    ),
)
@settings(max_examples=SEEDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_files_of_a_generator(deep: Path, seed: int, name: str) -> None:
    content = (deep / name).read_bytes()
    try:
        (deep / name).write_bytes(_mutated(content, random.Random(seed)))
        _only_user_errors(lambda: load_generator(deep, device="cpu"))
    finally:
        (deep / name).write_bytes(content)


@given(seed=st.integers(0, 2**63))
@settings(max_examples=SEEDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_directions_and_predictors(folder: Path, seed: int) -> None:
    whole = folder / "whole.safetensors"
    if not whole.exists():
        Directions(torch.eye(3, 16)).save(whole)
    path = folder / "damaged.safetensors"
    path.write_bytes(_mutated(whole.read_bytes(), random.Random(seed)))
    _only_user_errors(lambda: Directions.load(path))
    _only_user_errors(lambda: load_factor_predictor(path, 8))


# Made to harm


def _hidden(**attributes: Any) -> torch.nn.Parameter:
    weight = torch.nn.Parameter(torch.eye(3))
    for name, value in attributes.items():
        setattr(weight, name, value)
    return weight


def _laughs() -> list[Any]:
    value: list[Any] = [torch.zeros(1)]
    for _ in range(30):
        value = [value, value]
    return value


def _deep_list(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def _with_pickle(opcodes: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(_torch([]))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, opcodes if name.endswith("data.pkl") else content)
    return buffer.getvalue()


def _claims(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode()
    header += b" " * (118 - len(header) - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def _zeros(size: int, name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        if name.endswith(".npy"):
            member.write(_claims(f"({size // 64}, 16)"))
        for _ in range(size // 2**20):
            member.write(bytes(2**20))
    return buffer.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "expanded tensor": lambda: _torch(torch.ones(1).expand(100_000, 20_000)),
    "expanded tensors in a list": lambda: _torch([torch.ones(1).expand(2**24)] * 200),
    "expanded weights": lambda: _torch({key: torch.ones(1).expand(2**14, 2**14) for key in _STATE}),
    "sparse": lambda: _torch(torch.sparse_coo_tensor(torch.zeros(2, 0), torch.zeros(0), (10**6, 10**6))),
    "nested": lambda: _torch(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
    "nested jagged": lambda: _torch(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)),
    "quantized": lambda: _torch(torch.quantize_per_tensor(torch.ones(2, 16), 0.1, 0, torch.qint8)),
    "bytearray": lambda: _with_pickle(b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x02\x85R."),
    "encoder": lambda: _with_pickle(
        b"\x80\x02c_codecs\nencode\nq\x00X\x01\x00\x00\x00aX\x06\x00\x00\x00latin1\x86R"
        + b"h\x00q\x01X\x03\x00\x00\x00hex\x86R" * 2
        + b"."
    ),
    "string that claims 4 GiB": lambda: _with_pickle(b"\x80\x02X\xff\xff\xff\xffa."),
    "many operations": lambda: _with_pickle(b"\x80\x02" + b"N0" * 2_000_000 + b"N."),
    "no end": lambda: _with_pickle(b"\x80\x02" + b"(" * 100_000),
    "billion laughs": lambda: _torch(_laughs()),
    "deep list": lambda: _torch(_deep_list(200)),
    "attributes that hide methods": lambda: _torch({"A": _hidden(detach=1, isfinite=2, shape_of=3)}),
    "code": lambda: _torch({"A": torch.eye(3), "code": Call(os.system, "touch ran")}),
    "code in an old file": lambda: _torch(Call(os.system, "touch ran"), _use_new_zipfile_serialization=False),
    "code in a pickle": lambda: pickle.dumps(Call(os.system, "touch ran")),
    "code in an array": lambda: _npy(np.array([Call(os.system, "touch ran")], dtype=object)),
    "array that claims": lambda: _claims("(1000000000, 16)"),
    "array of a huge integer": lambda: _claims(f"({9**40}, 16)"),
    "array of brackets": lambda: _claims("((((((((((((((((((((((("),
    "array in an npz that claims": lambda: _zip(**{"z.npy": _claims("(1000000000, 16)")}),
    "npz of zeros": lambda: _zeros(900 * 2**20, "z.npy"),
    "zip of zeros": lambda: _zeros(900 * 2**20, "138k/G_ema.pth"),
    "zip with a name twice": lambda: _zip(**{"a/data.pkl": b"", "A/DATA.PKL": b""}),
    "safetensors header of gigabytes": lambda: struct.pack("<Q", 2**40) + b"{" * 100,
    "safetensors that claims": lambda: safetensors.torch.save({"z": torch.eye(2)}).replace(b"[2,2]", b"[9,9]"),
    "safetensors of many": lambda: (lambda header: struct.pack("<Q", len(header)) + header)(
        json.dumps({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}).encode()
    ),
    "deep JSON": lambda: b"[" * 100_000 + b"]" * 100_000,
    "long JSON": lambda: b"[" + b"[]," * 5_000_000 + b"[]]",
    "JSON of one long number": lambda: b"[" + b"9" * 5_000_000 + b"]",
    "long line": lambda: b"1" * 5_000_000,
    "many cells": lambda: b"1," * 8_000_000 + b"1\n",
    "many lines": lambda: b"1\n" * 8_000_000,
    "letters": lambda: b"a" * 5_000_000 + b"\n1,2",
    "controls": lambda: b"\x1b]0;title\x07,\x1b[2J\n1,2\n",
}
# Run apart, as a peak of memory cannot be taken back.
_MEASURED = """
import resource, sys, time
from pathlib import Path
from biggan_discovery import load_generator
from biggan_discovery.directions import import_matrix
from biggan_discovery.errors import UserError
for path in sys.argv[1:]:
    for read in (import_matrix, load_generator):
        begin = time.perf_counter()
        try:
            read(path)
        except UserError as error:
            assert "\\n" not in str(error) and len(str(error)) < 2000, str(error)[:3000]
        took = time.perf_counter() - begin
        assert took < 20, f"{path} took {took:.1f} s"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{Path(path).name}: {took:.2f} s, {peak:.2f} GiB")
        assert peak < 2, f"{path} took {peak:.2f} GiB"
"""


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch warns of what is made here.
@pytest.mark.parametrize("group", range(2))
def test_hostile_files_cost_little(tmp_path: Path, group: int) -> None:
    paths = []
    for name in sorted(HOSTILE)[group::2]:
        (tmp_path / f"{name}.pth").write_bytes(HOSTILE[name]())
        paths.append(tmp_path / f"{name}.pth")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _MEASURED, *map(str, paths)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert not (tmp_path / "ran").exists()


def test_what_reads_are_told_apart_from_hostile_ones(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(HOSTILE["attributes that hide methods"]())
    assert import_matrix(tmp_path / "m.pt").Q.shape == (3, 3)


# Not a regular file


@contextlib.contextmanager
def _socket(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        yield


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # Paths of sockets are short.
    path = Path("x.pth")
    with contextlib.ExitStack() as stack:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            stack.enter_context(_socket(path))
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        for read in (import_matrix, Directions.load, lambda path: load_samples(path, 16)):
            with pytest.raises(UserError, match=r"x\.pth"):
                read(path)
        with pytest.raises(UserError, match=r"x\.pth"):
            load_generator(path, device="cpu")


@pytest.mark.parametrize(
    "name", ["config.json", "classes.json", "discovery.json", "directions.safetensors", "pytorch_model.bin"]
)
@pytest.mark.parametrize("target", ["pipe", "/dev/zero"])
def test_files_of_a_generator_that_are_no_files(tmp_path: Path, name: str, target: str) -> None:
    folder = save_tiny_biggan(tmp_path / "deep")
    (folder / name).unlink(missing_ok=True)
    if target == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to(target)
    with pytest.raises(UserError, match=f"{name}|is not a generator"):
        load_generator(folder, device="cpu")


def test_json_with_a_byte_order_mark(tmp_path: Path) -> None:
    folder = save_tiny_biggan(tmp_path / "deep")
    for name in ("config.json", "classes.json"):
        content = (folder / name).read_text()
        for encoding in ("utf-8-sig", "utf-16"):
            (folder / name).write_text(content, encoding=encoding)
            assert load_generator(folder, device="cpu").class_names[0] == "cube"


def test_many_layers(tmp_path: Path) -> None:
    folder = save_tiny_biggan(tmp_path / "deep")
    config = json.loads((folder / "config.json").read_text())
    for layers, said in (
        ([[False, 16, 16]] * 100_000, "has 100,000 blocks; at most 64"),
        ([[True, 16, 16]] * 20 + config["layers"], "more than 10 blocks upsample"),
    ):
        (folder / "config.json").write_text(json.dumps({**config, "layers": layers}))
        with pytest.raises(UserError, match=said):
            load_generator(folder, device="cpu")
    (folder / "config.json").write_text(json.dumps({**config, "channel_width": 2**20}))
    with pytest.raises(UserError, match="describes a network of"):
        load_generator(folder, device="cpu")
