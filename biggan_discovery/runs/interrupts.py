"""Ctrl-C and SIGTERM end a search after the step in hand."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """The signal that ends the search, 0 where none does.

    Signals reach the processes of one search at different steps, so that each only remembers its own, and all stop by
    what they have agreed on.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._received = 0

    def votes(self) -> list[float]:
        """For each signal, whether this process has received it: 1 or 0."""
        return [float(self._received == each) for each in _SIGNALS]

    def agree(self, votes: Sequence[float]) -> None:
        """Take the sum of all processes' votes."""
        self.signal = next((each for each, count in zip(_SIGNALS, votes, strict=True) if count), 0)

    def _remember(self, number: int, _: FrameType | None) -> None:
        # Who presses Ctrl-C again does not want to wait for the step. SIGTERM comes twice by itself where a job
        # scheduler sends it to all processes and a launcher passes it on.
        if self._received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = self._received or number

    @contextlib.contextmanager
    def remembered(self) -> Iterator[None]:
        """Catch both signals while the search runs; outside the main thread they are not Python's to catch."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._remember) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def leave(self) -> None:
        """End as the signal would have: KeyboardInterrupt, or SystemExit with 143."""
        number = self.signal or self._received
        if number == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if number:
            raise KeyboardInterrupt
