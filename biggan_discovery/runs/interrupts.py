"""Signals that mean "stop" end a search after the current step, and other work as an error does."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

# A closed terminal sends SIGHUP, job schedulers send the user signals and SIGXCPU before a limit is reached.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGBREAK")
    if hasattr(signal, name)
)
"""The signals that mean "stop", as far as the platform has them."""

_ASK_AGAIN = 0.05  # seconds until a signal that arrives during an import or a `__del__` is handled


class Stopped(SystemExit):
    """Exit because of a signal, with 128 plus its number.

    Attributes:
        number: number of the signal.
    """

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.number = number


def leave(number: int) -> NoReturn:
    """Exit as the signal would have.

    Raises:
        KeyboardInterrupt: for SIGINT.
        Stopped: for others.
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Stopped(number)


def block() -> None:
    """Keep signals waiting, also for a program that replaces this process, until they are `handled`."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Context manager that leaves with an exception on each signal, so that no partial files remain."""
    with _handlers(_Leave()):
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        yield


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
        """1 for each of `SIGNALS` that this process has received, else 0."""
        return [float(self._received == each) for each in SIGNALS]

    def agree(self, votes: Sequence[float]) -> None:
        """Set `signal` from the sum of the votes of all processes."""
        self.signal = next((each for each, count in zip(SIGNALS, votes, strict=True) if count), 0)

    def _remember(self, number: int, _: FrameType | None) -> None:
        # A second Ctrl-C interrupts immediately. Other signals do not: they also arrive twice if a job scheduler sends
        # them to all processes and a launcher forwards them.
        if self._received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = self._received or number

    def remembered(self) -> contextlib.AbstractContextManager[None]:
        """Context manager that records the signals."""
        return _handlers(self._remember)

    def leave(self) -> None:
        """Exit as the signal would have, if there was one: see `leave`."""
        if number := self.signal or self._received:
            leave(number)


class _Leave:
    """Handler that leaves as soon as an exception can.

    Within an import, it would leave modules half imported; within `__del__`, Python prints and forgets it.
    """

    def __init__(self) -> None:
        self._waiting = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not _imports_or_deletes(frame):
            leave(number)
        if self._waiting:  # Asked twice.
            os._exit(128 + number)
        self._waiting = True
        timer = threading.Timer(_ASK_AGAIN, self._ask_again, (number,))
        timer.daemon = True
        timer.start()

    def _ask_again(self, number: int) -> None:
        self._waiting = False
        if os.name == "posix":
            os.kill(os.getpid(), number)
        else:
            signal.raise_signal(number)


def _imports_or_deletes(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib") or code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def _handlers(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Context manager that handles `SIGNALS` except those that are ignored, as nohup has SIGHUP ignored.

    Does nothing outside the main thread, where Python cannot handle signals.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {
            number: signal.signal(number, handler)
            for number in SIGNALS
            if signal.getsignal(number) not in (signal.SIG_IGN, None)
        }
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
