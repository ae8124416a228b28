"""Words that other projects keep for their directions become names and notes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from biggan_discovery.directions import Directions
from biggan_discovery.directions.annotations import annotate
from biggan_discovery.errors import UserError
from tests.cli.console import Console


@pytest.fixture
def console(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.chdir(tmp_path)
    return console


def test_a_deformator_and_its_human_annotation(console: Console) -> None:
    """As GANLatentDiscovery keeps them: directions are the columns of linear.weight."""
    weight = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0))).Q[:, :4]
    torch.save({"linear.weight": weight}, "deformator_0.pt")
    Path("human_annotation.txt").write_text("0: background_removal\n2: zoom\n3: Zoom\n1: \n")
    printed = console("import", "deformator_0.pt", "--out", "d.safetensors", "--annotations", "human_annotation.txt")
    assert "3 of 4 directions are named by human_annotation.txt" in printed
    found = Directions.load("d.safetensors")
    assert found.names == ["background removal", "", "zoom", "Zoom 2"]
    torch.testing.assert_close(found.Q, weight.T)


def test_the_visual_concept_vocabulary(console: Console) -> None:
    """ds.pth is a matrix of more rows than coordinates; several people describe a direction."""
    ds = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    torch.save(ds, "ds.pth")
    rows = ["d_id,annotation,layer", '0,"more trees, and a path",1', "0,greener,1", "0,greener,1", "5,more trees,2"]
    Path("annotations.csv").write_text("\n".join([*rows, "6,,2"]) + "\n")
    options = ["--annotations", "annotations.csv", "--orthogonalize", "none"]
    assert "2 of 7 directions are named" in console("import", "ds.pth", "--out", "v.safetensors", *options)
    found = Directions.load("v.safetensors")
    assert found.names[:1] + found.names[5:] == ["more trees, and a path", "more trees", ""]
    assert found.notes[0] == "more trees, and a path / greener"
    assert torch.equal(found.Q, ds)


def test_words_that_are_no_names_are_made_so(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"0: 12\n1: {'x' * 300}\n2: a\tb\n")
    found = Directions(torch.eye(3))
    assert annotate(found, path) == 3
    assert found.names[0] == "'12'"
    assert len(found.names[1]) <= 100
    assert found.names[2] == "a b"
    found.save(tmp_path / "d.safetensors")
    assert Directions.load(tmp_path / "d.safetensors").names == found.names


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "describes no direction"),
        ("zoom\n", r"line 1 is 'zoom'; expected 'index: words'"),
        ("0: a\n7: zoom\n", "describes direction 7, but there are only 0 to 2"),
        ("d_id,annotation\nx,zoom\n", r"line 2: d_id is 'x'"),
    ],
)
def test_bad_annotations(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(UserError, match=said):
        annotate(Directions(torch.eye(3)), tmp_path / "a.txt")


def test_one_source_of_names(console: Console) -> None:
    torch.save(torch.eye(3), "m.pt")
    options = ["--names", "a,b,c", "--annotations", "missing.txt"]
    assert "both name directions" in console("import", "m.pt", "--out", "m.safetensors", *options, code=2)
    assert "no file of annotations" in console("import", "m.pt", "--out", "m.safetensors", *options[2:], code=2)
    assert not Path("m.safetensors").exists()
