"""Files of BigGAN-deep that are damaged, of something else, or hostile."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from biggan_discovery.errors import UserError
from biggan_discovery.generators.catalogue import load_generator
from tests.pickled import Call
from tests.tiny import TINY


@pytest.fixture
def copied(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny generator's folder, to be damaged by a test."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copied"))


def _refused(folder: Path, *parts: str) -> None:
    """Check that loading fails with one line that contains all the parts."""
    with pytest.raises(UserError) as caught:
        load_generator(folder, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def _change_state(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    change(state)
    torch.save(state, folder / "pytorch_model.bin")


GAMMA, BIAS = "generator.layers.2.gamma", "generator.gen_z.bias"


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda state: state.pop(GAMMA), ["missing", GAMMA]),
        (lambda state: state.clear(), ["embeddings.weight is missing", "holds nothing"]),
        (lambda state: state.update(extra=torch.zeros(1)), ["extra", "do not belong"]),
        (lambda state: state.update({7: torch.zeros(1)}), ["7", "do not belong"]),
        (lambda state: state.update({GAMMA: torch.zeros(2)}), [GAMMA, "(2,) instead of (1,)"]),
        (lambda state: state.update({GAMMA: torch.zeros(())}), [GAMMA, "() instead of (1,)"]),
        (lambda state: state.update({GAMMA: 0.5}), [GAMMA, "missing"]),
        (lambda state: state.update({GAMMA: torch.zeros(1, dtype=torch.int64)}), [GAMMA, "floating"]),
        (lambda state: state[BIAS].fill_(float("nan")), [BIAS, "not finite"]),
        (lambda state: state[BIAS][3:4].fill_(float("inf")), [BIAS, "not finite"]),
    ],
)
def test_bad_tensors(copied: Path, change: Callable[[dict[str, Any]], object], parts: list[str]) -> None:
    _change_state(copied, change)
    _refused(copied, str(copied / "pytorch_model.bin"), *parts)


def test_missing_weights(copied: Path) -> None:
    (copied / "pytorch_model.bin").unlink()
    _refused(copied, "pytorch_model.bin", "No such file")


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.999])
@pytest.mark.parametrize("new_format", [True, False])
def test_truncated_weights(copied: Path, kept: float, new_format: bool) -> None:
    path = copied / "pytorch_model.bin"
    torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=new_format)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(len(content) * kept)])
    _refused(copied, str(path), "damaged")


@pytest.mark.parametrize("content", [b"hello", b"<html></html>", b"\x80\x04.", b"PK\x03\x04", os.urandom(2000)])
def test_weights_that_are_not_a_torch_file(copied: Path, content: bytes) -> None:
    (copied / "pytorch_model.bin").write_bytes(content)
    _refused(copied, "pytorch_model.bin")


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], 3.5])
def test_weights_that_are_not_a_state_dict(copied: Path, content: object) -> None:
    torch.save(content, copied / "pytorch_model.bin")
    _refused(copied, "pytorch_model.bin", "state dict")


@pytest.mark.parametrize("new_format", [True, False])
def test_code_is_refused_and_not_run(copied: Path, tmp_path: Path, new_format: bool) -> None:
    proof = tmp_path / "ran"
    torch.save(
        {"a": Call(os.mkdir, str(proof))}, copied / "pytorch_model.bin", _use_new_zipfile_serialization=new_format
    )
    _refused(copied, "pytorch_model.bin", "could run code")
    assert not proof.exists()


def test_a_whole_module_is_refused(copied: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), copied / "pytorch_model.bin")
    _refused(copied, "pytorch_model.bin", "could run code")


@pytest.mark.parametrize("content", ["", "{", "not json", "[" * 100_000, '"text"', "[]", "3", "null", "\x00"])
def test_bad_json(copied: Path, content: str) -> None:
    (copied / "config.json").write_text(content)
    _refused(copied, "config.json")


def test_config_that_is_not_text(copied: Path) -> None:
    (copied / "config.json").write_bytes(b"\xff\xfe\x00\x81")
    _refused(copied, "config.json", "JSON")


@pytest.mark.parametrize(
    "key", ["z_dim", "channel_width", "num_classes", "layers", "attention_layer_position", "eps", "n_stats"]
)
@pytest.mark.parametrize("value", [None, "8", -5, 1.5, [], True, float("nan"), 10**30])
def test_config_values_of_wrong_type_or_range(copied: Path, key: str, value: object) -> None:
    config = {**TINY, key: value}
    if value is None:
        del config[key]
    (copied / "config.json").write_text(json.dumps(config))
    _refused(copied, "config.json", f"'{key}'")


@pytest.mark.parametrize(
    ("layers", "part"),
    [
        ([[True, 8, 4]], "layer 0 takes 8"),
        ([[True, 16, 4]], "keep or halve"),
        ([[True, 16, 8], [True, 4, 2]], "layer 1 takes 4"),
        ([[True, 16, 8]], "should give 1"),
        ([[True, 16]], "layer 0 is [True, 16]"),
        ([[1, 16, 16]], "layer 0 is [1, 16, 16]"),
        ([[True, 16, "8"]], "should look like"),
        ([True, 16, 8], "should look like"),
    ],
)
def test_blocks_that_do_not_fit(copied: Path, layers: list[Any], part: str) -> None:
    (copied / "config.json").write_text(json.dumps({**TINY, "layers": layers}))
    _refused(copied, "config.json", part)


def test_channels_too_few(copied: Path) -> None:
    layers = [*TINY["layers"], [False, 1, 1]]
    for changed, part in (
        ({"channel_width": 3, "layers": layers}, "layer 4 needs at least 4 channels"),
        ({"channel_width": 4, "layers": layers, "attention_layer_position": 4}, "attention before layer 4"),
    ):
        (copied / "config.json").write_text(json.dumps({**TINY, **changed}))
        _refused(copied, "config.json", part)


def test_config_of_another_network(copied: Path) -> None:
    (copied / "config.json").write_text(json.dumps({**TINY, "channel_width": 16}))
    _refused(copied, "does not match", "instead of")
    (copied / "config.json").write_text(json.dumps({**TINY, "attention_layer_position": 1}))
    _refused(copied, "generator.layers")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{}", "list of class names"),
        ('["a"]', "5 classes"),
        ('["a", "b", "c", "d", ""]', "empty"),
        ("[1,2,3,4,5]", "string"),
    ],
)
def test_bad_class_names(copied: Path, content: str, part: str) -> None:
    (copied / "classes.json").write_text(content)
    _refused(copied, "classes.json", part)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[]", "list"),
        ('{"step": 3}', "'steps'"),
        ('{"steps": 0}', "'steps' is 0"),
        ('{"steps": 2.5}', "'steps' is 2.5"),
        ('{"probes": 1}', "'probes' is 1"),
        ('{"lr": 0}', "'lr' is 0"),
        ('{"lr": "fast"}', "'lr' is 'fast'"),
        ('{"epsilon": NaN}', "'epsilon' is nan"),
        ('{"path_size": true}', "'path_size' is True"),
    ],
)
def test_bad_settings(copied: Path, content: str, part: str) -> None:
    (copied / "discovery.json").write_text(content)
    _refused(copied, "discovery.json", part)


@pytest.mark.parametrize(
    ("tensors", "names", "part"),
    [
        ({"directions": torch.zeros(2, 5)}, '["a", "b"]', "(n, 16)"),
        ({"directions": torch.zeros(16)}, "[]", "(n, 16)"),
        ({"directions": torch.zeros(2, 16, dtype=torch.int64)}, '["a", "b"]', "floats"),
        ({"directions": torch.full((2, 16), float("nan"))}, '["a", "b"]', "not finite"),
        ({"directions": torch.zeros(2, 16)}, '["a"]', "list of 2"),
        ({"directions": torch.zeros(2, 16)}, "a, b", "cannot read"),
        ({"directions": torch.zeros(2, 16)}, "[" * 100_000, "cannot read"),
        ({"directions": torch.zeros(2, 16)}, "[" * 500 + "]" * 500, "64 levels"),
        ({"directions": torch.zeros(2, 16)}, None, "list of 2"),
        ({"rows": torch.zeros(2, 16)}, '["a", "b"]', "cannot read"),
    ],
)
def test_bad_true_directions(copied: Path, tensors: dict[str, torch.Tensor], names: str | None, part: str) -> None:
    save_file(tensors, copied / "directions.safetensors", metadata=None if names is None else {"names": names})
    _refused(copied, "directions.safetensors", part)


def test_a_pipe_in_place_of_true_directions_is_not_waited_for(copied: Path) -> None:
    os.mkfifo(copied / "directions.safetensors")
    _refused(copied, "directions.safetensors", "a pipe")


def test_damaged_true_directions(copied: Path) -> None:
    (copied / "directions.safetensors").write_bytes(b"junk")
    _refused(copied, "directions.safetensors", "cannot read")
