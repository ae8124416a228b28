"""The folder of a run: lock, state, history and directions."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from biggan_discovery.directions.directions import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_path, atomic_write, is_bad_path, make_folder
from biggan_discovery.locks import Lock
from biggan_discovery.memory import memory_errors_pass
from biggan_discovery.sealed import DamagedError, seal, unseal

STATE, HISTORY, DIRECTIONS = "state.safetensors", "history.csv", "directions.safetensors"
PREVIOUS = "state.previous.safetensors"
"""The checkpoint before the newest, which a run resumes from if the newest is damaged."""
FORMAT = 3  # 1 had neither a version nor a checksum, 2 no number of steps.
BY_CONTENT = {
    "generator": "generator_sha256",
    **{name: f"{name}_sha256" for name in ("init", "data", "mask", "avoid")},
}
"""Settings that name a file, and the checksum of its content; where there is one, it decides whether they are equal."""
_HISTORY = "history"
_log = logging.getLogger(__name__)


@dataclass
class State:
    """State of a search, from which it can be resumed: settings, tensors, and one history row per completed step.

    Attributes:
        settings: everything that determines the result.
        tensors: tensors that steps update, on any device.
        columns: names of the columns of the history.
        total: number of steps; if `open`, of those that are planned so far.
        history: one row per completed step.
        facts: measurements for the header of the result, JSON values.
        growing: names of the tensors whose first dimension is at least the number of completed steps.
        open: whether more steps may be added.
    """

    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    columns: tuple[str, ...]
    total: int
    history: list[list[float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    growing: frozenset[str] = frozenset()
    open: bool = False

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
        header = {
            "format": FORMAT,
            "settings": self.settings,
            "facts": self.facts,
            "total": self.total,
            "open": self.open,
        }
        newest = folder / STATE
        with atomic_path(newest) as temporary:
            temporary.write_bytes(seal({_HISTORY: rows, **self.tensors}, header))
            if _is_whole(newest):
                newest.replace(folder / PREVIOUS)


class Saved(NamedTuple):
    """A saved state; see `State`.

    Attributes:
        path: its file.
        format: version of the file's format.
        settings: everything that determines the result.
        facts: measurements for the header of the result.
        tensors: by name, and the history.
        total: number of steps.
        open: whether more steps may be added.
    """

    path: Path
    format: int
    settings: dict[str, Any]
    facts: dict[str, Any]
    tensors: dict[str, Tensor]
    total: int
    open: bool

    @property
    def step(self) -> int:
        """Number of completed steps."""
        return len(self.tensors[_HISTORY])

    @property
    def finished(self) -> bool:
        """Whether the search has ended."""
        return self.step == self.total and not self.open


def read_saved(folder: Path) -> Saved | None:
    """Read the newest checkpoint in a folder, or the one before if it is damaged; None if there is no checkpoint.

    Raises:
        UserError: If no checkpoint is whole, or it is not readable.
    """
    paths = [path for path in (folder / STATE, folder / PREVIOUS) if path.exists()]
    damages: list[DamagedError] = []
    for path in paths:
        try:
            saved = _read(path)
        except DamagedError as error:
            damages.append(error)
            continue
        if damages:
            _log.warning("%s; resuming from %s, saved at step %d", damages[0], path.name, saved.step)
        return saved
    if damages:
        raise UserError(
            f"{'; '.join(map(str, damages))}; choose another --out, or remove what is damaged to start again"
        )
    return None


def check_same_run(folder: Path, saved: Saved, settings: dict[str, Any], but: Collection[str] = ()) -> None:
    """Check that a run is resumed with the same settings. Files are the same if their content is, wherever they are.

    Args:
        folder: the run's folder, for the message.
        saved: its checkpoint.
        settings: the settings that are asked for.
        but: names of settings that may differ.

    Raises:
        UserError: If settings differ; lists up to four of them.
    """
    asked = _comparable(settings, saved.settings)
    before = _comparable(saved.settings, settings)
    differing = [key for key in {**asked, **before} if before.get(key) != asked.get(key) and key not in but]
    if differing:
        changes = ", ".join(f"{key} {_show(before, key)}, not {_show(asked, key)}" for key in differing[:4])
        raise UserError(f"{folder} contains a run with {changes}; use the same options to resume it, or another --out")


def load_finished(folder: Path) -> Directions:
    """The directions of a finished run.

    Raises:
        UserError: If they cannot be read. If they are damaged, it says how to have them written again.
    """
    try:
        return Directions.load(folder / DIRECTIONS)
    except UserError as error:
        if isinstance(error.__cause__, DamagedError):
            raise UserError(f"{error}; move it away, and the same command writes it again") from error
        raise


def resumed(saved: Saved, fresh: State) -> State:
    """The saved state of an unfinished search whose initial state is `fresh`.

    Raises:
        UserError: If it was not saved by this search, or by an earlier version.
    """
    if saved.format < FORMAT:
        raise UserError(
            f"{saved.path} is the checkpoint of an unfinished run of an earlier version, which this version does not "
            "resume; finish it with that version, or choose another --out"
        )
    try:
        tensors = {name: saved.tensors[name] for name in (_HISTORY, *fresh.tensors)}
        _check_like(tensors, fresh, saved.total)
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{saved.path} is not a state of this search ({error}); choose another --out, or remove it to start again"
        ) from error
    history = tensors.pop(_HISTORY).tolist()
    return replace(fresh, tensors=tensors, history=history, total=saved.total, open=saved.open)


@memory_errors_pass()
def _read(path: Path) -> Saved:
    try:
        header, tensors = unseal(path)
        version = header.get("format", 1)
        settings, facts = header.get("settings"), header.get("facts")
        if not isinstance(settings, dict) or not isinstance(facts, dict) or _HISTORY not in tensors:
            raise DamagedError("it has no settings or no history")
        if not isinstance(version, int) or version < 1:
            raise DamagedError("its header has no format version")
        total = header.get("total", settings.get("steps", settings.get("samples", 0)) if version < FORMAT else None)
        if not isinstance(total, int) or not isinstance(header.get("open", False), bool):
            raise DamagedError("its header does not say how many steps there are")
    except DamagedError as error:
        raise DamagedError(f"{path} is not a readable state of a search ({error})") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if version > FORMAT:
        raise UserError(f"{path} has format {version}, but this version reads up to {FORMAT}; please update")
    return Saved(path, version, settings, facts, tensors, total, header.get("open", False))


def _is_whole(path: Path) -> bool:
    """Whether a checkpoint may take the place of the one before: a damaged one must not."""
    try:
        _read(path)
    except (UserError, OSError):
        return False
    return True


def _comparable(settings: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """The settings without the names of files whose content both sides know, or without the checksum."""
    left_out = {
        name if settings.get(checksum) and others.get(checksum) else checksum for name, checksum in BY_CONTENT.items()
    }
    return {key: value for key, value in settings.items() if key not in left_out}


def _check_like(found: dict[str, Tensor], fresh: State, total: int) -> None:
    """Raise ValueError if the tensors cannot have been written by this search."""
    rows = found[_HISTORY]
    shapes = {_HISTORY: (torch.float64, (len(rows), len(fresh.columns)))} | {
        name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in fresh.tensors.items()
    }
    for name, tensor in found.items():
        dtype, shape = shapes[name]
        if name in fresh.growing and tensor.ndim and len(tensor) >= len(rows):
            shape = (len(tensor), *shape[1:])
        if (tensor.dtype, tuple(tensor.shape)) != (dtype, shape):
            raise ValueError(f"its {name} is {tensor.dtype} {tuple(tensor.shape)}")
        if not tensor.isfinite().all():
            raise ValueError(f"its {name} is not finite")
    if not fresh.growing and total != fresh.total:
        raise ValueError(f"it is for {total} steps, not {fresh.total}")
    if len(rows) > total:
        raise ValueError(f"it has {len(rows)} steps, but the total is {total}")


def _show(settings: dict[str, Any], key: str) -> str:
    if key not in settings:
        return "unset"
    text = json.dumps(settings[key])
    return text if len(text) <= 40 else f"{text[:37]}..."


class Hold:
    """Use of the folder of a run by this process alone."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = Lock(folder / ".lock", str(folder))

    def keep(self) -> None:
        """Create and lock the folder, unless it is locked already. A folder that was removed is locked again.

        Raises:
            UserError: If another run holds the lock, or the folder is not writable.
        """
        if self._lock.is_current():
            return
        self._lock.release()
        make_folder(self._folder)
        try:
            if not self._lock.acquire():
                raise UserError(f"another run is using {self._folder}; wait for it, or choose another --out")
        except OSError as error:
            if not is_bad_path(error):
                raise
            raise UserError(f"cannot write to {self._folder}: {error.strerror}; choose another --out") from error

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Hold]:
    """Context manager that creates and locks the folder of a run. The system releases the lock when the process dies.

    Raises:
        UserError: If another run holds the lock, or the folder is not writable.
    """
    hold = Hold(folder)
    hold.keep()
    try:
        yield hold
    finally:
        hold.release()
