"""The folder of a run: its lock, its state, its history, its directions."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import filelock
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.files import HEADER, atomic_write

STATE, HISTORY, DIRECTIONS = "state.safetensors", "history.csv", "directions.safetensors"


@dataclass
class State:
    """All that a search needs to go on: its settings, its tensors, and one history row per step done.

    Attributes:
        settings: all that decides the result.
        tensors: what the steps change; on any device.
        columns: names of the numbers in a row of the history.
        total: steps in all.
        history: the rows.
    """

    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    columns: tuple[str, ...]
    total: int
    history: list[list[float]] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.history)

    def save(self, folder: Path) -> None:
        """Replace the readable history, then the state that a run goes on from.

        In this order a run killed between the two takes its last steps again and rewrites the history.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("step", *self.columns))
        writer.writerows([index + 1, *row] for index, row in enumerate(self.history))
        atomic_write(folder / HISTORY, text.getvalue())
        rows = torch.tensor(self.history, dtype=torch.float64).reshape(self.step, len(self.columns))
        tensors = {_HISTORY: rows} | {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        atomic_write(folder / STATE, safetensors.torch.save(tensors, {HEADER: json.dumps(self.settings)}))


_HISTORY = "history"


def load_state(folder: Path, fresh: State) -> State | None:
    """The state saved in a folder by the search that starts at `fresh`, or None where there is none.

    Raises:
        UserError: where the file is damaged, or was written with other settings; the difference is named.
    """
    path, settings = folder / STATE, fresh.settings
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            saved = json.loads(file.metadata()[HEADER])
            differing = [key for key in {**settings, **saved} if saved.get(key) != settings.get(key)]
            found = {} if differing else {name: file.get_tensor(name) for name in (_HISTORY, *fresh.tensors)}
        if not differing:
            _check_like(found, fresh)
    except (OSError, safetensors.SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a readable state of a search ({error}); remove it to start afresh") from error
    if differing:
        changes = ", ".join(f"{key} {_show(saved.get(key))}, not {_show(settings.get(key))}" for key in differing[:4])
        raise UserError(f"{folder} holds a run with {changes}; give the same options to go on, or another --out")
    history = found.pop(_HISTORY).tolist()
    return replace(fresh, tensors=found, history=history)


def _check_like(found: dict[str, Tensor], fresh: State) -> None:
    """Whether a search could have written them; ValueError where not."""
    rows = found[_HISTORY]
    shapes = {_HISTORY: (torch.float64, (len(rows), len(fresh.columns)))} | {
        name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in fresh.tensors.items()
    }
    for name, tensor in found.items():
        if (tensor.dtype, tuple(tensor.shape)) != shapes[name]:
            raise ValueError(f"its {name} is {tensor.dtype} {tuple(tensor.shape)}")
        if not tensor.isfinite().all():
            raise ValueError(f"its {name} is not finite")
    if len(rows) > fresh.total:
        raise ValueError(f"it has taken {len(rows)} steps of {fresh.total}")


def _show(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold it, so that a second run in it is refused; the system lets go when a process dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        raise UserError(f"another run is using {folder}; wait for it, or give another --out") from error
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; give another --out") from error
    try:
        yield
    finally:
        lock.release()
