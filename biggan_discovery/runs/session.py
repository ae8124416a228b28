"""Work between two steps of a search: show progress, record, save checkpoints, and stop on a signal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from biggan_discovery.memory import OutOfMemoryError, is_out_of_memory, out_of_memory
from biggan_discovery.progress import Progress
from biggan_discovery.runs.folder import Hold, State
from biggan_discovery.runs.interrupts import Interrupts
from biggan_discovery.runs.pace import Pace
from biggan_discovery.runs.trackers import Tracker

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """Recording of one search from start or resume to its end.

    Attributes:
        folder: folder of the run; None to save nothing.
        interrupts: signals that stop the search.
        trackers: what records the search beside its history.
        picture: function from a state to a picture (H, W, 3) uint8 of its directions, or None where it has none yet.
        pace: tells the time of the search.
        save_every: steps between checkpoints.
        quiet: if True, show no progress.
        hold: keeps the folder to this run.
    """

    folder: Path | None
    interrupts: Interrupts
    trackers: Sequence[Tracker]
    picture: Callable[[State], Any]
    pace: Pace
    save_every: int
    quiet: bool
    hold: Hold | None = None

    def progress(self, state: State, label: str, unit: str) -> Progress:
        """Progress bar over all steps, starting at the completed ones."""
        if not self.quiet:
            self.pace.begin(state, unit)
        return Progress(state.total, label, unit=unit, done=state.step, quiet=self.quiet)

    def begin(self, state: State) -> None:
        """Save the initial state of a run with 0 steps, so that its folder is complete."""
        if not state.step and not state.total:
            self.save(state)

    def steps(self, label: str) -> Progress:
        """Progress bar over steps whose number is not known."""
        return Progress(None, label, quiet=self.quiet)

    def after_step(self, state: State, row: list[float], progress: Progress) -> bool:
        """Record the history row of a step, save if due, and return whether to stop."""
        state.history.append(row)
        for tracker in self.trackers:
            tracker.scalars(dict(zip(state.columns, row, strict=True)), state.step)
        progress.advance(1, **{state.columns[0]: row[0]})
        if not self.quiet:
            self.pace.after_step(state)
        if state.step % self.save_every == 0 or state.step == state.total or self.interrupts.signal:
            self.save(state)
            self._show(state)
        return bool(self.interrupts.signal)

    def within_memory(self, state: State, work: Callable[[], T]) -> T:
        """The value of work that does not change the state, which is saved if memory runs out.

        Raises:
            OutOfMemoryError: says whether the state is saved.
        """
        try:
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            message = str(error) if isinstance(error, OutOfMemoryError) else out_of_memory(error)
        # Outside of the handler, whose traceback would hold on to the activations.
        if self.folder is not None and state.step:
            self.save(state)
            message += f"; {state.step} of {state.total} are saved in {self.folder}, and the same command resumes them"
        raise OutOfMemoryError(message)

    def _show(self, state: State) -> None:
        pixels = self.picture(state) if self.trackers else None
        for tracker in self.trackers:
            if pixels is not None:
                tracker.picture("directions", pixels, state.step)

    def save(self, state: State) -> None:
        """Save a checkpoint."""
        if self.folder is not None:
            if self.hold is not None:
                self.hold.keep()
            state.save(self.folder)
