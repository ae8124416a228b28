"""The folder of a run: its lock, its state, its history, its directions."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write

STATE, HISTORY, DIRECTIONS = "state.safetensors", "history.csv", "directions.safetensors"
_HEADER = "biggan_discovery"


@dataclass
class State:
    """All that a search needs to go on: its settings, A, Adam's moments, and one history row per step done."""

    settings: dict[str, Any]
    A: Tensor
    first_moment: Tensor
    second_moment: Tensor
    history: Tensor  # (steps done, columns) float64

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.history)

    def save(self, folder: Path, columns: tuple[str, ...]) -> None:
        """Replace the readable history, then the state that a run goes on from.

        In this order a run killed between the two takes its last steps again and rewrites the history.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("step", *columns))
        writer.writerows([index + 1, *row] for index, row in enumerate(self.history.tolist()))
        atomic_write(folder / HISTORY, text.getvalue())
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        atomic_write(folder / STATE, safetensors.torch.save(tensors, {_HEADER: json.dumps(self.settings)}))


_TENSORS = ("A", "first_moment", "second_moment", "history")


def load_state(folder: Path, settings: dict[str, Any]) -> State | None:
    """The state saved in a folder, or None where there is none.

    Raises:
        UserError: where the file is damaged, or was written with other settings; the difference is named.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            saved = json.loads(file.metadata()[_HEADER])
            tensors = {name: file.get_tensor(name) for name in _TENSORS}
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a readable state of a search ({error}); remove it to start afresh") from error
    differing = [key for key in settings if saved.get(key) != settings[key]]
    if differing:
        changes = ", ".join(f"{key} {_show(saved.get(key))}, not {_show(settings[key])}" for key in differing)
        raise UserError(f"{folder} holds a run with {changes}; give the same options to go on, or another --out")
    return State(saved, **tensors)


def _show(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def fresh_state(settings: dict[str, Any], A: Tensor, columns: tuple[str, ...]) -> State:
    """The state of a search before its first step."""
    return State(
        settings, A, torch.zeros_like(A), torch.zeros_like(A), torch.zeros(0, len(columns), dtype=torch.float64)
    )


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
