"""Weights under the roofs that people save them under: all give the same network."""

from __future__ import annotations

import argparse
import io
import pathlib
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from biggan_discovery import load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.generators.biggan_deep_files import MARKS as DEEP_MARKS
from biggan_discovery.generators.brock_files import MARKS
from biggan_discovery.generators.weights import read_weights
from tests.brock_tiny import inputs, tiny_state
from tests.tiny import TINY as TINY_DEEP

CASES = Path(__file__).parents[3] / "shared" / "cases"
STATE = tiny_state()
BESIDE: dict[str, Any] = {
    "epoch": 3,
    "loss": np.float64(1.5),
    "best": np.float32(0.25),
    "args": argparse.Namespace(lr=1e-4, out=pathlib.PurePosixPath("runs")),
    "step": torch.tensor(7),
    "history": [0.5, 0.25],
    "means": np.zeros((2, 3)),
    "D": {"linear.weight": torch.zeros(1, 4), "blocks.0.0.conv1.weight": torch.zeros(2, 2, 3, 3)},
    "optim": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "betas": (0.0, 0.999)}]},
}


def _same(path: Path) -> None:
    z, y = inputs(2)
    expected = _reference(path.parent)
    assert torch.equal(load_generator(path, device="cpu")(z.float(), y), expected(z.float(), y))


def _reference(folder: Path) -> nn.Module:
    torch.save(STATE, folder / "plain-reference.pth")
    return load_generator(folder / "plain-reference.pth", device="cpu")


@given(
    prefix=st.lists(
        st.sampled_from(["module.", "_orig_mod.", "G.", "netG.", "generator.", "model.", "ema."]), max_size=3
    ),
    roofs=st.lists(st.sampled_from(["state_dict", "g_ema", "ema", "generator", "model", "G", "net", "0"]), max_size=3),
    beside=st.sets(st.sampled_from(sorted(BESIDE))),
    ordered=st.booleans(),
    parameters=st.booleans(),
    new_format=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_tensors_are_found_under_any_roof(
    tmp_path_factory: pytest.TempPathFactory,
    prefix: list[str],
    roofs: list[str],
    beside: set[str],
    ordered: bool,
    parameters: bool,
    new_format: bool,
) -> None:
    tree: Any = {"".join(prefix) + key: nn.Parameter(value) if parameters else value for key, value in STATE.items()}
    tree = OrderedDict(tree) if ordered else tree
    if not roofs:
        beside -= {"means"}  # Beside the tensors themselves, only what cannot be one of the network is left out.
    for roof in roofs:
        tree = {roof: tree}
    tree |= {key: BESIDE[key] for key in beside}
    path = tmp_path_factory.mktemp("roofs") / "weights"
    torch.save(tree, path, _use_new_zipfile_serialization=new_format)
    state, _ = read_weights(path, MARKS)
    assert {key: value for key, value in state.items() if value.ndim or key in STATE}.keys() == STATE.keys()
    assert all(torch.equal(state[key], value) for key, value in STATE.items())


@pytest.mark.parametrize("name", ["G_ema.pth.tar", "weights.bin", "last.ckpt", "weights", "a.model", "0f3c9a"])
def test_the_suffix_does_not_matter(tmp_path: Path, name: str) -> None:
    torch.save(STATE, tmp_path / name)
    _same(tmp_path / name)


def _safetensors(state: dict[str, Tensor]) -> bytes:
    return safetensors.torch.save({key: value.contiguous() for key, value in state.items()})


def _npz(state: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{key: value.numpy() for key, value in state.items()})
    return buffer.getvalue()


def _arrays(state: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": {key: np.array(value.numpy(), order="F") for key, value in state.items()}}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("encode", [_safetensors, _npz, _arrays])
def test_other_containers(tmp_path: Path, encode: Callable[[dict[str, Tensor]], bytes]) -> None:
    (tmp_path / "weights.safetensors").write_bytes(encode(STATE))
    _same(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("statistics", ["bn.stored", "bn.running", "running"])
def test_statistics_of_mybn_and_cross_replica(tmp_path: Path, statistics: str) -> None:
    state = {key.replace("stored", statistics): value for key, value in STATE.items()}
    assert state.keys() != STATE.keys()
    state["blocks.0.0.bn1.bn.accumulation_counter"] = torch.zeros(1)
    state["blocks.0.0.bn1.bn.num_batches_tracked"] = torch.tensor(4)
    torch.save(state, tmp_path / "G.pth")
    _same(tmp_path / "G.pth")


def test_averaged_weights_take_precedence(tmp_path: Path) -> None:
    torch.save({"G": tiny_state(9), "G_ema": STATE, "D": {}}, tmp_path / "all.pth")
    _same(tmp_path / "all.pth")


def test_several_generators_are_named(tmp_path: Path) -> None:
    torch.save({"first": STATE, "second": tiny_state(9)}, tmp_path / "all.pth")
    with pytest.raises(UserError, match="several generators: first, second; save one"):
        load_generator(tmp_path / "all.pth", device="cpu")


def test_what_was_seen_is_named(tmp_path: Path) -> None:
    torch.save({"net": {f"decoder.{key}.x": value for key, value in STATE.items()}}, tmp_path / "all.pth")
    with pytest.raises(UserError, match=r"linear.weight is missing.*net/decoder\.shared\.weight\.x \(5, 6\)"):
        load_generator(tmp_path / "all.pth", device="cpu")


def test_deep_networks_of_biggan_pytorch_are_named(tmp_path: Path) -> None:
    state = {**STATE, "blocks.0.0.conv3.weight": torch.zeros(1), "blocks.0.0.conv4.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "G.pth")
    with pytest.raises(UserError, match="BigGAN-deep in the layout of BigGAN-PyTorch"):
        load_generator(tmp_path / "G.pth", device="cpu")


def test_overflow_in_half_precision_is_said(tmp_path: Path) -> None:
    torch.save({key: (value * 1e6).half() for key, value in STATE.items()}, tmp_path / "G.pth")
    with pytest.raises(UserError, match="not finite; numbers above 65,504 overflow in float16"):
        load_generator(tmp_path / "G.pth", device="cpu")


def test_expanded_tensors_are_refused(tmp_path: Path) -> None:
    key = "blocks.1.0.conv1.weight"
    torch.save({**STATE, key: torch.ones(1).expand(STATE[key].shape)}, tmp_path / "G.pth")
    with pytest.raises(UserError, match=rf"{key} claims more numbers than the file has"):
        load_generator(tmp_path / "G.pth", device="cpu")


@pytest.mark.parametrize("case", ["compiled-prefix.pth", "module-prefix.pth", "mybn.pth", "plain.pth.tar"])
def test_cases(case: str) -> None:
    folder = CASES / "wrapped-checkpoints"
    if not folder.is_dir():
        pytest.skip(f"the cases are not at {folder}")
    plain, other = (load_generator(folder / name, device="cpu") for name in ("plain.pth", case))
    z = torch.randn(2, plain.z_dim)
    assert torch.equal(plain(z, torch.tensor([0, 2])), other(z, torch.tensor([0, 2])))


def test_neighbours_of_a_link_or_else_of_its_target(tmp_path: Path) -> None:
    for name in ("target", "link"):
        (tmp_path / name).mkdir()
    torch.save(STATE, tmp_path / "target" / "0f3c9a")
    (tmp_path / "target" / "classes.json").write_text('["a", "b", "c", "d", "e"]')
    link = tmp_path / "link" / "G_ema.pth"
    link.symlink_to("../target/0f3c9a")
    assert load_generator(link, device="cpu").class_names == ("a", "b", "c", "d", "e")
    (tmp_path / "link" / "classes.json").write_text('["v", "w", "x", "y", "z"]')
    assert load_generator(link, device="cpu").class_names == ("v", "w", "x", "y", "z")


@pytest.fixture
def deep(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "deep"))


def test_deep_file_beside_its_config(deep: Path) -> None:
    folder, file = load_generator(deep, device="cpu"), load_generator(deep / "pytorch_model.bin", device="cpu")
    z, y = torch.randn(2, folder.z_dim), torch.tensor([0, 1])
    assert torch.equal(folder(z, y), file(z, y))
    assert file.sha256 == folder.sha256
    assert torch.equal(file.reference()(z, y), folder.reference()(z, y))


def test_deep_files_by_their_published_names(deep: Path) -> None:
    expected = load_generator(deep, device="cpu")
    z, y = torch.randn(2, expected.z_dim), torch.tensor([0, 1])
    images = expected(z, y)
    for name in ("config.json", "pytorch_model.bin"):
        (deep / name).rename(deep / f"biggan-deep-256-{name}")
    for path in (deep, deep / "biggan-deep-256-pytorch_model.bin"):
        assert torch.equal(load_generator(path, device="cpu")(z, y), images)


def test_deep_file_without_config(deep: Path) -> None:
    (deep / "pytorch_model.bin").rename(deep / "biggan-deep-256-pytorch_model.bin")
    (deep / "config.json").unlink()
    with pytest.raises(UserError, match=r"no config\.json beside it"):
        load_generator(deep / "biggan-deep-256-pytorch_model.bin", device="cpu")


def test_deep_weights_under_a_roof(deep: Path) -> None:
    state = torch.load(deep / "pytorch_model.bin", weights_only=True)
    wrapped = {"state_dict": {f"module.{key}": value for key, value in state.items()}, "step": np.float64(3)}
    torch.save(wrapped, deep / "other.ckpt")
    found, _ = read_weights(deep / "other.ckpt", DEEP_MARKS)
    assert found.keys() == state.keys()
    expected, other = load_generator(deep, device="cpu"), load_generator(deep / "other.ckpt", device="cpu")
    z, y = torch.randn(2, TINY_DEEP["z_dim"]), torch.tensor([0, 1])
    assert torch.equal(expected(z, y), other(z, y))
