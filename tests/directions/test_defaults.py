from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import load_generator_for
from biggan_discovery.errors import UserError
from biggan_discovery.generators.catalogue import CHECKPOINTS_VARIABLE
from tests.tiny import save_tiny_biggan


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CHECKPOINTS_VARIABLE, str(tmp_path / "checkpoints"))
    save_tiny_biggan(tmp_path / "checkpoints" / "mine")
    save_tiny_biggan(tmp_path / "checkpoints" / "other", seed=1)
    return tmp_path / "checkpoints"


def moved(folder: Path, sha256: str) -> Directions:
    path = folder / "found.safetensors"
    origin = {"generator": "/home/someone/weights", "generator_sha256": sha256}
    Directions(torch.eye(16), metadata=origin).save(path)
    return Directions.load(path)


def test_a_generator_that_moved_is_offered_by_the_name_that_it_has_here(checkpoints: Path, tmp_path: Path):
    weights = checkpoints / "mine" / "pytorch_model.bin"
    found = moved(tmp_path, hashlib.sha256(weights.read_bytes()).hexdigest())
    with pytest.raises(UserError, match="give --generator mine") as caught:
        load_generator_for(found, device="cpu")
    assert found.source in str(caught.value)
    assert "/home/someone/weights" in str(caught.value)
    assert load_generator_for(found, "mine", device="cpu").name == "mine"


@pytest.mark.parametrize("sha256", ["", "0" * 64])
def test_a_generator_that_is_not_here_is_asked_for(checkpoints: Path, tmp_path: Path, sha256: str):
    shutil.rmtree(checkpoints / "other")
    found = moved(tmp_path, sha256)
    with pytest.raises(UserError, match=r"no generator '/home/someone/weights'.*give --generator for where it is"):
        load_generator_for(found, device="cpu")
