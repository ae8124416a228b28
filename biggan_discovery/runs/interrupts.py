"""Ctrl-C and SIGTERM stop a search after the current step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Deferred handling of signals.

    Signals reach the processes of one search at different steps. Each process therefore only records its own signal,
    and all stop at the step on which they agree.

    Attributes:
        signal: the signal that all processes have agreed to stop on; 0 if none.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._received = 0

    def votes(self) -> list[float]:
        """1 for each signal that this process has received, else 0."""
        return [float(self._received == each) for each in _SIGNALS]

    def agree(self, votes: Sequence[float]) -> None:
        """Set `signal` from the sum of the votes of all processes."""
        self.signal = next((each for each, count in zip(_SIGNALS, votes, strict=True) if count), 0)

    def _remember(self, number: int, _: FrameType | None) -> None:
        # A second Ctrl-C interrupts immediately. A second SIGTERM does not: it also arrives twice if a job scheduler
        # sends it to all processes and a launcher forwards it.
        if self._received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = self._received or number

    @contextlib.contextmanager
    def remembered(self) -> Iterator[None]:
        """Context manager that records both signals; does nothing outside the main thread, where Python cannot."""
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
        """Exit as the signal would have: raise KeyboardInterrupt, or SystemExit with 143."""
        number = self.signal or self._received
        if number == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if number:
            raise KeyboardInterrupt
