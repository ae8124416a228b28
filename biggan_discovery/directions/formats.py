"""Import of matrices of any tool, and export as .npy, .npz, .pt and .csv."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from biggan_discovery.directions.directions import SUFFIX, Directions
from biggan_discovery.directions.matrices import find_matrix
from biggan_discovery.directions.orthonormalize import orthonormalize
from biggan_discovery.directions.space import pad
from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write

_ORTHONORMAL_TOLERANCE = 1e-6
_LEAST_TURN = 1.0  # Degrees that are worth a word.
_log = logging.getLogger(__name__)


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
    encode = _ENCODERS[_known_suffix(path)]
    atomic_write(path, encode(matrix))


def import_matrix(
    path: str | os.PathLike[str],
    *,
    orthogonalize: str = "qr",
    orthonormal: bool = False,
    transpose: bool | None = None,
    space: slice | None = None,
    z_dim: int | None = None,
    names: Sequence[str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> Directions:
    """Create directions from a matrix A that any tool wrote, with Q its orthonormalised rows.

    Rows that are orthonormal to within 1e-6 are kept bit for bit, so that a round trip through `export` is exact.
    Others are orthonormalised in order, see `orthonormalize`; a warning is logged that says how far that turned them.
    The metadata's "read_as" says what was read.

    Args:
        path: see `find_matrix`.
        orthogonalize: "qr", "gram-schmidt", or "none" to keep the rows unchanged.
        orthonormal: declare that the rows are orthonormal to within 1e-4; they are kept unchanged.
        transpose: True if directions are the columns of the matrix in the file, False if they are its rows. Defaults to
            what is known of the file; see `find_matrix`.
        space: coordinates of z that the columns belong to; directions are zero in the others. Defaults to all.
        z_dim: size of a latent. Defaults to the number of columns.
        names: one name per direction. Defaults to those in the file.
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
    widths = {z_dim, z_dim if space is None else space.stop - space.start} if z_dim is not None else set()
    matrix = find_matrix(path, widths=widths, transpose=transpose)
    A = matrix.A
    z_dim = A.shape[1] if z_dim is None else z_dim
    space = space or slice(0, z_dim)
    metadata = {
        "method": "import",
        "source": Path(path).name,
        "read_as": matrix.account,
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
        hint = "; if directions are its columns, use --transpose" * (transpose is None and A.shape[0] > A.shape[1])
        raise UserError(f"{path}: {error}{hint}") from error
    if matrix.guess:
        _log.warning("%s", matrix.guess)
    _say_turns(A, Q, published="preset" in metadata)
    _name(directions, names, matrix.names)
    return directions


def _say_turns(A: Float32[Tensor, "ndirs columns"], Q: Float32[Tensor, "ndirs columns"], *, published: bool) -> None:
    """Log how far the rows of Q are from those of A, unless that is how the authors of A use it."""
    cosines = torch.nn.functional.cosine_similarity(A.double(), Q.double(), dim=1).clamp(-1, 1)
    degrees = cosines.arccos().rad2deg()
    if published or degrees.max() < _LEAST_TURN:
        return
    turned = int((degrees >= _LEAST_TURN).sum())
    _log.warning(
        "%d of %d rows were turned to make all orthogonal, row %d the most, by %.0f°; --orthogonalize none keeps them",
        turned,
        len(A),
        int(degrees.argmax()),
        float(degrees.max()),
    )


def _name(directions: Directions, names: Sequence[str] | None, in_file: Sequence[str]) -> None:
    if names is not None and len(names) != len(directions):
        raise UserError(
            f"{len(names)} names for {len(directions)} directions; give one each, empty for unnamed directions"
        )
    refused = []
    for index, name in enumerate(names or in_file):
        try:
            directions.rename(index, name)
        except UserError:
            if names is not None:
                raise
            refused.append(name)
    if refused:
        _log.warning("%d names in the file cannot be names of directions, such as %.60r", len(refused), refused[0])


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
    if len(A) > A.shape[1]:
        return False
    exact = A.double()
    identity = torch.eye(len(A), dtype=torch.float64)
    return bool(((exact @ exact.T - identity).abs() <= _ORTHONORMAL_TOLERANCE).all())


def _known_suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in _ENCODERS:
        hint = f"; {SUFFIX} is the format of directions files" if suffix == SUFFIX else ""
        raise UserError(f"{path} is not a matrix file; use {', '.join(_ENCODERS)}{hint}")
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


_ENCODERS = {".npy": _encode_npy, ".npz": _encode_npz, ".pt": _encode_pt, ".csv": _encode_csv}
