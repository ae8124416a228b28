"""How long a search will take, said once, after its first steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from biggan_discovery.output import human_time
from biggan_discovery.runs.folder import State

_SECONDS = 5.0  # of steps before a search is judged, unless one takes longer
_LONG_STEP = 30.0  # seconds; shorter first steps are not counted, as they load and compile what others do not
_LONG = 24 * 3600.0

_log = logging.getLogger(__name__)


class Pace:
    """Tells the time of a search from its first steps, and what would be cheaper if it is more than a day.

    Args:
        most: the most steps that the search can take, from its state.
        minutes: time after which no steps are added; None if there is no limit.
        cheaper: what to try instead, as the end of a sentence; "" if nothing is known.

    Example:
        >>> pace = Pace(lambda state: state.total, cheaper="fewer steps (--steps)")
        >>> pace.begin(state, "step")
        >>> pace.after_step(state)  # logs "about 8 days 19 h for 50,000 steps"
    """

    def __init__(self, most: Callable[[State], int], minutes: float | None = None, cheaper: str = ""):
        self._most, self._minutes, self._cheaper, self._unit = most, minutes, cheaper, ""
        self._start, self._first, self._warm, self._said = 0.0, 0, False, False

    def begin(self, state: State, unit: str) -> None:
        """The first step begins now.

        Args:
            state: how far the search is.
            unit: name of one step, singular.
        """
        self._start, self._first, self._unit = time.monotonic(), state.step, unit

    def after_step(self, state: State) -> None:
        """A step is finished."""
        if self._said:
            return
        seconds = time.monotonic() - self._start
        if not self._warm and seconds < _LONG_STEP:
            self._warm = True
            self.begin(state, self._unit)
            return
        if seconds < _SECONDS:
            return
        left, more = state.total - state.step, self._most(state) - state.total
        if not left + more:
            return
        self._said = True
        of_one = seconds / (state.step - self._first)
        expected = (left + more) * of_one
        if self._minutes is not None:
            expected = min(expected, max(60 * self._minutes, left * of_one))
        if more:
            _log.info(
                "about %s for the first %s, then more as long as they help: at most %s, %s",
                human_time(left * of_one),
                f"{state.total:,} {self._unit}s",
                human_time(expected),
                self._size(state, state.total + more),
            )
        else:
            _log.info("about %s for the remaining %s", human_time(expected), self._size(state, left))
        if expected > _LONG and self._cheaper:
            _log.warning("this takes %s; cheaper: %s", human_time(expected), self._cheaper)

    def _size(self, state: State, steps: int) -> str:
        """Some steps and what they cost, where the history of the search counts evaluations."""
        size = f"{steps:,} {self._unit}{'s' * (steps != 1)}"
        if "evaluations" not in state.columns:
            return size
        so_far = state.history[-1][state.columns.index("evaluations")]
        return f"{size} ({so_far * steps / state.step:,.0f} generator evaluations)"
