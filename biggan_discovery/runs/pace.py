"""How long a search will take, said once, after its first steps."""

from __future__ import annotations

import logging
import time

from biggan_discovery.output import human_time
from biggan_discovery.runs.folder import State

_SECONDS = 5.0  # of steps before a search is judged, unless one takes longer
_LONG = 24 * 3600.0

_log = logging.getLogger(__name__)


class Pace:
    """Tells the time of a search from its first steps, and what would be cheaper if it is more than a day.

    Args:
        cheaper: what to try instead, as the end of a sentence; "" if nothing is known.

    Example:
        >>> pace = Pace("fewer steps (--steps)")
        >>> pace.begin(state, "step")
        >>> pace.after_step(state)  # logs "about 8 days 19 h for 50,000 steps"
    """

    def __init__(self, cheaper: str = ""):
        self._cheaper, self._unit = cheaper, ""
        self._start, self._first, self._said = 0.0, 0, False

    def begin(self, state: State, unit: str) -> None:
        """The first step begins now.

        Args:
            state: how far the search is.
            unit: name of one step, singular.
        """
        self._start, self._first, self._unit = time.monotonic(), state.step, unit

    def after_step(self, state: State) -> None:
        """A step is finished."""
        seconds = time.monotonic() - self._start
        left = state.total - state.step
        if self._said or seconds < _SECONDS or not left:
            return
        self._said = True
        expected = left * seconds / (state.step - self._first)
        _log.info(
            "about %s for the remaining %s%s",
            human_time(expected),
            f"{left:,} {self._unit}{'s' * (left != 1)}",
            _cost(state),
        )
        if expected > _LONG and self._cheaper:
            _log.warning("this takes %s; cheaper: %s", human_time(expected), self._cheaper)


def _cost(state: State) -> str:
    """Evaluations of the whole search, where its history counts them."""
    if "evaluations" not in state.columns:
        return ""
    so_far = state.history[-1][state.columns.index("evaluations")]
    which = "of the first round" if state.open and not state.settings.get("samples") else "in all"
    return f" ({so_far * state.total / state.step:,.0f} generator evaluations {which})"
