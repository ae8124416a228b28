"""Matrices of directions in files of any tool: which tensor it is, and whether directions are its rows or columns."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.files import existing_file
from biggan_discovery.reading.content import Content, read_content
from biggan_discovery.reading.limits import MOST_NUMBERS, check_shape
from biggan_discovery.reading.source import open_place

_NAMED = ("directions", "lat_comp")  # Ours, and GANSpace's components in the latent space beside those of activations.
_COLUMNS = re.compile(r"(.*[._-])?(e(ig|igen)?_?-?vec(tor)?s?(_-?t)?|columns?|v|u)", re.IGNORECASE)
_LINEAR, _ORTHOGONAL, _NONLINEAR = "linear.weight", "log_mat_half", "fc1.weight"
_LARGEST_EXPONENT = 1024
_VOYNOV = "of Voynov & Babenko's deformator"


@dataclass(frozen=True)
class Matrix:
    """A matrix of directions.

    Attributes:
        A: (ndirs, columns) float32 on the CPU, finite; a direction in each row.
        names: one per direction, "" for none; () if the file has no names.
        account: which tensor was read, its shape, and whether directions are its rows or its columns, for people.
        guess: why its columns were taken where its rows could be the directions as well; "" otherwise.
    """

    A: Float32[Tensor, "ndirs columns"]
    names: tuple[str, ...]
    account: str
    guess: str = ""


@dataclass(frozen=True)
class _Chosen:
    """A tensor of a file, as it is there."""

    name: str
    tensor: Tensor
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    of: str = ""
    in_columns: bool = False


def read_matrix(path: str | os.PathLike[str], *, transpose: bool | None = None) -> Float32[Tensor, "ndirs columns"]:
    """The rows of `find_matrix`.

    Example:
        >>> np.save("matrix.npy", np.eye(2, 128))
        >>> read_matrix("matrix.npy").shape
        torch.Size([2, 128])
    """
    return find_matrix(path, transpose=transpose).A


def find_matrix(path: str | os.PathLike[str], *, widths: Collection[int] = (), transpose: bool | None = None) -> Matrix:
    """Read a matrix of directions that any tool wrote, without executing code.

    The file may be a .npy or .npz file, a torch file of either format, safetensors, JSON, or a table of numbers; its
    suffix does not matter. It may hold one matrix, a list of vectors, vectors by name, or one matrix among others that
    is called "directions" or, by GANSpace, "lat_comp"; nested in dicts, and with axes of size 1. Of Voynov & Babenko's
    deformators, directions are the columns of linear.weight, or those of exp(H - Hᵀ) for H = log_mat_half. A matrix of
    eigenvectors by its name holds them in columns.

    Args:
        path: the file.
        widths: numbers of entries that a direction can have. Defaults to any.
        transpose: True if directions are the columns of the matrix in the file, False if they are its rows. Defaults to
            what its name and `widths` tell, or else to rows.

    Raises:
        UserError: If the file does not exist, is damaged, too large, contains code, or has no finite real matrix; if
            several tensors could be the matrix, they are named.

    Example:
        >>> torch.save({"smile": torch.ones(128), "age": torch.zeros(128)}, "vectors.pt")
        >>> find_matrix("vectors.pt").names
        ('smile', 'age')
    """
    path = existing_file(path)
    try:
        with open_place(path) as file:
            content = read_content(file, MOST_NUMBERS)
        chosen = _choose(content, widths)
        check_shape(chosen.tensor.shape, MOST_NUMBERS, chosen.name or "its matrix")
        return _oriented(chosen, content, widths, transpose)
    except UserError as error:
        text = str(error)
        raise UserError(
            text if text.startswith((str(path), "cannot read")) else f"cannot read {path}: {text}"
        ) from error


def _choose(content: Content, widths: Collection[int]) -> _Chosen:
    arrays = {name: tensor for name, tensor in content.arrays().items() if tensor.numel()}
    if {"A", "Q"} <= arrays.keys() and content.form.startswith("safetensors"):
        raise UserError("it is a directions file already; use it as it is")
    known = _of_deformator(arrays)
    if known is not None:
        return known
    for name in _NAMED:
        for path, tensor in arrays.items():
            if path.rpartition("/")[2] == name:
                return _Chosen(path, _real(_two_axes(tensor)))
    matrices = {name: _two_axes(tensor) for name, tensor in arrays.items() if _two_axes(tensor).ndim >= 2}
    if len(matrices) > 1:
        fitting = {name: each for name, each in matrices.items() if each.ndim == 2 and each.shape[1] in widths}
        matrices = fitting if len(fitting) == 1 else matrices
    if len(matrices) == 1:
        name, tensor = next(iter(matrices.items()))
        table = content.table
        if table is not None:
            left_out = f", without {' and '.join(table.left_out)}" if table.left_out else ""
            return _Chosen(name, _real(tensor), table.rows, table.columns, left_out)
        return _Chosen(name, _real(tensor))
    vectors = {name: tensor for name, tensor in arrays.items() if tensor.ndim == 1}
    if not matrices and vectors and len({len(vector) for vector in vectors.values()}) == 1:
        parts = {name.rpartition("/")[2]: _real(vector) for name, vector in vectors.items()}
        if len(parts) == len(vectors):
            check_shape((len(parts), len(next(iter(parts.values())))), MOST_NUMBERS, "its vectors")
            names = tuple("" if name.isdigit() else name for name in parts)
            return _Chosen("", torch.stack([vector.double() for vector in parts.values()]), names)
    raise UserError(f"it must contain one matrix, or one called 'directions'; found {content.seen()}")


def _of_deformator(arrays: dict[str, Tensor]) -> _Chosen | None:
    """The directions of a deformator (Voynov & Babenko 2020), known by the names of its tensors."""
    for path, tensor in arrays.items():
        beside = {other.removesuffix("bias") for other in arrays if other.endswith("linear.bias")}
        if path.endswith(_NONLINEAR) and any(other.endswith("fc4.weight") for other in arrays):
            raise UserError("it is a deformator with several layers, which has no fixed directions")
        if path.endswith(_ORTHOGONAL) and tensor.ndim == 2 and tensor.shape[0] == tensor.shape[1]:
            check_shape(tensor.shape, _LARGEST_EXPONENT**2, path)
            half = _real(tensor).double()
            if not half.isfinite().all():
                raise UserError(f"{path} contains nan or infinite numbers")
            return _Chosen(
                f"exp(H - Hᵀ) of H = {path}", torch.matrix_exp(half - half.T), of=f" {_VOYNOV}", in_columns=True
            )
        alone = len(arrays) == 1 + bool(beside)
        if path.endswith(_LINEAR) and tensor.ndim == 2 and alone:
            return _Chosen(path, _real(tensor), of=f" {_VOYNOV}", in_columns=True)
    return None


def _two_axes(tensor: Tensor) -> Tensor:
    """The tensor without axes of size 1, as long as it has more than two axes."""
    while tensor.ndim > 2 and 1 in tensor.shape:
        tensor = tensor.squeeze(list(tensor.shape).index(1))
    return tensor


def _real(tensor: Tensor) -> Tensor:
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise UserError(f"its tensor is {tensor.dtype}; expected real numbers")
    return tensor


def _oriented(chosen: _Chosen, content: Content, widths: Collection[int], transpose: bool | None) -> Matrix:
    """The matrix with a direction in each row."""
    tensor = chosen.tensor[None] if chosen.tensor.ndim == 1 else chosen.tensor
    if tensor.ndim != 2:
        raise UserError(f"it contains an array of shape {tuple(tensor.shape)}; expected a matrix (ndirs, z_dim)")
    rows, columns = tensor.shape
    by_name = chosen.in_columns or _COLUMNS.fullmatch(chosen.name.rpartition("/")[2]) is not None
    only_rows, only_columns = columns in widths and rows not in widths, rows in widths and columns not in widths
    in_columns, why, guess = transpose or False, "", ""
    if transpose is None and (only_rows or only_columns):
        in_columns = only_columns
        why = f", as only they have {rows if only_columns else columns} entries" if only_columns or by_name else ""
    elif transpose is None and by_name:
        in_columns = True
        if not chosen.in_columns:
            guess = f"by its name, the columns of {chosen.name} are the directions; --no-transpose takes its rows"
    matrix = (tensor.T if in_columns else tensor).to(torch.float32).contiguous()
    if not matrix.isfinite().all():
        raise UserError("it contains nan, infinite or too large numbers; all must be finite in float32")
    account = (
        f"{chosen.name or 'the matrix'}{chosen.of} ({rows} × {columns}, {content.form}): its "
        f"{'columns' if in_columns else 'rows'} are the directions{why}"
    )
    return Matrix(matrix.clone(), chosen.columns if in_columns else chosen.rows, account, guess)
