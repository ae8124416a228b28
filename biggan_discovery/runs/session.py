"""What a search does between two steps: show, record, save, and stop when it is asked to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from biggan_discovery.progress import Progress
from biggan_discovery.runs.folder import State
from biggan_discovery.runs.interrupts import Interrupts

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True)
class Session:
    """One sitting of a search; `folder` and `board` are None where nothing is kept."""

    folder: Path | None
    interrupts: Interrupts
    board: SummaryWriter | None
    save_every: int
    quiet: bool

    def progress(self, state: State, label: str, unit: str) -> Progress:
        """A bar over all steps, of which the state has done some."""
        return Progress(state.total, label, unit=unit, done=state.step, quiet=self.quiet)

    def begin(self, state: State) -> None:
        """Write a state without a step, so that a run of no steps leaves a whole folder too."""
        if not state.step and not state.total:
            self._save(state)

    def after_step(self, state: State, row: list[float], progress: Progress) -> bool:
        """Record a step's row of the history; whether to stop now."""
        state.history.append(row)
        if self.board is not None:
            for column, value in zip(state.columns, row, strict=True):
                self.board.add_scalar(column, value, state.step)
        progress.advance(1, **{state.columns[0]: row[0]})
        if state.step % self.save_every == 0 or state.step == state.total or self.interrupts.signal:
            self._save(state)
        return bool(self.interrupts.signal)

    def _save(self, state: State) -> None:
        if self.folder is not None:
            state.save(self.folder)
