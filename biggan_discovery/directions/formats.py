"""Bare matrices in other tools' formats: .npy, .npz, .pt and .csv."""

from __future__ import annotations

import io
import os
import pickle
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions.directions import SUFFIX, Directions
from biggan_discovery.directions.orthonormalize import orthonormalize
from biggan_discovery.directions.space import pad
from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write, existing_file

_NPZ_KEY = "directions"
_GANSPACE_KEY = "lat_comp"  # Components in the latent space, beside those of the activations.
_AS_GOOD_AS_ORTHONORMAL = 1e-6


def export(directions: Directions, path: str | os.PathLike[str], raw: bool = False) -> None:
    """Write Q as a bare matrix, in the format that the suffix of `path` names.

    .npy; .npz with one array "directions"; .pt, a bare tensor; .csv, a row per direction without a header, with the
    fewest digits that give back the same float32. All read back exactly.

    Args:
        directions: what to write.
        path: a file name that ends in .npy, .npz, .pt or .csv.
        raw: write the raw matrix A instead of Q, and of it only the coordinates that were searched, as the papers'
            scripts read it: a search in one third of z with 120 coordinates gives (ndirs, 40).

    Raises:
        UserError: for another suffix, or a folder that cannot be written.
        OSError: where writing fails; a file that was there before is then as it was.
    """
    matrix = directions.A[:, directions.search_space].contiguous() if raw else directions.Q
    encode = _ENCODERS[_known_suffix(path, _ENCODERS)]
    atomic_write(path, encode(matrix))


def read_matrix(path: str | os.PathLike[str]) -> Tensor:
    """Read a bare matrix, whatever tool wrote it; nothing in the file is executed.

    Args:
        path: a .npy; a .npz whose only matrix, or whose "directions", it is, or a .npz of GANSpace, for its components
            in the latent space; a .pt or .pth in either of PyTorch's formats, a tensor or a dict with one matrix in
            it; or a .csv of numbers without a header.

    Returns:
        (rows, columns), float32, finite, on the CPU.

    Raises:
        UserError: where the file is missing, damaged, carries code, or holds no finite real matrix.
    """
    decode = _DECODERS[_known_suffix(path, _DECODERS)]
    content = existing_file(path).read_bytes()
    try:
        matrix = decode(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # on damaged bytes the decoders raise almost anything
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise UserError(f"cannot read {path}: damaged, or not what its name says ({reason})") from error
    if matrix.ndim != 2 or not matrix.numel():
        raise UserError(f"{path} holds an array of shape {tuple(matrix.shape)}; directions are a matrix (ndirs, z_dim)")
    if not matrix.isfinite().all():
        raise UserError(f"{path} holds nan, infinite or too large numbers; all must be finite in float32")
    return matrix


def import_matrix(
    path: str | os.PathLike[str],
    *,
    orthogonalize: str = "qr",
    orthonormal: bool = False,
    space: slice | None = None,
    z_dim: int | None = None,
    names: Sequence[str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> Directions:
    """Directions from a bare matrix: A is the matrix, Q its orthonormal rows.

    Rows that are orthonormal to 1e-6 already are kept as they are, bit for bit, so that what `export` wrote comes back
    the same; others are made so, first row first.

    Args:
        path: see `read_matrix`.
        orthogonalize: "qr", "gram-schmidt", or "none" to take the rows as they are.
        orthonormal: state that the rows are orthonormal, to 1e-4; they are kept as they are.
        space: the coordinates of z that the columns are for; in the others the directions are zero.
        z_dim: length of z; the number of columns where None.
        names: one per direction.
        metadata: what else is known, for example the generator; see `Directions`.

    Returns:
        The directions, not yet saved.

    Raises:
        UserError: where the matrix cannot be read, has dependent rows or other columns, or the names do not fit.
    """
    A = read_matrix(path)
    z_dim = A.shape[1] if z_dim is None else z_dim
    space = space or slice(0, z_dim)
    metadata = {
        "method": "import",
        "source": Path(path).name,
        "z_dim": z_dim,
        "search_space": [space.start, space.stop],
        **(metadata or {}),
        "settings": {"orthogonalize": orthogonalize, **(metadata or {}).get("settings", {})},
    }
    try:
        A = _columns(A, space, z_dim)
        Q = A if orthonormal or _is_orthonormal(A) else orthonormalize(A, orthogonalize)
        directions = Directions(pad(A, space, z_dim), pad(Q, space, z_dim), metadata)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if names is not None:
        if len(names) != len(A):
            raise UserError(f"{len(names)} names for {len(A)} directions; give one each, empty for none")
        for index, name in enumerate(names):
            directions.rename(index, name)
    return directions


def _columns(A: Tensor, space: slice, z_dim: int) -> Tensor:
    """The columns of A that are for the space: all of them, or, of rows over all of z, those that are not zero."""
    width = space.stop - space.start
    if A.shape[1] == width:
        return A
    if A.shape[1] != z_dim:
        chosen = "" if width == z_dim else f", and the layers see {width} of them"
        raise UserError(f"it has rows of {A.shape[1]} numbers; z has {z_dim}{chosen}")
    within = A[:, space]
    if torch.count_nonzero(A) > torch.count_nonzero(within):
        raise UserError(f"its rows are not zero outside of z[{space.start}:{space.stop}], which the layers see")
    return within


def _is_orthonormal(A: Tensor) -> bool:
    exact = A.double()
    identity = torch.eye(len(A), dtype=torch.float64)
    return bool(((exact @ exact.T - identity).abs() <= _AS_GOOD_AS_ORTHONORMAL).all())


def _known_suffix(path: str | os.PathLike[str], known: Collection[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in known:
        already = f"; {SUFFIX} is the format of directions files themselves" if suffix == SUFFIX else ""
        raise UserError(f"{path} is not called like a matrix, which is {', '.join(known)}{already}")
    return suffix


def _encode_npy(matrix: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, matrix.numpy(), allow_pickle=False)
    return buffer.getvalue()


def _encode_npz(matrix: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, directions=matrix.numpy())
    return buffer.getvalue()


def _encode_pt(matrix: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.save(matrix, buffer)
    return buffer.getvalue()


def _encode_csv(matrix: Tensor) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in matrix.numpy()).encode()  # str(float32) is exact


def _decode_npy(content: bytes) -> Tensor:
    return _from_array(np.lib.format.read_array(io.BytesIO(content), allow_pickle=False))


def _decode_npz(content: bytes) -> Tensor:
    with np.lib.npyio.NpzFile(io.BytesIO(content), allow_pickle=False) as archive:
        if _GANSPACE_KEY in archive.files:
            components = archive[_GANSPACE_KEY]  # (n, 1, z_dim)
            return _from_array(components.squeeze(1) if components.ndim == 3 else components)
        return _from_array(_only_matrix({name: archive[name] for name in archive.files}))


def _decode_pt(content: bytes) -> Tensor:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what matters is whether there is a matrix
            value = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own message advises to load the file unsafely.
        raise UserError("it is damaged, or holds Python objects beside tensors, which could run code") from error
    if isinstance(value, dict):
        value = _only_matrix({str(name): each for name, each in value.items() if isinstance(each, Tensor)})
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        raise UserError(f"it holds a {type(value).__name__}; a dense tensor is needed")
    if value.is_complex() or value.dtype == torch.bool:
        raise UserError(f"its tensor is {value.dtype}; directions are real numbers")
    return value.detach().to("cpu", torch.float32, copy=True)


def _decode_csv(content: bytes) -> Tensor:
    rows: list[list[float]] = []
    for number, line in enumerate(content.decode("utf-8-sig").splitlines(), start=1):
        if line.strip():
            rows.append([_number(cell, number, column) for column, cell in enumerate(line.split(","), start=1)])
            if len(rows[-1]) != len(rows[0]):
                raise UserError(f"line {number} has {len(rows[-1])} numbers, the first {len(rows[0])}; all must agree")
    if not rows:
        raise UserError("it is empty; a row of numbers per direction is needed")
    return torch.tensor(rows, dtype=torch.float64).float()


def _number(cell: str, line: int, column: int) -> float:
    try:
        return float(cell)
    except ValueError as error:
        raise UserError(f"line {line}, column {column} is {cell.strip()[:40]!r}; a number is needed") from error


def _only_matrix(arrays: dict[str, Any]) -> Any:
    matrices = {name: array for name, array in arrays.items() if array.ndim == 2}
    if _NPZ_KEY in matrices:
        return matrices[_NPZ_KEY]
    if len(matrices) != 1:
        found = ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items()) or "nothing"
        raise UserError(f"it must hold one matrix, or one called {_NPZ_KEY!r}; it holds {found[:200]}")
    return next(iter(matrices.values()))


def _from_array(array: Any) -> Tensor:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise UserError(f"it holds {getattr(array, 'dtype', type(array).__name__)}; directions are real numbers")
    with np.errstate(over="ignore"):  # an overflow becomes infinite, which is refused by name
        return torch.from_numpy(array.astype(np.float32, order="C"))


_ENCODERS = {".npy": _encode_npy, ".npz": _encode_npz, ".pt": _encode_pt, ".csv": _encode_csv}
_DECODERS = {".npy": _decode_npy, ".npz": _decode_npz, ".pt": _decode_pt, ".pth": _decode_pt, ".csv": _decode_csv}
