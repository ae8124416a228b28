"""The tensors of any file, grouped by the dicts that hold them, and the choice of a network's among them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.json_text import parse_json
from biggan_discovery.memory import memory_errors_pass
from biggan_discovery.reading.arrays import load_npy, load_npz, load_safetensors, to_tensor
from biggan_discovery.reading.limits import LARGEST_TABLE, check_bytes, check_items, check_shape
from biggan_discovery.reading.source import JSON, NPY, NPZ, SAFETENSORS, TEXT, TORCH, TORCH_LEGACY, form_of
from biggan_discovery.reading.tables import Table, parse_table
from biggan_discovery.reading.torch_files import PickledArray, load_torch

_SHOWN, _LONGEST = 4, 120
_EMA = re.compile(r"ema|averag|shadow|swa", re.IGNORECASE)


@dataclass
class Group:
    """The tensors of one dict in a file.

    Attributes:
        path: keys that lead to the dict; () for the outermost, and for an array without a dict.
        tensors: by key; "" for an array without a dict.
        lists: keys of those that are lists in the file, which no network's weights are.
    """

    path: tuple[str, ...]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)

    def name(self, key: str) -> str:
        """The path to a tensor, for people: "state_dict/A"."""
        return "/".join((*self.path, key) if key else self.path)


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        form: what the file is, see `form_of`.
        groups: of tensors; lists of equal tensors or numbers are tensors with one axis more.
        table: the table of a file of text.
        kind: of a file that holds a single object, its type.
    """

    form: str
    groups: list[Group]
    table: Table | None = None
    kind: str = "dict"

    def arrays(self) -> dict[str, Tensor]:
        """All tensors by their paths."""
        return {group.name(key): tensor for group in self.groups for key, tensor in group.tensors.items()}

    def seen(self) -> str:
        """The names of the first few tensors and their shapes, for messages."""
        return shown([f"{name} {tuple(tensor.shape)}".strip() for name, tensor in self.arrays().items()]) or "nothing"


@memory_errors_pass()
def read_content(file: IO[bytes], most: int) -> Content:
    """Read the tensors of a file by its content, not its suffix, and without executing code.

    Args:
        file: seekable.
        most: the most numbers that an array may have where it would have to be expanded.

    Raises:
        UserError: damaged, too large, of an unknown form, or contains code; without the name of the file.
    """
    form = form_of(file)
    if form in (TORCH, TORCH_LEGACY):
        return _of_tree(form, load_torch(file, form), most)
    if form == NPY:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        array = load_npy(file, size, most)
        if array is None:
            raise UserError("its array is not of numbers; expected real numbers")
        return _of_tree(form, array, most)
    if form == NPZ:
        return _of_tree(form, load_npz(file, most), most)
    if form == SAFETENSORS:
        return _of_tree(form, load_safetensors(file), most)
    if form in (JSON, TEXT):
        content = file.read(LARGEST_TABLE + 1)
        check_bytes(len(content), LARGEST_TABLE, "a file of text")
        if form == TEXT:
            table = parse_table(content)
            return Content(form, [Group((), {"": torch.from_numpy(table.numbers)})], table)
        return _of_tree(form, parse_json(content), most)
    raise UserError(f"it is a zip file of {_members(file)}; unpack it and give one file")


def _members(file: IO[bytes]) -> str:
    with zipfile.ZipFile(file) as archive:
        return shown(archive.namelist()) or "nothing"


def _of_tree(form: str, tree: Any, most: int) -> Content:
    check_items(tree)
    groups: list[Group] = []
    array = _array(tree, most)
    if array is not None:
        groups.append(Group((), {"": array}))
    else:
        _collect(tree, Group(()), groups, most)
    return Content(form, [group for group in groups if group.tensors], kind=type(tree).__name__)


def _collect(value: Any, group: Group, groups: list[Group], most: int) -> None:
    """Add the tensors in a dict or list, and those in its dicts and lists as groups of their own."""
    groups.append(group)
    sequence = value if isinstance(value, list | tuple) else ()
    for key, item in dict.items(value) if isinstance(value, dict) else enumerate(sequence):
        array = _array(item, most)
        if array is not None:
            group.tensors[str(key)] = array
            if isinstance(item, list | tuple):
                group.lists.add(str(key))
        elif isinstance(item, dict | list | tuple):
            _collect(item, Group((*group.path, str(key))), groups, most)


def _array(value: Any, most: int) -> Tensor | None:
    """A tensor or array; or a list of numbers, or of equal lists or tensors, as one. None for anything else."""
    if isinstance(value, PickledArray):
        value = value.array
    if isinstance(value, Tensor | np.ndarray):
        return to_tensor(value)
    if not isinstance(value, list | tuple) or not value:
        return None
    if all(isinstance(item, int | float) and not isinstance(item, bool) for item in value):
        return torch.from_numpy(np.array([_finite(item) for item in value], np.float64))
    if not all(isinstance(item, list | tuple | Tensor | np.ndarray | PickledArray) for item in value):
        return None
    items = [_array(item, most) for item in value]
    parts = [item for item in items if item is not None]
    if len(parts) < len(items) or any((part.shape, part.dtype) != (parts[0].shape, parts[0].dtype) for part in parts):
        return None
    check_shape((len(parts), *parts[0].shape), most, "a list of tensors")
    return torch.stack(parts)


def _finite(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def of_network(content: Content, marks: Sequence[str]) -> tuple[str, dict[str, Tensor]]:
    """The tensors of a network under whatever roof they are: nested dicts, prefixes of wrappers, beside others.

    Weights averaged over training take precedence.

    Args:
        content: of the file.
        marks: names of tensors by which the network is known, the same in every file of its family.

    Returns:
        The roof, such as "state_dict/module." ("" for none), and the tensors by their names below it. Where no roof has
        all of the marks, the one with the most of them.

    Raises:
        UserError: several networks.
    """
    roofs: dict[tuple[int, str], int] = {}
    for index, group in enumerate(content.groups):
        for mark in marks:
            for key in group.tensors:
                if key == mark or key.endswith(f".{mark}"):
                    roof = (index, key[: -len(mark)])
                    roofs[roof] = roofs.get(roof, 0) + 1
    best = max(roofs.values(), default=0)
    found = [roof for roof, count in roofs.items() if count == best] or [(0, "")] * bool(content.groups)
    names = {content.groups[index].name(prefix): (index, prefix) for index, prefix in found}
    averaged = [name for name in names if _EMA.search(name)]
    chosen = averaged or list(names)
    if len(chosen) > 1:
        raise UserError(f"it holds several generators: {shown(chosen)}; save one of them alone")
    if not chosen:
        return "", {}
    index, prefix = names[chosen[0]]
    group = content.groups[index]
    keys = [key for key in group.tensors if key.startswith(prefix) and key not in group.lists]
    return chosen[0], {key[len(prefix) :]: group.tensors[key] for key in keys}


def shown(names: Sequence[str]) -> str:
    """The first few names, each cut, for messages."""
    cut = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..." for name in names[:_SHOWN]]
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(cut) + more
