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
            saved = json.loads(file.metadata()[_HEADER])
            state = State(saved, **{name: file.get_tensor(name) for name in _TENSORS})
        differing = [key for key in settings if saved.get(key) != settings[key]]
        if not differing:
            _check_like(state, fresh)
    except (OSError, safetensors.SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a readable state of a search ({error}); remove it to start afresh") from error
    if differing:
        changes = ", ".join(f"{key} {_show(saved.get(key))}, not {_show(settings[key])}" for key in differing)
        raise UserError(f"{folder} holds a run with {changes}; give the same options to go on, or another --out")
    return state


def _check_like(state: State, fresh: State) -> None:
    """Whether a search could have written it; ValueError where not."""
    for name in _TENSORS:
        found, expected = getattr(state, name), getattr(fresh, name)
        same_rows = name == "history" or len(found) == len(expected)
        if found.dtype != expected.dtype or found.shape[1:] != expected.shape[1:] or not same_rows:
            raise ValueError(f"its {name} is {found.dtype} {tuple(found.shape)}")
        if not found.isfinite().all():
            raise ValueError(f"its {name} is not finite")
    if state.step > state.settings["steps"]:
        raise ValueError(f"it has taken {state.step} steps of {state.settings['steps']}")


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
