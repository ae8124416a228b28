"""Directions in the latent space of a generator, and the file that holds them."""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from biggan_discovery.directions.orthonormalize import orthonormalize
from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.files import HEADER, atomic_write, existing_file

FORMAT = 1
SUFFIX = ".safetensors"
_NUMBER = re.compile(r"[+-]?\d{1,18}")
_FARTHEST_FROM_ORTHONORMAL = 1e-4


class Directions:
    """Directions that a search found or that were imported, with all that is known about them.

    Attributes:
        A: (ndirs, z_dim) float32 on the CPU, the raw matrix.
        Q: (ndirs, z_dim) float32 on the CPU, the directions themselves: orthonormal rows made from A.
        metadata: JSON-able settings and origins, such as "generator", "classes", "settings", "layers"; only "format",
            "names" and "notes" are sure to be there.
        source: the file that they were read from, or "the directions"; what messages call them.

    Args:
        A: (ndirs, z_dim), any floating type, finite.
        Q: the same shape; `orthonormalize(A)` where None. Its rows must be orthonormal unless
            `metadata["settings"]["orthogonalize"]` is "none".
        metadata: copied; "names" and "notes" are lists of ndirs texts, empty where there is none.

    Raises:
        UserError: where the matrices or the metadata are not so.
    """

    def __init__(self, A: Tensor, Q: Tensor | None = None, metadata: dict[str, Any] | None = None):
        if Q is None:
            Q = orthonormalize(A.detach())
        for letter, matrix in (("A", A), ("Q", Q)):
            _check_matrix(letter, matrix)
        if A.shape != Q.shape:
            raise UserError(f"A has shape {tuple(A.shape)} and Q {tuple(Q.shape)}; they must be the same")
        self.A = A.detach().to("cpu", torch.float32, copy=True).contiguous()
        self.Q = Q.detach().to("cpu", torch.float32, copy=True).contiguous()
        self.source = "the directions"
        self.metadata: dict[str, Any] = {"format": FORMAT, **copy.deepcopy(metadata or {})}
        for key in ("names", "notes"):
            self.metadata.setdefault(key, [""] * len(A))
        _check_metadata(self.metadata, len(A))
        if self.metadata.get("settings", {}).get("orthogonalize") != "none":
            _check_orthonormal(self.Q)

    def __len__(self) -> int:
        return len(self.Q)

    def __repr__(self) -> str:
        of = f" of {self.metadata['generator']}" if self.metadata.get("generator") else ""
        named = sum(map(bool, self.names))
        return f"Directions({len(self)} × {self.z_dim}{of}, {named} named)"

    @property
    def z_dim(self) -> int:
        """Length of z."""
        return self.Q.shape[1]

    @property
    def names(self) -> list[str]:
        """One name per direction, empty where it has none."""
        return self.metadata["names"]

    @property
    def notes(self) -> list[str]:
        """One note per direction, empty where there is none."""
        return self.metadata["notes"]

    @property
    def layers(self) -> str:
        """Which layers of the generator the directions are for, see `parse_layers`; "all" where the file does not say.

        Raises:
            UserError: where the metadata holds something else than a text.
        """
        layers = self.metadata.get("layers") or "all"
        if not isinstance(layers, str):
            raise UserError(f"layers must be a text such as all or mid; found {_short(layers)}")
        return layers

    @property
    def search_space(self) -> slice:
        """The coordinates of z that the directions may have; they are zero in the others.

        Raises:
            UserError: where the metadata holds something else than a range of coordinates.
        """
        ends = self.metadata.get("search_space", [0, self.z_dim])
        if isinstance(ends, list) and len(ends) == 2 and all(type(end) is int for end in ends):
            first, end = ends
            if 0 <= first < end <= self.z_dim:
                return slice(first, end)
        raise UserError(f"search_space must be [first, end] with 0 ≤ first < end ≤ {self.z_dim}; found {_short(ends)}")

    def row(self, direction: int) -> Tensor:
        """Q[direction], (z_dim,).

        Raises:
            UserError: where there is no such direction.
        """
        self._check_index(direction)
        return self.Q[direction]

    def apply(self, z: Tensor, direction: int, amount: float | Tensor) -> Tensor:
        """z + amount · Q[direction]; differentiable.

        Args:
            z: (N, z_dim), or (N, num_layers, z_dim) to shift all layers alike.
            direction: 0 to ndirs - 1.
            amount: one number, or (N,) for one per sample.

        Returns:
            The shifted z, in the shape, type and device of z.

        Raises:
            UserError: where there is no such direction, or shapes do not match.
        """
        row = self.row(direction)
        if z.ndim < 2 or z.shape[-1] != self.z_dim:
            raise UserError(f"z has shape {tuple(z.shape)}; these directions are for (N, {self.z_dim})")
        amounts = torch.as_tensor(amount).to(z)
        if amounts.ndim and amounts.shape != z.shape[:1]:
            raise UserError(f"amount has shape {tuple(amounts.shape)}; give one number or one for each of {len(z)} z")
        return z + amounts.reshape(-1, *[1] * (z.ndim - 1)) * row.to(z)

    def rename(self, index: int, name: str) -> None:
        """Name a direction; an empty name takes the name away.

        Raises:
            UserError: where there is no such direction, the name is a number or not one printable line, or another
                direction has it.
        """
        self._check_index(index)
        name = name.strip()
        if _NUMBER.fullmatch(name) or not name.isprintable():
            raise UserError(f"a direction cannot be called {name!r}; a name is one line of text and not a number")
        others = [other for other, taken in enumerate(self.names) if taken and taken.casefold() == name.casefold()]
        if others and others != [index]:
            raise UserError(f"direction {others[0]} is already called {name!r}; give another name")
        self.names[index] = name

    def index(self, text: str) -> int:
        """The index of a direction given as its number, its name, or the beginning of its name if only one fits.

        Raises:
            UserError: where no direction, or more than one, is meant; with names that are nearly the same.
        """
        text = text.strip()
        if _NUMBER.fullmatch(text):
            index = int(text)
            self._check_index(index)
            return index
        folded, wanted = [name.casefold() for name in self.names], text.casefold()
        found = [i for i, name in enumerate(folded) if name and name == wanted]
        found = found or [i for i, name in enumerate(folded) if wanted and name.startswith(wanted)]
        if len(found) > 1:
            raise UserError(f"{text!r} is the beginning of {', '.join(f'{i} {self.names[i]!r}' for i in found)}")
        if not found:
            near = near_matches(text, filter(None, self.names))
            raise UserError(f"no direction is called {_short(text)}{near}; numbers are 0 to {len(self) - 1}")
        return found[0]

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise UserError(f"there is no direction {index}; these are 0 to {len(self) - 1}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a directions file: safetensors with A, Q and, as one JSON text in the header, the metadata.

        Raises:
            UserError: where the name does not end in .safetensors, the folder cannot be written, or the metadata is
                not JSON-able.
            OSError: where writing fails; a file that was there before is then as it was.
        """
        if Path(path).suffix.lower() != SUFFIX:
            raise UserError(f"cannot write {path}: a directions file is called something{SUFFIX}")
        _check_metadata(self.metadata, len(self))
        try:
            header = json.dumps(self.metadata)
        except (TypeError, ValueError) as error:
            raise UserError(f"the metadata of directions must be plain JSON values: {error}") from error
        atomic_write(path, safetensors.torch.save({"A": self.A, "Q": self.Q}, {HEADER: header}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Directions:
        """Read a directions file; nothing in it is executed. A round trip through `save` is exact.

        Raises:
            UserError: where there is no such file (naming near ones), or it is damaged, not a directions file, or
                of a newer format.
        """
        path = existing_file(path)
        try:
            directions = cls(*_read(path))
        except (safetensors.SafetensorError, OSError) as error:
            hint = "" if path.suffix.lower() == SUFFIX else "; `biggan-discovery import` reads .npy, .npz, .pt and .csv"
            raise UserError(f"{path} is not a directions file, or is damaged ({error}){hint}") from error
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        directions.source = str(path)
        return directions


def _read(path: Path) -> tuple[Tensor, Tensor, dict[str, Any]]:
    with safetensors.safe_open(path, framework="pt") as file:
        missing = [letter for letter in ("A", "Q") if letter not in file.keys()]  # noqa: SIM118
        header = (file.metadata() or {}).get(HEADER)
        if missing or header is None:
            lacks = [f"tensor {letter}" for letter in missing] + [f"header {HEADER!r}"] * (header is None)
            raise UserError(f"not a directions file: it has no {' and no '.join(lacks)}")
        try:
            metadata = json.loads(header)
        except (ValueError, RecursionError) as error:
            raise UserError(f"its header is not JSON ({error})") from error
        if not isinstance(metadata, dict) or not isinstance(metadata.get("format"), int):
            raise UserError("its header gives no format version; it is not a directions file of this project")
        if metadata["format"] > FORMAT:
            raise UserError(f"its format is {metadata['format']}, and this version reads up to {FORMAT}; update it")
        matrices = [file.get_tensor(letter) for letter in ("A", "Q")]
    for letter, matrix in zip("AQ", matrices, strict=True):
        if matrix.dtype != torch.float32:
            raise UserError(f"{letter} is {matrix.dtype}; a directions file has float32")
    return matrices[0], matrices[1], metadata


def _check_matrix(letter: str, matrix: Tensor) -> None:
    if matrix.ndim != 2 or not matrix.numel() or not matrix.is_floating_point():
        raise UserError(
            f"{letter} is a {matrix.dtype} tensor {tuple(matrix.shape)}; it must be (ndirs, z_dim), floating"
        )
    if not matrix.isfinite().all():
        raise UserError(f"{letter} holds nan or infinite entries")


def _check_metadata(metadata: dict[str, Any], ndirs: int) -> None:
    for key in ("names", "notes"):
        texts = metadata[key]
        if not isinstance(texts, list) or len(texts) != ndirs or not all(isinstance(text, str) for text in texts):
            raise UserError(f"{key} must be {ndirs} texts, one per direction; found {_short(texts)}")
    if not isinstance(metadata.get("settings", {}), dict):
        raise UserError(f"settings must be a table; found {_short(metadata['settings'])}")


def _check_orthonormal(Q: Tensor) -> None:
    exact = Q.double()
    error = (exact @ exact.T - torch.eye(len(Q), dtype=torch.float64)).abs().max().item()
    if error > _FARTHEST_FROM_ORTHONORMAL:
        raise UserError(f"the rows of Q are not orthonormal: QQᵀ differs from the identity by {error:.3g}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
