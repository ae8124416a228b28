"""Headers of strangers: every value of every key is either used as it is, or refused in one line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.cli.name import _listing
from biggan_discovery.cli.summary import summary
from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import check_fits, classes_for, layers_for, setting_for
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, load_generator
from tests.tiny import save_tiny_biggan

FOUND = Directions.load("scenes-64")
HEADER = {**FOUND.metadata, "format": 1, "random_strength": 0.01, "author": "A", "recommended_range": [None] * 16}
HEADER["error_angle"] = [10.0] * 16
KEYS = [(key,) for key in HEADER] + [("settings", key) for key in HEADER["settings"]]
VALUES = {
    "null": None,
    "true": True,
    "number": 5,
    "negative": -1.5,
    "nan": float("nan"),
    "infinity": float("inf"),
    "huge": 10**400,
    "large": 1e300,
    "text": "x",
    "empty text": "",
    "control": "a\x1b[31mb\x00c\u202ed",
    "surrogate": "\ud800",
    "long": "x" * 20_000,
    "list": [],
    "object": {},
    "numbers": [float("nan")] * 16,
    "huge numbers": [10**400] * 16,
    "texts": ["\x1b[2J\ud800"] * 16,
    "long texts": ["x" * 20_000] * 16,
    "mixed": [1, "a", None],
    "pairs": {"after": [1, 2], "random": [0, 0]},
    "no pairs": {"after": 1},
    "deep": {"a": {"b": {"c": [[[[[[[[]]]]]]]]}}},
}


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> FrozenGenerator:
    return load_generator(save_tiny_biggan(tmp_path_factory.mktemp("tiny")), device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("headers")


def use(folder: Path, header: Any, generator: FrozenGenerator) -> str:
    """Read a file with a header, and do with it what commands do before they draw; the error, if there is one."""
    path = folder / "f.safetensors"
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(safetensors.torch.save({"A": FOUND.A, "Q": FOUND.Q}, {"biggan_discovery": text}))
    try:
        _use(path, generator)
    except UserError as error:
        return str(error)
    return ""


def _use(path: Path, generator: FrozenGenerator) -> None:
    found = Directions.load(path)
    assert len(_listing(found, None)) >= len(found)
    assert summary(found)
    assert repr(found)
    found.save(path)
    assert Directions.load(path).names == found.names
    check_fits(found, generator)
    classes_for(found, generator)
    layers_for(found, generator)
    for key in ("path_size", "epsilon"):
        setting_for(found, generator, key)


def check(error: str) -> None:
    """One short line with the name of the file."""
    assert not error or "f.safetensors" in error
    assert len(error) < 700
    assert error.isprintable()


@pytest.mark.parametrize("path", KEYS, ids=map(".".join, KEYS))
def test_no_value_of_a_header_is_a_traceback(folder: Path, generator: FrozenGenerator, path: tuple[str, ...]):
    for value in VALUES.values():
        check(use(folder, _changed(path, value), generator))
    check(use(folder, _changed(path, _MISSING), generator))


_MISSING = object()


def _changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The header with another value, or none, for a key."""
    header: dict[str, Any] = copy.deepcopy(HEADER)
    place = header
    for key in path[:-1]:
        place = place[key]
    if value is _MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return header


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from(sorted(HEADER)), st.sampled_from(list(VALUES.values())), min_size=2))
def test_no_header_is_a_traceback(folder: Path, generator: FrozenGenerator, changes: dict[str, Any]):
    check(use(folder, {**HEADER, **changes}, generator))


def test_a_byte_order_mark_is_skipped(folder: Path):
    path = folder / "bom.safetensors"
    text = "\ufeff" + json.dumps(HEADER)
    path.write_bytes(safetensors.torch.save({"A": FOUND.A, "Q": FOUND.Q}, {"biggan_discovery": text}))
    assert Directions.load(path).names == FOUND.names


def test_large_matrices_are_judged_before_they_are_multiplied(folder: Path):
    path = folder / "tall.safetensors"
    tall = torch.zeros(20_000, 16)
    path.write_bytes(safetensors.torch.save({"A": tall, "Q": tall.clone()}, {"biggan_discovery": '{"format": 1}'}))
    with pytest.raises(UserError, match="20000 rows of Q cannot be orthonormal in 16 dimensions"):
        Directions.load(path)
