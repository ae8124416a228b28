"""`discover --layers each`, and what the other commands do with its file."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from biggan_discovery import Directions
from biggan_discovery.cli import cli, run
from biggan_discovery.rendering import settings_of
from tests.brock_tiny import save_tiny_brock
from tests.evaluation.small import small_sizes
from tests.tiny import save_tiny_biggan


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = tmp_path_factory.mktemp("world")
    save_tiny_brock(world / "brock")
    save_tiny_biggan(world / "deep")
    return world


@pytest.fixture
def call(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command line; return what it prints, on failure only its error."""
    monkeypatch.chdir(world)
    small_sizes(monkeypatch)

    def calling(command: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["biggan-discovery", *shlex.split(command)])
        with pytest.raises(SystemExit) as ended:
            run(cli, "biggan-discovery")
        printed = capsys.readouterr()
        assert (ended.value.code or 0) == code, printed.err
        return printed.err if code else printed.out + printed.err

    return calling


@pytest.fixture
def found(call: Callable[..., str], world: Path, request: pytest.FixtureRequest) -> str:
    """The file of a search in every layer of a generator."""
    out = f"runs/{request.param}"
    if not (world / out / "directions.safetensors").exists():
        call(f"discover --generator {request.param} --class 0 --layers each --method random --no-judge --out {out}")
    return f"{out}/directions.safetensors"


brock = pytest.mark.parametrize("found", ["brock"], indirect=True)
deep = pytest.mark.parametrize("found", ["deep"], indirect=True)


@pytest.mark.parametrize("found", ["brock", "deep"], indirect=True)
def test_directions_are_listed_with_their_layers(call: Callable[..., str], found: str):
    listed = call(f"name {found}")
    directions = Directions.load(found)
    assert "layers     each" in listed
    for row in range(len(directions)):
        assert re.search(rf"^ *{row} +\S+ +{directions.layers_of(row)} +-", listed, re.MULTILINE), listed


@brock
def test_a_finished_search_says_so(call: Callable[..., str], found: str):
    again = call("discover --generator brock --class 0 --layers EACH --method random --no-judge --out runs/brock")
    assert f"already finished: {found}" in again
    assert sorted(path.name for path in Path("runs/brock").glob("layer-*")) == [f"layer-{k}" for k in range(4)]


def test_the_default_folder_has_the_layers_in_its_name(call: Callable[..., str]):
    said = call("discover --generator brock --class 0 --layers each --method coordinates --directions 1 --no-judge")
    assert "directions/brock-0-layers_each-coordinates-seed0/directions.safetensors" in said


@pytest.mark.parametrize("found", ["brock", "deep"], indirect=True)
def test_pictures_show_all_or_one_layer(call: Callable[..., str], found: str):
    call(f"visualize {found} --only all --samples 1 --frames 3 --scale 1 --out all.png --quiet")
    assert settings_of("all.png")["layers"] == "each"
    call(f"visualize {found} --layers 2 --samples 1 --frames 3 --scale 1 --out two.png --quiet")
    rows = Directions.load(found).layer_groups["2"]
    assert set(settings_of("two.png")["only"]) <= set(rows)
    assert "no directions for the layers 2-3" in call(f"visualize {found} --layers 2-3 --out x.png", code=2)


@deep
def test_several_layers_that_see_all_of_z_are_judged_one_by_one(call: Callable[..., str], found: str):
    refused = call(f"evaluate {found} --out report", code=2)
    assert re.fullmatch(
        r"error: .*different layers, which are not orthogonal.*choose one of the layers [\d, ]+\n", refused
    )
    assert not Path("report").exists()
    call(f"evaluate {found} --layers 1 --metrics hessian --no-figures --out report --quiet")
    content = json.loads(Path("report/report.json").read_text())
    [judged] = content["sets"]
    assert judged["layers"] == "1"
    rows = Directions.load(found).layer_groups["1"]
    assert judged["names"] == [f"number {row}" for row in rows]
    assert "--layers 1" in content["command"]


@brock
def test_chunks_are_judged_together_or_one_by_one(call: Callable[..., str], found: str):
    for option, layers, count in (("", "all", 16), ("--layers 3", "3", 4)):
        call(f"evaluate {found} {option} --metrics hessian --no-figures --out {layers} --quiet")
        [judged] = json.loads(Path(layers, "report.json").read_text())["sets"]
        assert (judged["layers"], judged["directions"]) == (layers, count)


@deep
def test_sets_are_compared_layer_by_layer(call: Callable[..., str], found: str, world: Path):
    other = world / "other.safetensors"
    Directions.load(found).save(other)
    assert "choose one of the layers" in call(f"compare {found} {other} --out c", code=2)
    assert "mean |cos| 1.000" in call(f"compare {found} {other} --layers 3 --out c --quiet")


@brock
def test_reports_and_lists_tell_the_share_of_each_layer(call: Callable[..., str], found: str):
    call("discover --generator brock --class 0 --method random --directions 2 --no-judge --out whole --quiet")
    file = "whole/directions.safetensors"
    shares = Directions.load(file).Q[0].square().view(4, 4).sum(dim=1)
    largest = f"layer {int(shares.argmax())} {shares.max():.0%}".replace("%", " %")
    assert largest in call(f"name {file}")
    call(f"evaluate {file} --metrics activeness --no-figures --out shares --quiet")
    assert largest in Path("shares/report.md").read_text()
    assert "energy by layer" in Path("shares/report.md").read_text()
    del found


@pytest.mark.parametrize("found", ["brock", "deep"], indirect=True)
def test_a_matrix_of_it_has_all_rows(call: Callable[..., str], found: str):
    assert "the matrix does not say which layers its rows are for" in call(f"export {found} all.npy")
    assert torch.equal(torch.from_numpy(np.load("all.npy")), Directions.load(found).Q)
    call(f"export {found} one.npy --layers 2")
    directions = Directions.load(found)
    assert (np.load("one.npy") == directions.Q[directions.layer_groups["2"]].numpy()).all()
    assert "no directions for the layers 17" in call(f"export {found} none.npy --layers 17", code=2)
    assert not Path("none.npy").exists()
