from __future__ import annotations

import functools
import sys

import pytest
import torch

from biggan_discovery import Directions, FunctionGenerator, discover, load_generator
from biggan_discovery.cli import cli, run
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import held_out_penalty, held_out_values, recovery
from biggan_discovery.search import judging
from tests.brock_tiny import save_tiny_brock

FRAMES = torch.linalg.qr(torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0)))[0]
MIX = torch.randn(3, 4, 48, generator=torch.Generator().manual_seed(1))
QUICK = {"steps": 4, "batch": 3, "save_every": 2, "quiet": True}


def separable_in_each_layer(z: torch.Tensor) -> torch.Tensor:
    """Layer l's part of the image is separable along FRAMES[l], so each layer has its own directions."""
    return torch.einsum("nlf,lfp->np", torch.tanh(torch.einsum("nlz,lfz->nlf", z, FRAMES)), MIX).view(-1, 3, 4, 4)


def layered() -> FunctionGenerator:
    return FunctionGenerator(separable_in_each_layer, z_dim=4, num_layers=3)


def test_a_search_finds_the_directions_of_its_layers():
    found = discover(layered(), layers="mid", steps=150, batch=16, lr=0.05, quiet=True)
    assert recovery(found.Q, FRAMES[1]).mean > 0.999
    assert recovery(found.Q, FRAMES[0]).mean < 0.95
    assert found.metadata["layers"] == found.layers == "mid"
    penalties = found.metadata["held_out_penalty"]
    assert penalties["after"][0] < 1e-3 * penalties["random"][0]
    assert penalties["after"][0] == held_out_penalty(layered(), found.Q, layers="mid").mean
    assert penalties["after"][0] != held_out_penalty(layered(), found.Q).mean


@pytest.fixture
def chunked(tmp_path, monkeypatch):
    quick = functools.partial(held_out_values, samples=2, probes=2)
    monkeypatch.setattr(judging, "held_out_values", quick)
    return save_tiny_brock(tmp_path / "tiny")  # z of 16 in 4 chunks; fine is the last two layers


def test_directions_of_chunks_are_zero_outside(chunked, tmp_path):
    generator = load_generator(chunked, device="cpu")
    found = discover(generator, layers="fine", out=tmp_path / "run", **QUICK)
    saved = Directions.load(tmp_path / "run" / "directions.safetensors")
    assert torch.equal(saved.Q, found.Q)
    for matrix in (found.A, found.Q):
        assert matrix.shape == (8, 16)
        assert not matrix[:, :8].any()
    torch.testing.assert_close(found.A.norm(dim=1), torch.full((8,), 8**0.5))
    assert saved.search_space == slice(8, 16)
    with pytest.raises(UserError, match='layers "fine", not "mid"'):
        discover(generator, layers="mid", directions=4, out=tmp_path / "run", **QUICK)
    with pytest.raises(UserError, match="directions is 9"):
        discover(generator, layers="fine", directions=9, **QUICK)
    with pytest.raises(UserError, match="did you mean 'fine'"):
        discover(generator, layers="fin", **QUICK)


def test_a_search_goes_on_where_it_stopped(chunked, tmp_path):
    generator = load_generator(chunked, device="cpu")
    whole = discover(generator, layers="1", out=tmp_path / "whole", **QUICK)
    state = tmp_path / "whole" / "state.safetensors"
    (tmp_path / "whole" / "directions.safetensors").unlink()
    before = state.read_bytes()
    again = discover(generator, layers="1", out=tmp_path / "whole", **QUICK)
    assert torch.equal(again.Q, whole.Q)
    assert state.read_bytes() == before


def test_a_start_from_a_file_stays_in_the_space(chunked, tmp_path):
    generator = load_generator(chunked, device="cpu")
    start = tmp_path / "start.safetensors"
    discover(generator, layers="fine", init="coordinates", **{**QUICK, "steps": 0}).save(start)
    assert torch.equal(Directions.load(start).Q, torch.eye(16)[8:])
    again = discover(generator, layers="fine", init=start, **{**QUICK, "steps": 0})
    assert torch.equal(again.Q, torch.eye(16)[8:])
    with pytest.raises(UserError, match=r"outside of z\[0:4\]"):
        discover(generator, layers="coarse", init=start, **{**QUICK, "steps": 0})


@pytest.mark.parametrize(("layers", "part"), [("fine", "-fine-"), ("1-2", "-layers_1-2-"), ("all", "-all-hessian")])
def test_the_folder_names_the_layers(chunked, tmp_path, monkeypatch, capsys, layers, part):
    monkeypatch.chdir(tmp_path)
    arguments = ["discover", "--generator", str(chunked), "--layers", layers, "--steps", "1", "--batch", "2", "--quiet"]
    monkeypatch.setattr(sys, "argv", ["biggan-discovery", *arguments])
    with pytest.raises(SystemExit) as ended:
        run(cli, "biggan-discovery")
    assert not ended.value.code, capsys.readouterr().err
    (folder,) = (tmp_path / "directions").iterdir()
    assert part in folder.name
    assert Directions.load(folder / "directions.safetensors").layers == layers
