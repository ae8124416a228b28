from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biggan_discovery.directions import Directions, export, import_matrix, orthonormalize, read_matrix
from biggan_discovery.errors import UserError

SUFFIXES = [".npy", ".npz", ".pt", ".csv"]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bits(matrix: torch.Tensor) -> torch.Tensor:
    return matrix.contiguous().view(torch.int32)


# Round trips


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 8), (120, 120)])
def test_export_and_import_give_the_same_Q(tmp_path: Path, suffix: str, shape: tuple[int, int]):  # noqa: N802
    directions = Directions(normal(*shape) * 3)
    export(directions, tmp_path / f"Q{suffix}")
    assert torch.equal(bits(read_matrix(tmp_path / f"Q{suffix}")), bits(directions.Q))
    again = import_matrix(tmp_path / f"Q{suffix}")
    assert torch.equal(bits(again.Q), bits(directions.Q))
    assert torch.equal(bits(again.A), bits(directions.Q))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_raw_export_and_import_give_the_same_A_and_Q(tmp_path: Path, suffix: str):  # noqa: N802
    directions = Directions(normal(5, 8) * 3)
    export(directions, tmp_path / f"A{suffix}", raw=True)
    again = import_matrix(tmp_path / f"A{suffix}", metadata={"generator": "scenes-64"}, names=["hue", "", "", "", "x"])
    assert torch.equal(bits(again.A), bits(directions.A))
    assert torch.equal(bits(again.Q), bits(directions.Q))
    assert again.names == ["hue", "", "", "", "x"]
    assert again.metadata["generator"] == "scenes-64"
    assert again.metadata["source"] == f"A{suffix}"


def test_rows_that_are_not_orthonormal_can_be_kept(tmp_path: Path):
    A = normal(6, 4)
    directions = Directions(A, A, {"settings": {"orthogonalize": "none"}})
    export(directions, tmp_path / "Q.csv")
    assert torch.equal(import_matrix(tmp_path / "Q.csv", orthogonalize="none").Q, A)


@settings(deadline=None, max_examples=40)
@given(
    array=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=4),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    suffix=st.sampled_from(SUFFIXES),
)
def test_every_float32_survives(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, suffix: str):
    path = tmp_path_factory.mktemp("formats") / f"m{suffix}"
    matrix = torch.from_numpy(array)
    export(Directions(matrix, matrix, {"settings": {"orthogonalize": "none"}}), path)
    assert torch.equal(bits(read_matrix(path)), bits(matrix))


def test_other_tools_can_read_what_is_exported(tmp_path: Path):
    directions = Directions(normal(3, 5))
    for suffix in SUFFIXES:
        export(directions, tmp_path / f"Q{suffix}")
    expected = directions.Q.numpy()
    np.testing.assert_array_equal(np.load(tmp_path / "Q.npy"), expected)
    np.testing.assert_array_equal(np.load(tmp_path / "Q.npz")["directions"], expected)
    assert torch.equal(torch.load(tmp_path / "Q.pt", weights_only=True), directions.Q)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "Q.csv", delimiter=",", dtype=np.float32), expected)


# What other tools write


def test_torch_files_of_both_formats_and_with_a_dict(tmp_path: Path):
    A = normal(3, 5)
    for zipped in (True, False):
        torch.save(A, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
        assert torch.equal(read_matrix(tmp_path / "m.pt"), A)
    torch.save({"A": torch.nn.Parameter(A), "step": 3, "bias": torch.zeros(5)}, tmp_path / "m.pth")
    assert torch.equal(read_matrix(tmp_path / "m.pth"), A)
    torch.save(A.double().T, tmp_path / "m.pt")
    assert torch.equal(read_matrix(tmp_path / "m.pt"), A.T)


def test_arrays_of_other_types_and_orders(tmp_path: Path):
    whole = np.arange(12).reshape(3, 4)
    for array in (whole, whole.astype(">f8"), np.asfortranarray(whole.astype(np.float16))):
        np.save(tmp_path / "m.npy", array)
        np.savez_compressed(tmp_path / "m.npz", anything=array, mean=array[0])
        for name in ("m.npy", "m.npz"):
            assert read_matrix(tmp_path / name).tolist() == whole.tolist()


def test_csv_as_spreadsheets_write_it(tmp_path: Path):
    (tmp_path / "M.CSV").write_bytes(b"\xef\xbb\xbf1, 2.5e-1\r\n\r\n-3,+4\r\n")
    assert read_matrix(tmp_path / "M.CSV").tolist() == [[1, 0.25], [-3, 4]]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("hessian_goldens_all", (120, 120)),
        ("hessian_goldens_mid", (40, 40)),
        ("orojar_goldens_mid", (40, 40)),
        ("voynov", (120, 120)),
    ],
)
def test_published_directions(fixtures_dir: Path, tmp_path: Path, name: str, shape: tuple[int, int]):
    directions = import_matrix(fixtures_dir / "published-directions" / f"{name}.pt")
    assert directions.A.shape == shape
    exact = directions.A.double()
    # A = LQ with a positive diagonal is unique, so Gram-Schmidt's Q is L⁻¹A with AAᵀ = LLᵀ.
    expected = torch.linalg.solve_triangular(torch.linalg.cholesky(exact @ exact.T), exact, upper=False)
    torch.testing.assert_close(directions.Q.double(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(directions.Q, orthonormalize(directions.A, "gram-schmidt"), rtol=0, atol=1e-6)
    directions.save(tmp_path / "m.safetensors")
    assert torch.equal(Directions.load(tmp_path / "m.safetensors").Q, directions.Q)


# Bad input


class Payload:
    """Unpickling this creates a file, so that a test can detect that code was executed."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".npy", ".npz"])
def test_code_in_a_file_never_runs(tmp_path: Path, suffix: str):
    path, trace = tmp_path / f"m{suffix}", tmp_path / "ran"
    payload = Payload(trace)
    contents = [pickle.dumps(payload)]
    for zipped in (True, False):
        buffer = io.BytesIO()
        torch.save({"A": torch.eye(3), "code": payload}, buffer, _use_new_zipfile_serialization=zipped)
        contents.append(buffer.getvalue())
    for save in (np.save, lambda file, array: np.savez(file, directions=array)):
        buffer = io.BytesIO()
        save(buffer, np.array([[payload]], dtype=object))
        contents.append(buffer.getvalue())
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_matrix(path)
        assert "unsafe" not in str(caught.value).lower()
        assert "weights_only" not in str(caught.value)
    assert not trace.exists()


def saved(save, value) -> bytes:
    buffer = io.BytesIO()
    save(buffer, value)
    return buffer.getvalue()


def to_torch(value) -> bytes:
    return saved(lambda buffer, value: torch.save(value, buffer), value)


def to_npy(value) -> bytes:
    return saved(np.save, value)


def npy_that_claims(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


BAD = {
    "empty.npy": (b"", "cannot read"),
    "empty.npz": (b"", "cannot read"),
    "empty.pt": (b"", "cannot read"),
    "empty.csv": (b"", "it is empty"),
    "blank.csv": (b"\n \n", "it is empty"),
    "text.npy": (b"hello", "cannot read"),
    "text.npz": (b"hello" * 100, "cannot read"),
    "text.pt": (b"hello", "expected a number"),
    "text.csv": (b"hello", "line 1, column 1 is 'hello'"),
    "letter.csv": (b"1,2\n3,b\n", "line 2, column 2 is 'b'; expected a number"),
    "gap.csv": (b"1,2\n3,\n", "line 2, column 2 is ''"),
    "quotes.csv": (b'"1","2\n3,4\n', "a quote that is opened in one line"),
    "ragged.csv": (b"1,2\n\n3\n", "line 3 has 1 numbers, but the first has 2"),
    "nan.csv": (b"1,nan\n", "nan, infinite or too large"),
    "large.csv": (b"1,1e39\n", "nan, infinite or too large"),
    "nan.npy": (to_npy(np.array([[np.nan]])), "nan, infinite"),
    "large.npy": (to_npy(np.array([[1e300]])), "too large"),
    "inf.pt": (to_torch(torch.tensor([[float("inf")]])), "nan, infinite"),
    "cube.pt": (to_torch(torch.ones(2, 2, 2)), r"array of shape \(2, 2, 2\)"),
    "none.npy": (to_npy(np.ones((0, 3))), r"found \(0, 3\)"),
    "complex.npy": (to_npy(np.ones((2, 2), complex)), "complex128"),
    "bool.npy": (to_npy(np.ones((2, 2), bool)), "bool"),
    "words.npy": (to_npy(np.array([["a"]])), "not of numbers"),
    "truncated.npy": (to_npy(np.ones((9, 9)))[:-1], "cannot read"),
    "huge.npy": (npy_that_claims("(1000000, 1000000)"), "cannot read"),
    "negative.npy": (npy_that_claims("(-1, 3)"), "cannot read"),
    "complex.pt": (to_torch(torch.ones(2, 2, dtype=torch.complex64)), "complex64"),
    "bool.pt": (to_torch(torch.ones(2, 2, dtype=torch.bool)), "torch.bool"),
    "sparse.pt": (to_torch(torch.eye(2).to_sparse()), "more than tensors"),
    "list.pt": (to_torch([torch.eye(2), torch.eye(3)]), "one matrix"),
    "two.pt": (to_torch({"A": torch.eye(2), "B": torch.eye(2)}), r"one matrix.*A \(2, 2\), B \(2, 2\)"),
    "nothing.pt": (to_torch({"step": 3}), "found nothing"),
    "truncated.pt": (to_torch(torch.ones(40, 40))[:-200], "cannot read"),
    "two.npz": (
        saved(lambda buffer, value: np.savez(buffer, A=value, B=value), np.eye(2)),
        r"one matrix.*A \(2, 2\), B \(2, 2\)",
    ),
    "truncated.npz": (saved(lambda buffer, value: np.savez(buffer, value), np.eye(20))[:-50], "cannot read"),
    "saved.mat": (b"MATLAB 5.0 MAT-file", "scipy.io.loadmat and save the array with numpy.save"),
    "new.mat": (b"\x89HDF\r\n\x1a\n", "read it with h5py"),
    "sheet.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save the sheet as CSV"),
    "page.html": (b"<!DOCTYPE html>", "web page"),
    "array.pkl": (pickle.dumps(np.eye(2)), "Python pickle"),
    "pointer.pt": (b"version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
    "picture.png": (b"\x89PNG\r\n\x1a\n", "picture"),
    "words.json": (b'{"names": ["a", "b"]}', "found nothing"),
    "deep.json": (b"[" * 100_000, "JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_matrices(tmp_path: Path, name: str):
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_matrix(tmp_path / name)
    text = str(caught.value)
    assert str(tmp_path / name) in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["m.npy", "m.npz", "m.pt"])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, name: str):
    export(Directions(torch.eye(2)), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for length in range(0, len(whole) - 1, 13):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(UserError):
            read_matrix(tmp_path / name)


def test_missing_matrices(tmp_path: Path):
    (tmp_path / "cones.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"did you mean 'cones\.npy'"):
        read_matrix(tmp_path / "cone.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        read_matrix(tmp_path / "folder.npy")


def test_bad_imports(tmp_path: Path):
    path = tmp_path / "m.csv"
    for content, options, message in [
        ("1,2\n2,4\n", {}, "m.csv: row 1 of A"),
        ("1\n2\n", {}, "m.csv: 2 directions in 1 dimensions"),
        ("1,2\n2,3\n", {"names": ["a"]}, "1 names for 2 directions"),
        ("1,2\n2,3\n", {"names": ["a", "A"]}, "direction 0 is already called"),
        ("1,2\n2,3\n", {"orthogonalize": "svd"}, "unknown orthonormalisation 'svd'"),
    ]:
        path.write_text(content)
        with pytest.raises(UserError, match=message):
            import_matrix(path, **options)


def test_bad_exports(tmp_path: Path):
    directions = Directions(torch.eye(2))
    for name in ("m.txt", "m", "m.safetensors", "m.pth"):
        with pytest.raises(UserError, match="is not a matrix file"):
            export(directions, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
