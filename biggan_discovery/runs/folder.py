"""The folder of a run: lock, state, history and directions."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.files import HEADER, atomic_write

STATE, HISTORY, DIRECTIONS = "state.safetensors", "history.csv", "directions.safetensors"
_HISTORY = "history"


@dataclass
class State:
    """State of a search, from which it can be resumed: settings, tensors, and one history row per completed step.

    Attributes:
        settings: everything that determines the result.
        tensors: tensors that steps update, on any device.
        columns: names of the columns of the history.
        total: total number of steps.
        history: one row per completed step.
        facts: measurements made before the first step, for the header of the result.
    """

    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    columns: tuple[str, ...]
    total: int
    history: list[list[float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Number of completed steps."""
        return len(self.history)

    def save(self, folder: Path) -> None:
        """Write the history as CSV, then the state that a run resumes from.

        With this order, a run that is killed between the two repeats its last steps and rewrites the history.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("step", *self.columns))
        writer.writerows([index + 1, *row] for index, row in enumerate(self.history))
        atomic_write(folder / HISTORY, text.getvalue())
        rows = torch.tensor(self.history, dtype=torch.float64).reshape(self.step, len(self.columns))
        tensors = {_HISTORY: rows} | {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        # A single entry, because safetensors writes several in arbitrary order.
        header = json.dumps({"settings": self.settings, "facts": self.facts})
        atomic_write(folder / STATE, safetensors.torch.save(tensors, {HEADER: header}))


class Saved(NamedTuple):
    """A saved state without its tensors; see `State`."""

    settings: dict[str, Any]
    facts: dict[str, Any]
    step: int


def read_saved(folder: Path) -> Saved | None:
    """Read the settings, facts and step of the state in a folder; None if there is no state.

    Raises:
        UserError: If the file is damaged.
    """
    if not (folder / STATE).exists():
        return None
    with _reading(folder) as file:
        header = json.loads(file.metadata()[HEADER])
        settings, facts = header["settings"], header["facts"]
        if not isinstance(settings, dict) or not isinstance(facts, dict):
            raise ValueError("its header has no settings")
        return Saved(settings, facts, file.get_slice(_HISTORY).get_shape()[0])


def check_same_run(folder: Path, saved: Saved, settings: dict[str, Any]) -> None:
    """Check that a run is resumed with the same settings.

    Raises:
        UserError: If settings differ; lists up to four of them.
    """
    differing = [key for key in {**settings, **saved.settings} if saved.settings.get(key) != settings.get(key)]
    if differing:
        changes = ", ".join(
            f"{key} {_show(saved.settings.get(key))}, not {_show(settings.get(key))}" for key in differing[:4]
        )
        raise UserError(f"{folder} contains a run with {changes}; use the same options to resume it, or another --out")


def load_state(folder: Path, fresh: State) -> State:
    """Load the state saved in a folder by the search whose initial state is `fresh`.

    Raises:
        UserError: If the file is damaged.
    """
    with _reading(folder) as file:
        found = {name: file.get_tensor(name) for name in (_HISTORY, *fresh.tensors)}
        _check_like(found, fresh)
    history = found.pop(_HISTORY).tolist()
    return replace(fresh, tensors=found, history=history)


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[Any]:
    path = folder / STATE
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except (OSError, safetensors.SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a readable state of a search ({error}); remove it to start again") from error


def _check_like(found: dict[str, Tensor], fresh: State) -> None:
    """Raise ValueError if the tensors cannot have been written by this search."""
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
        raise ValueError(f"it has {len(rows)} steps, but the total is {fresh.total}")


def _show(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Context manager that creates and locks the folder of a run. The system releases the lock when the process dies.

    Raises:
        UserError: If another run holds the lock, or the folder is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        raise UserError(f"another run is using {folder}; wait for it, or choose another --out") from error
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error
    try:
        yield
    finally:
        lock.release()
