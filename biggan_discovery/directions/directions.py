"""Directions in the latent space of a generator, and their file format."""

from __future__ import annotations

import base64
import copy
import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float32, Num
from torch import Tensor

from biggan_discovery.directions.metadata import (
    ERROR_ANGLE,
    LONGEST_NOTE,
    STRENGTHS,
    TEXTS,
    THUMBNAIL,
    check_metadata,
    checked_name,
    checked_text,
    coordinates,
    is_number,
    short,
)
from biggan_discovery.directions.orthonormalize import orthonormalize
from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.files import HEADER, atomic_write, existing_file
from biggan_discovery.generators.catalogue import bundled_directions
from biggan_discovery.generators.hub import Address, is_address, local_file
from biggan_discovery.generators.layer_range import ALL, EACH
from biggan_discovery.json_text import well_formed
from biggan_discovery.memory import memory_errors_pass
from biggan_discovery.sealed import DamagedError, ForeignError, seal, unseal

FORMAT = 2  # 1 had no checksum.
SUFFIX = ".safetensors"
FILE = f"directions{SUFFIX}"
"""The name of a directions file that is not called otherwise."""
_BEGINNING = 4096  # bytes of a file, among which is the key of our header
MOST_ENTRIES = 2**26
"""Entries of the largest matrix that is read, (8192, 8192): 256 MiB."""
_FARTHEST_FROM_ORTHONORMAL = 1e-4
_ROWS_AT_ONCE = 1024
_MOST_SHOWN = 5


class Directions:
    """Directions found by a search or imported, with their metadata.

    Attributes:
        A: (ndirs, z_dim) float32 on the CPU, the raw matrix.
        Q: (ndirs, z_dim) float32 on the CPU, the directions: orthonormal rows computed from A.
        metadata: JSON-serialisable settings and provenance, such as "generator", "classes", "settings" and "layers".
            Only "format", "names" and "notes" are always present.
        source: the file that the directions were read from, or "the directions"; used in messages.

    Args:
        A: (ndirs, z_dim), any floating-point dtype, finite.
        Q: (ndirs, z_dim). Its rows must be orthonormal unless the setting "orthogonalize" in metadata is "none"; with
            metadata["direction_layers"], those of equal layers. Defaults to `orthonormalize(A)`.
        metadata: copied. "names" and "notes" are lists of ndirs strings, which may be empty.

    Raises:
        UserError: If the matrices or the metadata are invalid.

    Example:
        >>> found = Directions(torch.eye(2, 128))
        >>> found.rename(0, "zoom")
        >>> found
        Directions(2 × 128, 1 named)
    """

    A: Float32[Tensor, "ndirs z_dim"]
    Q: Float32[Tensor, "ndirs z_dim"]

    def __init__(
        self,
        A: Float[Tensor, "ndirs z_dim"],
        Q: Float[Tensor, "ndirs z_dim"] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
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
        check_metadata(self.metadata, len(A), self.z_dim)
        if self.metadata.get("settings", {}).get("orthogonalize") != "none":
            for rows in self.layer_groups.values():
                check_orthonormal(self.Q[rows])

    def __len__(self) -> int:
        return len(self.Q)

    def __repr__(self) -> str:
        of = f" of {self.metadata['generator']}" if self.metadata.get("generator") else ""
        named = sum(map(bool, self.names))
        return f"Directions({len(self)} × {self.z_dim}{of}, {named} named)"

    @property
    def z_dim(self) -> int:
        """Size of a latent."""
        return self.Q.shape[1]

    @property
    def names(self) -> list[str]:
        """One name per direction; empty strings for unnamed directions."""
        return self.metadata["names"]

    @property
    def notes(self) -> list[str]:
        """One note per direction; may be empty strings."""
        return self.metadata["notes"]

    @property
    def layers(self) -> str:
        """Layers of the generator that the directions are for; see `parse_layers`. Defaults to "all".

        If directions are for different layers, "each"; see `layers_of`.
        """
        own = self.metadata.get("direction_layers")
        if own:
            return own[0] if len(set(own)) == 1 else EACH
        return self.metadata.get("layers") or ALL

    def layers_of(self, direction: int) -> str:
        """Layers of the generator that a direction is for.

        Raises:
            UserError: If there is no such direction.

        Example:
            >>> found = Directions(torch.eye(2, 128), metadata={"direction_layers": ["0", "3"]})
            >>> found.layers, found.layers_of(1)
            ('each', '3')
        """
        self._check_index(direction)
        own = self.metadata.get("direction_layers")
        return own[direction] if own else self.layers

    @property
    def layer_groups(self) -> dict[str, list[int]]:
        """Indices of the directions by their layers, in the order of the first direction of each."""
        groups: dict[str, list[int]] = {}
        for index in range(len(self)):
            groups.setdefault(self.layers_of(index), []).append(index)
        return groups

    @property
    def search_space(self) -> slice:
        """Coordinates of z that the search was restricted to; directions are zero in the others."""
        return coordinates(self.metadata, self.z_dim)

    @property
    def strengths(self) -> list[float] | None:
        """One strength per direction, under whichever name the method gave them; None if it measured none."""
        return next((self.metadata[key] for key in STRENGTHS if key in self.metadata), None)

    @property
    def error_angles(self) -> list[float] | None:
        """The angle in degrees within which each direction is determined; None if the search did not tell."""
        return self.metadata.get(ERROR_ANGLE)

    @property
    def recommended_ranges(self) -> list[tuple[float, float] | None]:
        """The amounts (low, high) recommended for each direction; None for directions without a recommendation."""
        known = self.metadata.get("recommended_range", [None] * len(self))
        return [None if ends is None else (ends[0], ends[1]) for ends in known]

    @property
    def starred(self) -> list[bool]:
        """Whether each direction is starred, see `mark`."""
        return self.metadata.get("starred", [False] * len(self))

    @property
    def hidden(self) -> list[bool]:
        """Whether each direction is hidden where directions are listed as pictures, see `mark`."""
        return self.metadata.get("hidden", [False] * len(self))

    @property
    def thumbnail(self) -> bytes | None:
        """A small WebP picture of the strongest directions, a row for each; None if there is none.

        It may be a stranger's: its size in bytes is bounded, but not what it unpacks to; see `read_thumbnail`.
        """
        known = self.metadata.get(THUMBNAIL)
        return None if known is None else base64.b64decode(known)

    @property
    def sha256(self) -> str:
        """The sha256 of Q: equal for files that differ only in names, notes and other metadata."""
        return hashlib.sha256(f"{tuple(self.Q.shape)}".encode() + self.Q.numpy().tobytes()).hexdigest()

    def row(self, direction: int) -> Float32[Tensor, " z_dim"]:
        """Q[direction], (z_dim,).

        Raises:
            UserError: If there is no such direction.
        """
        self._check_index(direction)
        return self.Q[direction]

    def apply(
        self,
        z: Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"],
        direction: int,
        amount: float | Num[Tensor, ""] | Num[Tensor, " N"],
    ) -> Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"]:
        """Move latents along a direction: z + amount · Q[direction]. Differentiable.

        Args:
            z: (N, z_dim), or (N, num_layers, z_dim) to shift all layers equally.
            direction: index of the direction, 0 to ndirs - 1.
            amount: one number, or (N,), one per sample.

        Returns:
            The shifted latents, with the shape, dtype and device of z.

        Raises:
            UserError: If there is no such direction, or shapes do not match.

        Example:
            >>> Directions(torch.eye(2, 3)).apply(torch.zeros(1, 3), direction=1, amount=2.5)
            tensor([[0.0000, 2.5000, 0.0000]])
        """
        row = self.row(direction)
        if z.ndim < 2 or z.shape[-1] != self.z_dim:
            raise UserError(f"z has shape {tuple(z.shape)}; these directions are for (N, {self.z_dim})")
        amounts = torch.as_tensor(amount).to(z)
        if amounts.ndim and amounts.shape != z.shape[:1]:
            raise UserError(
                f"amount has shape {tuple(amounts.shape)}; expected one number, or ({len(z)},), one for each z"
            )
        return z + amounts.reshape(-1, *[1] * (z.ndim - 1)) * row.to(z)

    def rename(self, index: int, name: str) -> None:
        """Name a direction; an empty string removes the name.

        Args:
            index: index of the direction, 0 to ndirs - 1.
            name: one line of at most 100 printable characters that is not a number, unique among the directions.

        Raises:
            UserError: If there is no such direction, the name is a number, too long or not one printable line, or it is
                taken.
        """
        self._check_index(index)
        name = checked_name(name)
        others = [other for other, taken in enumerate(self.names) if taken and taken.casefold() == name.casefold()]
        if others and others != [index]:
            raise UserError(f"direction {others[0]} is already called {name!r}; choose another name")
        self.names[index] = name

    def annotate(self, index: int, note: str) -> None:
        """Attach a note to a direction; an empty string removes it.

        Args:
            index: index of the direction, 0 to ndirs - 1.
            note: one line of at most 1,000 printable characters.

        Raises:
            UserError: If there is no such direction, or the note is too long or not one printable line.
        """
        self._check_index(index)
        self.notes[index] = checked_text("a note", note, LONGEST_NOTE)

    def recommend(self, index: int, ends: tuple[float, float] | None) -> None:
        """Recommend a range of amounts for a direction.

        Args:
            index: index of the direction, 0 to ndirs - 1.
            ends: the least and the greatest amount; None removes the recommendation.

        Raises:
            UserError: If there is no such direction, or the ends are not finite and in ascending order.

        Example:
            >>> found = Directions(torch.eye(2, 128))
            >>> found.recommend(1, (-2, 3))
            >>> found.recommended_ranges
            [None, (-2.0, 3.0)]
        """
        self._check_index(index)
        if ends is not None and not float("-inf") < ends[0] < ends[1] < float("inf"):
            raise UserError(f"the range is {ends[0]} to {ends[1]}; it must be two finite numbers, the smaller first")
        ranges = self.metadata.setdefault("recommended_range", [None] * len(self))
        ranges[index] = None if ends is None else [float(ends[0]), float(ends[1])]

    def mark(self, index: int, *, starred: bool | None = None, hidden: bool | None = None) -> None:
        """Star a direction, 0 to ndirs - 1, or hide it in galleries; None changes nothing.

        Raises:
            UserError: If there is no such direction.
        """
        self._check_index(index)
        for key, value in (("starred", starred), ("hidden", hidden)):
            if value is not None:
                self.metadata.setdefault(key, [False] * len(self))[index] = bool(value)

    def credit(self, *, author: str | None = None, licence: str | None = None) -> None:
        """Say who made the directions and under which licence they are; an empty string removes it.

        Args:
            author: one line of at most 1,000 printable characters. Defaults to no change.
            licence: the same.

        Raises:
            UserError: If a text is too long or not one printable line.
        """
        for key, text in (("author", author), ("licence", licence)):
            if text is not None:
                self.metadata[key] = checked_text(f"the {key}", text, LONGEST_NOTE)

    def index(self, text: str) -> int:
        """Index of a direction from its number, its name, or an unambiguous prefix of its name.

        Args:
            text: a number, a name or a prefix, such as "0", "zoom" or "zo"; case-insensitive.

        Raises:
            UserError: If no direction, or more than one, matches; suggests similar names.
        """
        text = text.strip()
        if is_number(text):
            index = int(text)
            self._check_index(index)
            return index
        folded, wanted = [name.casefold() for name in self.names], text.casefold()
        found = [i for i, name in enumerate(folded) if name and name == wanted]
        found = found or [i for i, name in enumerate(folded) if wanted and name.startswith(wanted)]
        if len(found) > 1:
            several = ", ".join(f"{i} {short(self.names[i])}" for i in found[:_MOST_SHOWN])
            more = f" and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
            raise UserError(f"{short(text)} is ambiguous: {several}{more}")
        if not found:
            near = near_matches(text[:200], [name[:200] for name in self.names if name])
            raise UserError(f"no direction is called {short(text)}{near}; numbers are 0 to {len(self) - 1}")
        return found[0]

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise UserError(f"there is no direction {index}; valid numbers are 0 to {len(self) - 1}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a directions file: safetensors with A, Q and, as one JSON string in the header, the metadata.

        The header begins with a checksum of everything else in the file, which `load` checks.

        Args:
            path: file name, must end in .safetensors.

        Raises:
            UserError: If the name does not end in .safetensors, the folder is not writable, or the metadata is not
                JSON-serialisable.
            OSError: If writing fails; an existing file is left unchanged.
        """
        if Path(path).suffix.lower() != SUFFIX:
            raise UserError(f"cannot write {path}: the name of a directions file must end in {SUFFIX}")
        check_metadata(self.metadata, len(self), self.z_dim)
        try:
            content = seal({"A": self.A, "Q": self.Q}, {**self.metadata, "format": FORMAT})
        except (TypeError, ValueError) as error:
            raise UserError(f"the metadata of directions must be JSON-serialisable: {error}") from error
        atomic_write(path, content)

    @classmethod
    @memory_errors_pass()
    def load(cls, path: str | os.PathLike[str]) -> Directions:
        """Read a directions file, without executing code. A round trip through `save` is exact.

        Args:
            path: a directions file, "scenes-64" or "cifar-32" for the bundled one, or an address on the Hugging Face
                Hub, "hf://user/repo" or "hf://user/repo/file.safetensors".

        Raises:
            UserError: If the file does not exist (suggests similar names), is damaged, is not a directions file, or
                has a newer format.

        Example:
            >>> Directions.load("scenes-64").z_dim
            16
        """
        file, source = _found(path)
        try:
            directions = cls(*_read(file))
        except DamagedError as error:
            foreign = isinstance(error, ForeignError) or file.suffix.lower() != SUFFIX
            hint = "; `biggan-discovery import` reads matrices of other tools" if foreign else ""
            raise UserError(f"{source} is not a directions file, or is damaged ({error}){hint}") from error
        except UserError as error:
            raise UserError(f"{source}: {error}") from error
        directions.source = source
        return directions


def is_directions_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a directions file by its beginning, whole or damaged; not whether it can be read."""
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        return False
    if is_address(path):
        path, _ = _found(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return f'"{HEADER}":'.encode() in file.read(_BEGINNING)


def _found(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """The file that a path, an address on the Hub or the name of the bundled file means, and what to call it."""
    if is_address(path):
        address = Address.read(path)
        address = address if address.path else address.inside(FILE)
        return local_file(address), str(address)
    file = existing_file(_bundled(path))
    return file, str(file)


def _bundled(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The bundled directions of a generator if a path is its name and no file's, else the path."""
    return path if Path(path).is_file() else bundled_directions(os.fspath(path)) or path


def _read(path: Path) -> tuple[Float32[Tensor, " ..."], Float32[Tensor, " ..."], dict[str, Any]]:
    metadata, tensors = unseal(path, most_entries=MOST_ENTRIES)
    missing = [letter for letter in "AQ" if letter not in tensors]
    if missing:
        raise DamagedError(f"it has no {' and no '.join(f'tensor {letter}' for letter in missing)}")
    version = metadata.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DamagedError("its header has no format version")
    if version > FORMAT:
        raise UserError(f"its format is {short(version)}, but this version reads up to {FORMAT}; please update")
    matrices = [tensors[letter] for letter in "AQ"]
    for letter, matrix in zip("AQ", matrices, strict=True):
        if matrix.dtype != torch.float32:
            raise UserError(f"{letter} is {matrix.dtype}; a directions file contains float32")
    texts = {key: well_formed(metadata[key]) for key in TEXTS if key in metadata}
    return matrices[0], matrices[1], {**metadata, **texts, "format": FORMAT}


def _check_matrix(letter: str, matrix: Tensor) -> None:
    if matrix.ndim != 2 or not matrix.numel() or not matrix.is_floating_point():
        raise UserError(
            f"{letter} is a {matrix.dtype} tensor {tuple(matrix.shape)}; it must be floating point (ndirs, z_dim)"
        )
    if not matrix.isfinite().all():
        raise UserError(f"{letter} contains nan or infinite entries")


def check_orthonormal(Q: Float[Tensor, "ndirs z_dim"]) -> None:
    """Check that rows are orthonormal to within 1e-4.

    Raises:
        UserError: If they are not.
    """
    if len(Q) > Q.shape[1]:
        raise UserError(f"{len(Q)} rows of Q cannot be orthonormal in {Q.shape[1]} dimensions")
    exact, error = Q.double(), 0.0
    for first, rows in enumerate(exact.split(_ROWS_AT_ONCE)):
        products = rows @ exact.T
        products.diagonal(first * _ROWS_AT_ONCE).sub_(1)
        error = max(error, products.abs().max().item())
    if not error <= _FARTHEST_FROM_ORTHONORMAL:
        raise UserError(f"the rows of Q are not orthonormal: QQᵀ differs from the identity by {error:.3g}")
