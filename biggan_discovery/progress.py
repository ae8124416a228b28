"""Progress of long operations: a bar with rate and remaining time on a terminal, plain lines if piped."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from biggan_discovery.output import clean, human_time, tolerant

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Progress bar; use as a context manager and call `advance` after each unit of work.

    A stderr that cannot be written never stops the work.

    Args:
        total: number of units of work; None if it is not known.
        label: name of the operation, a few words.
        unit: name of one unit, singular.
        done: units that are already done, in a resumed run.
        quiet: if True, show nothing.

    Example:
        >>> with Progress(10, "searching") as progress:
        ...     for _ in range(10):
        ...         progress.advance(loss=0.1)
    """

    def __init__(self, total: int | None, label: str, *, unit: str = "step", done: int = 0, quiet: bool = False):
        self._label, self._unit, self._total = clean(label), unit, total
        self._stream = tolerant(sys.stderr)
        self._terminal = self._stream.isatty()
        self._lines = not quiet and not self._terminal
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=self._label,
            unit=unit,
            file=self._stream,
            disable=quiet or not self._terminal,
            dynamic_ncols=True,
        )
        self._start, self._first = time.monotonic(), done
        self._done, self._last_line = done, time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self, count: int = 1, **figures: float) -> None:
        """Advance by `count` units and show `figures` next to the bar."""
        self._done += count
        if self._terminal and figures:
            self._bar.set_postfix({key: f"{value:.4g}" for key, value in figures.items()}, refresh=False)
        self._bar.update(count)
        now = time.monotonic()
        if self._lines and (now - self._last_line >= _SECONDS_BETWEEN_LINES or self._done == self._total):
            self._last_line = now
            shown = "".join(f", {key} {value:.4g}" for key, value in figures.items())
            self._stream.line(f"{self._label}: {self._shown_count()}{shown} ({self._pace(now - self._start)})")

    def _shown_count(self) -> str:
        return str(self._done) if self._total is None else f"{self._done}/{self._total}"

    def _pace(self, seconds: float) -> str:
        units = self._done - self._first
        rate = f"{units / max(seconds, 1e-9):.3g} {self._unit}/s"
        if self._total is None:
            return rate
        left = human_time((self._total - self._done) * seconds / units) if units else "an unknown time"
        return f"{rate}, {left} left"
