"""The folder of a run: its lock, its state, its history, its directions."""

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
    """All that a search needs to go on: its settings, its tensors, and one history row per step done.

    Attributes:
        settings: all that decides the result.
        tensors: what the steps change; on any device.
        columns: names of the numbers in a row of the history.
        total: steps in all.
        history: the rows.
        facts: what was measured before the first step, for the result's header.
    """

    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    columns: tuple[str, ...]
    total: int
    history: list[list[float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

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
        # One entry, as safetensors writes several in no order.
        header = json.dumps({"settings": self.settings, "facts": self.facts})
        atomic_write(folder / STATE, safetensors.torch.save(tensors, {HEADER: header}))


class Saved(NamedTuple):
    """What is known of a saved state without its tensors; see `State`."""

    settings: dict[str, Any]
    facts: dict[str, Any]
    step: int


def read_saved(folder: Path) -> Saved | None:
    """What the state in a folder is about, or None where there is no state.

    Raises:
        UserError: the file is damaged.
    """
    if not (folder / STATE).exists():
        return None
    with _reading(folder) as file:
        header = json.loads(file.metadata()[HEADER])
        settings, facts = header["settings"], header["facts"]
        if not isinstance(settings, dict) or not isinstance(facts, dict):
            raise ValueError("its header holds no settings")
        return Saved(settings, facts, file.get_slice(_HISTORY).get_shape()[0])


def check_same_run(folder: Path, saved: Saved, settings: dict[str, Any]) -> None:
    """Refuse to go on with other settings.

    Raises:
        UserError: they differ, naming how.
    """
    differing = [key for key in {**settings, **saved.settings} if saved.settings.get(key) != settings.get(key)]
    if differing:
        changes = ", ".join(
            f"{key} {_show(saved.settings.get(key))}, not {_show(settings.get(key))}" for key in differing[:4]
        )
        raise UserError(f"{folder} holds a run with {changes}; give the same options to go on, or another --out")


def load_state(folder: Path, fresh: State) -> State:
    """The state saved in a folder by the search that starts at `fresh`.

    Raises:
        UserError: the file is damaged.
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
        raise UserError(f"{path} is not a readable state of a search ({error}); remove it to start afresh") from error


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
