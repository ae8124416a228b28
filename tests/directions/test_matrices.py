"""Matrices of directions as people save them: every container, layout and table gives the same rows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biggan_discovery.directions import import_matrix
from biggan_discovery.directions.matrices import find_matrix
from biggan_discovery.errors import UserError
from biggan_discovery.reading.limits import MOST_NUMBERS

CASES = Path(__file__).parents[3] / "shared" / "cases"
ROWS = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matrices")


def _read(folder: Path, content: bytes, **options: Any) -> Any:
    (folder / "matrix.of-any-suffix").write_bytes(content)
    return find_matrix(folder / "matrix.of-any-suffix", **options)


def _torch(value: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _nested(rows: Tensor) -> dict[str, bytes]:
    array = rows.numpy()
    return {
        "list of vectors": _torch(list(rows)),
        "tuple of arrays": _torch(tuple(array)),
        "lists of numbers": _torch(rows.tolist()),
        "array": _torch(array),
        "array in a dict": _torch({"A": array, "loss": np.float64(1.5), "step": 3}),
        "old format": _torch({"A": rows}, _use_new_zipfile_serialization=False),
        "deep": _torch({"state_dict": {"model": {"A": rows}}, "args": {"lr": 0.1}}),
        "parameter": _torch({"module.A": torch.nn.Parameter(rows), "bias": torch.zeros(16)}),
        "axis of 1 inside": _torch(rows[:, None]),
        "axis of 1 outside": _npy(array[None]),
        "axes of 1": _npy(array[None, :, None]),
        "safetensors": safetensors.torch.save({"weights": rows}),
        "GANSpace": _npz(lat_comp=array[:, None], act_comp=np.zeros((5, 1, 99)), lat_mean=array[:1, None]),
        "JSON": json.dumps(rows.tolist()).encode(),
        "JSON with a mark": b"\xef\xbb\xbf" + json.dumps({"directions": rows.tolist()}).encode(),
        "vectors by number": _torch(dict(enumerate(rows))),
    }


@pytest.mark.parametrize("name", _nested(ROWS))
def test_containers(folder: Path, name: str) -> None:
    found = _read(folder, _nested(ROWS)[name])
    assert torch.equal(found.A, ROWS)
    assert "its rows are the directions" in found.account


@pytest.mark.parametrize("content", [_torch(ROWS[0]), _npy(ROWS[0].numpy()), _torch({"smile": ROWS[0]}), b"1 2 3\n"])
def test_a_single_vector(folder: Path, content: bytes) -> None:
    assert _read(folder, content).A.shape in ((1, 16), (1, 3))


@pytest.mark.parametrize("encode", [_torch, safetensors.torch.save, lambda vectors: _npz(**vectors)])
def test_names_of_vectors_are_kept(tmp_path: Path, encode: Any) -> None:
    vectors = {"age": ROWS[1].clone(), "smile": ROWS[0].clone()}
    (tmp_path / "v").write_bytes(encode(vectors))
    found = import_matrix(tmp_path / "v")
    assert {name: row.tolist() for name, row in zip(found.names, found.A, strict=True)} == {
        name: vector.tolist() for name, vector in vectors.items()
    }


def _shown(number: float, comma: bool) -> str:
    return f"{number:.9g}".replace(".", ",") if comma else f"{number:.9g}"


@given(
    delimiter=st.sampled_from([",", ";", "\t", " ", "  ", ", "]),
    comma=st.booleans(),
    header=st.sampled_from(["", "counts", "names", "#"]),
    index=st.sampled_from(["", "counts", "from 1", "names"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    quoted=st.booleans(),
    blank=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_tables(
    folder: Path,
    delimiter: str,
    comma: bool,
    header: str,
    index: str,
    encoding: str,
    newline: str,
    quoted: bool,
    blank: bool,
) -> None:
    comma &= "," not in delimiter
    quote = '"' if quoted else ""
    rows = [[f"{quote}{_shown(number, comma)}{quote}" for number in row] for row in ROWS.tolist()]
    names = [f"größe{number}" for number in range(len(rows))]
    first = {"counts": range(5), "from 1": range(1, 6), "names": names}.get(index, ())
    for row, cell in zip(rows, first, strict=False):
        row.insert(0, str(cell))
    lines = [delimiter.join(row) for row in rows]
    blanks = not delimiter.strip()
    if header == "#":
        lines.insert(0, "# made by a tool, in 2024")
    elif header:
        cells = [str(number) if header == "counts" else f"x{number}" for number in range(16)]
        # As pandas writes it, with an empty cell above the index; between blanks as R does, without.
        lines.insert(0, delimiter.join([""] * (bool(index) and not blanks) + cells))
    if blank:
        lines.insert(1, "")
    found = _read(folder, newline.join([*lines, ""]).encode(encoding))
    assert torch.equal(found.A, ROWS)
    assert found.names == (tuple(names) if index == "names" else ())


def test_pandas_without_an_index_and_excel_with_an_empty_column(folder: Path) -> None:
    assert _read(folder, b"0,1,2\n0.5,1,2\n3,4,5\n").A.tolist() == [[0.5, 1, 2], [3, 4, 5]]
    assert _read(folder, b"0.5;1;\n3;4;\n").A.tolist() == [[0.5, 1], [3, 4]]
    assert _read(folder, "\N{MINUS SIGN}1,5 2,5\n3,5 4,5\n".encode()).A.tolist() == [[-1.5, 2.5], [3.5, 4.5]]


def _columns(name: str, matrix: Tensor) -> bytes:
    return _torch({name: matrix})


@pytest.mark.parametrize("prefix", ["", "module.", "deformator."])
@pytest.mark.parametrize("count", [5, 16, 24])
def test_linear_deformators(folder: Path, prefix: str, count: int) -> None:
    weight = torch.randn(16, count)
    for state in ({"linear.weight": weight, "linear.bias": torch.zeros(16)}, {"linear.weight": weight}):
        found = _read(folder, _torch({f"{prefix}{key}": value for key, value in state.items()}))
        assert torch.equal(found.A, weight.T)
        assert "its columns are the directions" in found.account
    nested = _read(folder, _torch({"deformator": {"linear.weight": weight}}))
    assert torch.equal(nested.A, weight.T)


def test_orthogonal_deformators(folder: Path) -> None:
    half = torch.randn(7, 7)
    found = _read(folder, _torch({"module.log_mat_half": half}))
    # By the definition of the exponential, in its limit.
    skew = (half - half.T).double()
    expected = torch.linalg.matrix_power(torch.eye(7, dtype=torch.float64) + skew / 2**30, 2**30)
    torch.testing.assert_close(found.A.double(), expected.T, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.A @ found.A.T, torch.eye(7), atol=1e-5, rtol=0)


def test_deformators_without_directions(folder: Path) -> None:
    with pytest.raises(UserError, match="several layers, which has no fixed directions"):
        _read(folder, _torch({f"fc{index}.weight": torch.eye(4) for index in (1, 2, 3, 4)}))


@pytest.mark.parametrize("name", ["eigvec", "eigenvectors", "eig_vecs", "evecs", "V", "columns", "state.eigvecs"])
@pytest.mark.parametrize("shape", [(16, 5), (16, 16)])
def test_eigenvectors_are_columns_by_their_name(folder: Path, name: str, shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape)
    found = _read(folder, _torch({name: matrix, "eigenvalues": torch.ones(shape[1])}), widths={16})
    assert torch.equal(found.A, matrix.T)
    assert "its columns are the directions" in found.account
    assert ("--no-transpose takes its rows" in found.guess) == (shape == (16, 16))
    kept = _read(folder, _torch({name: matrix}), transpose=False)
    assert torch.equal(kept.A, matrix)


def test_shape_and_option_decide(folder: Path) -> None:
    found = _read(folder, _npy(ROWS.T.numpy()), widths={16})
    assert torch.equal(found.A, ROWS)
    assert "as only they have 16 entries" in found.account
    assert torch.equal(_read(folder, _npy(ROWS.T.numpy()), transpose=True).A, ROWS)
    assert torch.equal(_read(folder, _torch({"eigvec": ROWS}), widths={16}).A, ROWS)
    table = _read(folder, b",smile,age\n0,1,2\n1,3,4\n2,5,7\n", transpose=True)
    assert table.A.tolist() == [[1, 3, 5], [2, 4, 7]]
    assert table.names == ("smile", "age")


def test_columns_read_as_rows_name_the_option(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", ROWS.T.numpy())
    with pytest.raises(UserError, match=r"16 directions in 5 dimensions.*--transpose"):
        import_matrix(tmp_path / "m.npy")


@pytest.mark.parametrize("cosine", [0.9, 0.5, -0.2])
def test_how_far_rows_were_turned_is_said(tmp_path: Path, cosine: float, caplog: pytest.LogCaptureFixture) -> None:
    np.save(tmp_path / "two.npy", np.array([[1, 0, 0], [cosine, (1 - cosine**2) ** 0.5, 0], [0, 0, 2]]))
    import_matrix(tmp_path / "two.npy")
    angle = 90 - np.degrees(np.arccos(abs(cosine)))
    assert f"1 of 3 rows were turned to make all orthogonal, row 1 the most, by {angle:.0f}°" in caplog.text
    assert "--orthogonalize none keeps them" in caplog.text
    caplog.clear()
    assert import_matrix(tmp_path / "two.npy", orthogonalize="none").Q.tolist()[1][0] == pytest.approx(cosine)
    assert "turned" not in caplog.text


def test_what_was_read_is_kept(tmp_path: Path) -> None:
    torch.save({"model": {"A": ROWS}}, tmp_path / "m.pt")
    about = import_matrix(tmp_path / "m.pt").metadata["read_as"]
    assert about == "model/A (5 × 16, torch file): its rows are the directions"


@pytest.mark.parametrize(
    "content",
    [
        _torch(torch.ones(1).expand(100_000, 20_000)),
        _torch([torch.ones(1).expand(MOST_NUMBERS)] * 2),
        _torch({"log_mat_half": torch.ones(1, 1).expand(2000, 2000)}),
        _npy(np.empty((0, 3))).replace(b"(0, 3)", b"(9**9,3)"),
        b"\x93NUMPY\x01\x00v\x00" + b"(" * 117 + b"\n",
    ],
)
def test_sizes_are_judged_before_anything_is_expanded(folder: Path, content: bytes) -> None:
    with pytest.raises(UserError, match="cannot read"):
        _read(folder, content)


def _case_files(name: str) -> list[Path]:
    return [path for path in sorted((CASES / name).glob("*")) if path.suffix != ".md"]


@pytest.mark.parametrize("path", _case_files("containers"), ids=lambda path: path.name)
def test_cases_of_containers(path: Path) -> None:
    expected = torch.from_numpy(np.load(CASES / "containers" / "expected.npy"))
    found = find_matrix(path, widths={16}).A
    assert torch.equal(found, expected[: len(found)])


@pytest.mark.parametrize("name", ["deformator_linear", "deformator_ortho", "eigh"])
def test_cases_of_columns(name: str) -> None:
    if not (CASES / "columns").is_dir():
        pytest.skip(f"the cases are not at {CASES}")
    path = next(path for path in (CASES / "columns").glob(f"{name}.*") if "expected" not in path.name)
    expected = torch.from_numpy(np.load(CASES / "columns" / f"{name}.expected.npy"))
    torch.testing.assert_close(find_matrix(path, widths={16}).A, expected, atol=1e-6, rtol=0)
