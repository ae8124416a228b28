"""Import and export of bare matrices: .npy, .npz, .pt and .csv."""

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
from jaxtyping import Float32
from torch import Tensor

from biggan_discovery.directions.directions import SUFFIX, Directions
from biggan_discovery.directions.orthonormalize import orthonormalize
from biggan_discovery.directions.space import pad
from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write, existing_file

_NPZ_KEY = "directions"
_GANSPACE_KEY = "lat_comp"  # Components in the latent space; the file also has components of the activations.
_ORTHONORMAL_TOLERANCE = 1e-6


def export(directions: Directions, path: str | os.PathLike[str], raw: bool = False) -> None:
    """Write Q as a bare matrix, in the format given by the suffix of `path`.

    .npy; .npz with one array "directions"; .pt, a bare tensor; .csv, one row per direction without a header, with the
    shortest decimals that round-trip to the same float32. All formats are lossless.

    Args:
        directions: directions to write.
        path: file name that ends in .npy, .npz, .pt or .csv.
        raw: write the raw matrix A instead of Q, restricted to the coordinates that were searched, as expected by the
            scripts of the papers: a search in one third of a z with 120 coordinates gives (ndirs, 40).

    Raises:
        UserError: If the suffix is unknown or the folder is not writable.
        OSError: If writing fails; an existing file is left unchanged.

    Example:
        >>> export(Directions.load("scenes-64"), "scenes-64.npy")
    """
    matrix = directions.A[:, directions.search_space].contiguous() if raw else directions.Q
    encode = _ENCODERS[_known_suffix(path, _ENCODERS)]
    atomic_write(path, encode(matrix))


def read_matrix(path: str | os.PathLike[str]) -> Float32[Tensor, "rows columns"]:
    """Read a bare matrix written by any tool, without executing code.

    Args:
        path: a .npy file; a .npz file with a single matrix, a matrix called "directions", or GANSpace's components in
            the latent space; a .pt or .pth file in either of PyTorch's formats, with a tensor or a dict that contains
            one matrix; or a .csv file of numbers without a header.

    Returns:
        (rows, columns) float32 on the CPU, finite.

    Raises:
        UserError: If the file does not exist, is damaged, contains code, or has no finite real matrix.

    Example:
        >>> np.save("matrix.npy", np.eye(2, 128))
        >>> read_matrix("matrix.npy").shape
        torch.Size([2, 128])
    """
    decode = _DECODERS[_known_suffix(path, _DECODERS)]
    content = existing_file(path).read_bytes()
    try:
        matrix = decode(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # Decoders raise almost any exception on damaged bytes.
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise UserError(
            f"cannot read {path}: it is damaged, or does not have the format of its suffix ({reason})"
        ) from error
    if matrix.ndim != 2 or not matrix.numel():
        raise UserError(f"{path} contains an array of shape {tuple(matrix.shape)}; expected a matrix (ndirs, z_dim)")
    if not matrix.isfinite().all():
        raise UserError(f"{path} contains nan, infinite or too large numbers; all must be finite in float32")
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
    """Create directions from a bare matrix A, with Q its orthonormalised rows.

    Rows that are orthonormal to within 1e-6 are kept bit for bit, so that a round trip through `export` is exact.
    Others are orthonormalised in order; see `orthonormalize`.

    Args:
        path: see `read_matrix`.
        orthogonalize: "qr", "gram-schmidt", or "none" to keep the rows unchanged.
        orthonormal: declare that the rows are orthonormal to within 1e-4; they are kept unchanged.
        space: coordinates of z that the columns belong to; directions are zero in the others. Defaults to all.
        z_dim: size of a latent. Defaults to the number of columns.
        names: one name per direction. Defaults to none.
        metadata: additional metadata, for example the generator; see `Directions`.

    Returns:
        The directions, not saved.

    Raises:
        UserError: If the matrix cannot be read, has linearly dependent rows or the wrong number of columns, or names
            are invalid.

    Example:
        >>> np.save("matrix.npy", np.eye(2, 128))
        >>> import_matrix("matrix.npy", names=["zoom", "rotation"])
        Directions(2 × 128, 2 named)
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
            raise UserError(f"{len(names)} names for {len(A)} directions; give one each, empty for unnamed directions")
        for index, name in enumerate(names):
            directions.rename(index, name)
    return directions


def _columns(A: Float32[Tensor, "ndirs columns"], space: slice, z_dim: int) -> Float32[Tensor, "ndirs coordinates"]:
    """Columns of A that belong to the space. Rows over all of z must be zero elsewhere."""
    width = space.stop - space.start
    if A.shape[1] == width:
        return A
    if A.shape[1] != z_dim:
        chosen = "" if width == z_dim else f", of which these layers see {width}"
        raise UserError(f"its rows have {A.shape[1]} entries, but z has {z_dim}{chosen}")
    within = A[:, space]
    if torch.count_nonzero(A) > torch.count_nonzero(within):
        raise UserError(
            f"its rows are not zero outside of z[{space.start}:{space.stop}], the coordinates that these layers see"
        )
    return within


def _is_orthonormal(A: Float32[Tensor, "ndirs columns"]) -> bool:
    exact = A.double()
    identity = torch.eye(len(A), dtype=torch.float64)
    return bool(((exact @ exact.T - identity).abs() <= _ORTHONORMAL_TOLERANCE).all())


def _known_suffix(path: str | os.PathLike[str], known: Collection[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in known:
        hint = f"; {SUFFIX} is the format of directions files" if suffix == SUFFIX else ""
        raise UserError(f"{path} is not a matrix file; use {', '.join(known)}{hint}")
    return suffix


def _encode_npy(matrix: Float32[Tensor, "rows columns"]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, matrix.numpy(), allow_pickle=False)
    return buffer.getvalue()


def _encode_npz(matrix: Float32[Tensor, "rows columns"]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, directions=matrix.numpy())
    return buffer.getvalue()


def _encode_pt(matrix: Float32[Tensor, "rows columns"]) -> bytes:
    buffer = io.BytesIO()
    torch.save(matrix, buffer)
    return buffer.getvalue()


def _encode_csv(matrix: Float32[Tensor, "rows columns"]) -> bytes:
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
            warnings.simplefilter("ignore")  # about pickle protocols
            value = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's message recommends loading the file unsafely.
        raise UserError("it is damaged, or contains Python objects besides tensors, which could run code") from error
    if isinstance(value, dict):
        value = _only_matrix({str(name): each for name, each in value.items() if isinstance(each, Tensor)})
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        raise UserError(f"it contains a {type(value).__name__}; expected a dense tensor")
    if value.is_complex() or value.dtype == torch.bool:
        raise UserError(f"its tensor is {value.dtype}; expected real numbers")
    return value.detach().to("cpu", torch.float32, copy=True)


def _decode_csv(content: bytes) -> Tensor:
    rows: list[list[float]] = []
    for number, line in enumerate(content.decode("utf-8-sig").splitlines(), start=1):
        if line.strip():
            rows.append([_number(cell, number, column) for column, cell in enumerate(line.split(","), start=1)])
            if len(rows[-1]) != len(rows[0]):
                raise UserError(
                    f"line {number} has {len(rows[-1])} numbers, but the first has {len(rows[0])}; they must be equal"
                )
    if not rows:
        raise UserError("it is empty; expected one row of numbers per direction")
    return torch.tensor(rows, dtype=torch.float64).float()


def _number(cell: str, line: int, column: int) -> float:
    try:
        return float(cell)
    except ValueError as error:
        raise UserError(f"line {line}, column {column} is {cell.strip()[:40]!r}; expected a number") from error


def _only_matrix(arrays: dict[str, Any]) -> Any:
    matrices = {name: array for name, array in arrays.items() if array.ndim == 2}
    if _NPZ_KEY in matrices:
        return matrices[_NPZ_KEY]
    if len(matrices) != 1:
        found = ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items()) or "nothing"
        raise UserError(f"it must contain one matrix, or one called {_NPZ_KEY!r}; found {found[:200]}")
    return next(iter(matrices.values()))


def _from_array(array: Any) -> Tensor:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise UserError(f"it contains {getattr(array, 'dtype', type(array).__name__)}; expected real numbers")
    with np.errstate(over="ignore"):  # Overflow gives infinity, which `read_matrix` reports.
        return torch.from_numpy(array.astype(np.float32, order="C"))


_ENCODERS = {".npy": _encode_npy, ".npz": _encode_npz, ".pt": _encode_pt, ".csv": _encode_csv}
_DECODERS = {".npy": _decode_npy, ".npz": _decode_npz, ".pt": _decode_pt, ".pth": _decode_pt, ".csv": _decode_csv}
