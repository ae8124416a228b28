from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.errors import UserError
from biggan_discovery.sealed import DamagedError, seal, unseal

TENSORS = {
    "A": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)),
    "scale": torch.tensor(2.0, dtype=torch.float64),
    "none": torch.zeros(0, 4),
    "half": torch.ones(7, dtype=torch.bfloat16),
}
# "1e-05" and "1E-05", "\u00e9" and "\u00E9" mean the same, and one bit makes one of the other.
HEADER = {"format": 2, "name": "höhe é 𝒢", "rate": 1e-05, "list": [None, True, {"deep": "0" * 64}]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "f.safetensors").write_bytes(seal(TENSORS, HEADER))
    return tmp_path / "f.safetensors"


def test_what_is_sealed_is_read_exactly(path: Path):
    header, tensors = unseal(path)
    assert header == HEADER
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert seal(TENSORS, HEADER) == path.read_bytes()


def test_no_flipped_bit_is_accepted(path: Path):
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[position] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(DamagedError):
                unseal(path)


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**32), count=st.integers(2, 40))
def test_no_other_damage_is_accepted(tmp_path_factory: pytest.TempPathFactory, seed: int, count: int):
    whole, chance = seal(TENSORS, HEADER), random.Random(seed)
    changed = bytearray(whole)
    for position in chance.sample(range(len(whole)), count):
        changed[position] = (changed[position] + chance.randrange(1, 256)) % 256
    changed = changed[: chance.randrange(len(whole))] if chance.random() < 0.2 else changed
    path = tmp_path_factory.mktemp("damaged") / "f.safetensors"
    path.write_bytes(changed)
    with pytest.raises(DamagedError):
        unseal(path)


@pytest.mark.parametrize("header", ['{"format": 1}', '{"settings": {}}'])
def test_files_of_the_first_version_have_no_seal(path: Path, header: str):
    path.write_bytes(safetensors.torch.save(TENSORS, {"biggan_discovery": header}))
    assert unseal(path).header == json.loads(header)


@pytest.mark.parametrize(
    "header", ['{"format": 2}', '{"format": "1"}', '{"format": null}', '{"format": 1, "checksum": "0"}']
)
def test_no_other_file_may_lack_it(path: Path, header: str):
    path.write_bytes(safetensors.torch.save(TENSORS, {"biggan_discovery": header}))
    with pytest.raises(DamagedError, match="no checksum"):
        unseal(path)


def test_saving_it_again_with_the_library_keeps_the_seal(path: Path):
    with safetensors.safe_open(path, framework="pt") as file:
        header = file.metadata()
    safetensors.torch.save_file(TENSORS, path, header)
    assert unseal(path).header == HEADER


def test_tensors_are_judged_before_they_are_read(path: Path):
    with pytest.raises(UserError, match=r"'A' has shape \(3, 5\); at most 14 entries are read"):
        unseal(path, most_entries=14)


def test_pipes_are_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "f.safetensors")
    with pytest.raises(UserError, match="a pipe or a device"):
        unseal(tmp_path / "f.safetensors")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("[" * 100_000, "more than 64 levels"),
        ("[" * 65 + "]" * 65, "more than 64 levels"),
        ('{"a":' * 900 + "1" + "}" * 900, "more than 64 levels"),
        ("9" * 5_000, "not valid JSON"),
        ("[]", "not a JSON object"),
        ("", "not valid JSON"),
        (" " * (4 * 2**20 + 1), "at most 4,194,304 are read"),
    ],
    ids=["open", "65", "900", "digits", "list", "nothing", "long"],
)
def test_headers_that_cannot_be(path: Path, header: str, said: str):
    path.write_bytes(safetensors.torch.save(TENSORS, {"biggan_discovery": header}))
    with pytest.raises(DamagedError, match=said):
        unseal(path)
