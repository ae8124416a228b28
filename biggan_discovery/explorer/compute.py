"""The one thread that draws. Jobs of a tab never wait for a whole film or gallery, and tabs take turns."""

from __future__ import annotations

import enum
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Level(enum.IntEnum):
    """What goes first: pictures that a person waits for, then their exports, then galleries."""

    PICTURE = 0
    EXPORT = 1
    GALLERY = 2


_Job = tuple["Future[Any]", Callable[[], Any]]


class Compute:
    """A thread with the generators. They are used by nobody else, as a user's own network may not bear it.

    Jobs of a lower level go first, and within a level owners take turns. A running job is never interrupted, but lets
    those of lower levels go first whenever it calls `give_way`.

    Example:
        >>> compute = Compute()
        >>> compute.submit(Level.PICTURE, "tab 1", lambda: 6 * 7).result()
        42
    """

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._queues: dict[Level, OrderedDict[Hashable, deque[_Job]]] = {level: OrderedDict() for level in Level}
        self._running: list[Level] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="compute", daemon=True)
        self._thread.start()

    def submit(self, level: Level, owner: Hashable, work: Callable[[], T]) -> Future[T]:
        """Have `work` called in the thread; cancelling the future before it starts takes it out.

        Args:
            level: what goes first.
            owner: whose work it is; owners of one level take turns.
            work: the job.
        """
        future: Future[T] = Future()
        with self._change:
            if self._stopped:
                future.cancel()
            else:
                self._queues[level].setdefault(owner, deque()).append((future, work))
                self._change.notify()
        return future

    def give_way(self, *_: object) -> None:
        """Do waiting jobs of lower levels first, if this is called within a job.

        Raises:
            Stopping: the server stops, and the job should too.
        """
        if threading.current_thread() is not self._thread or not self._running:
            return
        while job := self._next(below=self._running[-1]):
            self._do(*job)
        if self._stopped:
            raise Stopping

    def stop(self, seconds: float = 5.0) -> None:
        """End the thread; a running job ends when it gives way."""
        with self._change:
            self._stopped = True
            for queue in self._queues.values():
                for jobs in queue.values():
                    for future, _ in jobs:
                        future.cancel()
                queue.clear()
            self._change.notify()
        self._thread.join(seconds)

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._stopped and not any(self._queues.values()):
                    self._change.wait()
                if self._stopped:
                    return
            if job := self._next():
                self._do(*job)

    def _next(self, below: Level | None = None) -> tuple[Level, _Job] | None:
        with self._change:
            for level, queue in self._queues.items():
                if below is not None and level >= below:
                    return None
                if queue:
                    owner, jobs = queue.popitem(last=False)
                    job = jobs.popleft()
                    if jobs:
                        queue[owner] = jobs  # At the end of the line.
                    return level, job
        return None

    def _do(self, level: Level, job: _Job) -> None:
        future, work = job
        if not future.set_running_or_notify_cancel():
            return
        self._running.append(level)
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        finally:
            self._running.pop()


class Stopping(Exception):  # noqa: N818 - Not an error.
    """The server stops."""
