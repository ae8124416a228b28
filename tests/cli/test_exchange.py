from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from biggan_discovery.directions import Directions
from tests.cli.console import Console
from tests.tiny import save_tiny_biggan


@pytest.fixture
def file(tmp_path: Path) -> Path:
    A = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    Directions(A, metadata={"names": ["hue", "", "camera height"]}).save(tmp_path / "found.safetensors")
    return tmp_path / "found.safetensors"


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_biggan(tmp_path_factory.mktemp("tiny"))


# export and import


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt", ".csv"])
def test_there_and_back(console: Console, file: Path, suffix: str):
    out, back = file.with_suffix(suffix), file.with_name("back.safetensors")
    assert console("export", file, out) == f"wrote {out}: Q, 3 directions × 16\n"
    said = console("import", out, "--out", back)
    assert "3 × 16" in said
    assert "does not say which generator" in said
    assert said.endswith(f"wrote {back}: 3 directions × 16\n")
    assert torch.equal(Directions.load(back).Q, Directions.load(file).Q)
    console("export", file, out, "--raw")
    console("import", out, "--out", back)
    assert torch.equal(Directions.load(back).A, Directions.load(file).A)
    assert torch.equal(Directions.load(back).Q, Directions.load(file).Q)


def test_import_records_the_generator(console: Console, file: Path, generator: Path):
    matrix, out = file.with_suffix(".npy"), file.with_name("new.safetensors")
    console("export", file, matrix)
    options = ("--generator", generator, "--class", "cone,0", "--names", "a,,camera")
    said = console("import", matrix, "--out", out, *options)
    read = "read the matrix (3 × 16, .npy file): its rows are the directions"
    assert said == f"{read}\nwrote {out}: 3 directions × 16 of {generator}\n"
    directions = Directions.load(out)
    assert directions.names == ["a", "", "camera"]
    metadata = directions.metadata
    assert metadata["classes"] == [3, 0]
    assert metadata["class_names"] == ["cone", "cube"]
    assert metadata["resolution"] == 32
    assert metadata["z_dim"] == 16
    assert metadata["layers"] == "all"
    assert len(metadata["generator_sha256"]) == 64


def test_import_without_orthogonalising(console: Console, tmp_path: Path):
    np.savetxt(tmp_path / "m.csv", [[1, 2], [3, 4], [5, 6]], delimiter=",")
    console("import", tmp_path / "m.csv", "--out", tmp_path / "m.safetensors", "--orthogonalize", "none")
    assert Directions.load(tmp_path / "m.safetensors").Q.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_existing_output_is_replaced(console: Console, file: Path):
    out = file.with_suffix(".csv")
    out.write_text("old")
    console("export", file, out)
    assert len(out.read_text().splitlines()) == 3


def test_bad_exports(console: Console, file: Path):
    folder = file.parent
    (folder / "text").write_text("text")
    (folder / "link.csv").hardlink_to(file)
    for arguments, message in [
        ((file,), "Missing argument 'OUT'"),
        ((folder / "foun.safetensors", "m.npy"), "did you mean 'found.safetensors'"),
        ((folder / "text", "m.npy"), "is not a directions file"),
        ((folder, "m.npy"), "is a folder"),
        ((file, folder / "m.txt"), "is not a matrix file"),
        ((file, folder / "text" / "m.npy"), "cannot write"),
        ((file, folder / "link.csv"), "is the input file"),
    ]:
        assert message in console("export", *arguments, code=2)
    assert len(Directions.load(file)) == 3


def test_bad_imports(console: Console, file: Path, generator: Path):
    folder, matrix, out = file.parent, file.with_suffix(".npy"), file.with_name("new.safetensors")
    console("export", file, matrix)
    np.save(folder / "narrow.npy", np.eye(3))
    np.save(folder / "double.npy", np.ones((2, 3)))
    for arguments, message in [
        ((matrix,), "Missing option '--out'"),
        ((folder / "fund.npy", "--out", out), "did you mean 'found.npy'"),
        ((file, "--out", out), "is a directions file already"),
        ((matrix, "--out", folder / "new.npy"), "must end in .safetensors"),
        ((matrix, "--out", matrix), "is the input file"),
        ((folder / "double.npy", "--out", out), "row 1 of A is zero or a linear combination"),
        ((matrix, "--out", out, "--names", "a,b"), "2 names for 3 directions"),
        ((matrix, "--out", out, "--names", "a,b,2"), "cannot be called '2'"),
        ((matrix, "--out", out, "--class", "cone"), "--class needs --generator"),
        ((matrix, "--out", out, "--orthogonalize", "svd"), "'svd' is not one of"),
        ((matrix, "--out", out, "--generator", folder / "nothing"), "nothing"),
        ((matrix, "--out", out, "--generator", generator, "--class", "coin"), "did you mean 'cone'"),
        ((matrix, "--out", out, "--generator", generator, "--class", "5"), "out of range"),
        ((folder / "narrow.npy", "--out", out, "--generator", generator), "rows have 3 entries, but z has 16"),
    ]:
        assert message in console("import", *arguments, code=2)
    assert not out.exists()


# The start of the program


def test_help_does_not_load_torch():
    for command in ("export", "import", "name"):
        code = (
            "import sys; from biggan_discovery.cli import cli\n"
            f"try: cli(['{command}', '--help'])\n"
            "except SystemExit: sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
        )
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "Examples:" in shown.stdout
