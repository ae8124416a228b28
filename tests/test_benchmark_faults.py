from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest

from benchmarks.faults import _inputs, flips
from biggan_discovery.runs.folder import PREVIOUS, STATE, read_saved


def test_no_flipped_bit_of_directions_is_accepted(tmp_path: Path):
    counts = flips.of_directions(tmp_path / "directions", 40, random.Random(1))
    assert counts == {"refused by name": 40}


def test_a_flipped_bit_of_a_checkpoint_changes_no_result(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.ERROR)
    counts = flips.of_checkpoints(tmp_path / "run", 20, random.Random(1))
    assert counts == {"resumed from the checkpoint before, the same result": 20}
    halfway = read_saved(tmp_path / "run" / "halfway")
    assert halfway is not None
    assert 2 < halfway.step < 8
    assert (tmp_path / "run" / "halfway" / PREVIOUS).read_bytes() != (tmp_path / "run" / "halfway" / STATE).read_bytes()


def test_damage_is_reproducible_and_of_every_kind():
    whole = bytes(range(256)) + b'{"shape": [3, 16]}'
    made = [_inputs.mutated(whole, [b"other"], random.Random(seed)) for seed in range(100)]
    assert made == [_inputs.mutated(whole, [b"other"], random.Random(seed)) for seed in range(100)]
    assert len(set(made)) > 90
