"""Ctrl-C and SIGTERM end a search after the step in hand."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupts:
    """Remembers the signal that asked the search to stop; 0 where none did."""

    def __init__(self) -> None:
        self.signal = 0

    def _remember(self, number: int, _: FrameType | None) -> None:
        if self.signal:  # asked twice: do not wait for the step
            raise KeyboardInterrupt
        self.signal = number

    @contextlib.contextmanager
    def remembered(self) -> Iterator[None]:
        """Catch both signals while the search runs; outside the main thread they are not Python's to catch."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def leave(self) -> None:
        """End as the signal would have: KeyboardInterrupt, or SystemExit with 143."""
        if self.signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if self.signal:
            raise KeyboardInterrupt
