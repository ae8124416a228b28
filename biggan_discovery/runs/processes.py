"""Several processes that search as one, by torch.distributed. A process alone is one of one and exchanges nothing.

All processes hold the same state and take the same steps, each with its share of the samples. The first (rank 0) is
the only one that writes files and shows anything. Messages are small (the gradient of A) and lie on the CPU, so gloo
carries them whatever the device; unlike NCCL it says at once when a process has ended, and lets processes share a GPU.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from biggan_discovery.errors import UserError

_PATIENCE = datetime.timedelta(days=1)  # Others wait while the first judges; a process that ends is noticed at once.

T = TypeVar("T")


def rank() -> int:
    """The number of this process; the first is 0."""
    return dist.get_rank() if _initialized() else 0


def size() -> int:
    """The number of processes."""
    return dist.get_world_size() if _initialized() else 1


def share(count: int) -> range:
    """Which of `count` samples are this process's; some processes have one more than others, or none."""
    return range(count * rank() // size(), count * (rank() + 1) // size())


def total(values: Tensor) -> Tensor:
    """The sum of all processes' `values`, on the CPU and of any shape, which it replaces: the same bits in each.

    Raises:
        OSError: another process has ended.
    """
    if size() > 1:
        with _others():
            dist.all_reduce(values)
    return values


def gathered(make: Callable[[], T]) -> list[T]:
    """What `make` gives in each process, in their order; anything that can be pickled.

    Raises:
        UserError, OSError: where `make` raised them in any process, in all of them; or another process has ended.
    """
    outcomes = [_outcome(make)]
    if size() > 1:
        mine, outcomes = outcomes[0], [_Outcome()] * size()
        with _others():
            dist.all_gather_object(outcomes, mine)
    return [each.get() for each in outcomes]


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives in the first process, where alone it runs; anything that can be pickled.

    Raises:
        UserError, OSError: where `make` raised them, in all processes; or another process has ended.
    """
    outcomes = [_outcome(make) if rank() == 0 else _Outcome()]
    if size() > 1:
        with _others():
            dist.broadcast_object_list(outcomes)
    return outcomes[0].get()


def first_then_others(make: Callable[[], T]) -> T:
    """What `make` gives in this process; the others begin when the first is done, and find what it has downloaded."""
    made: list[T] = []
    for turn in (rank() == 0, rank() > 0):
        gathered(lambda turn=turn: made.append(make()) if turn else None)
    return made[0]


def own_device(device: str) -> str:
    """Where torchrun has started a process for each GPU of a machine and `device` names no GPU, this process's."""
    if device not in ("auto", "cuda") or "LOCAL_RANK" not in os.environ or not torch.cuda.is_available():
        return device
    return f"cuda:{os.environ['LOCAL_RANK']}"


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Join the processes that the environment variables of torchrun describe.

    They look like one: others than the first print nothing, except that a failure is told by whichever has it first.

    Raises:
        OSError: the others cannot be reached.
    """
    from torch.distributed.rendezvous import rendezvous  # not there where torch was built without torch.distributed

    try:
        store, number, count = next(rendezvous("env://"))
        dist.init_process_group("gloo", store=store, rank=number, world_size=count, timeout=_PATIENCE)
    except RuntimeError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise OSError(errno.EIO, f"the other processes of this run cannot be reached at {place}") from error
    shown, hidden = sys.stderr, open(os.devnull, "w")  # noqa: PTH123, SIM115 - hides what is printed until the end
    if number:
        sys.stdout = sys.stderr = hidden

    def fails_first() -> bool:
        try:
            return store.add("biggan-discovery/failures", 1) == 1
        except RuntimeError:  # The process that kept the store has gone, so it was first.
            return False

    try:
        yield
    except BaseException:
        sys.stderr = shown if fails_first() else hidden
        raise
    finally:
        dist.destroy_process_group()


class _Outcome:
    """What a function gave, or the error that it raised."""

    def __init__(self, value: Any = None, error: Exception | None = None):
        self._value, self._error = value, error

    def get(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value


def _outcome(make: Callable[[], Any]) -> _Outcome:
    try:
        return _Outcome(make())
    except (UserError, OSError) as error:
        if size() == 1:
            raise
        return _Outcome(error=error)


@contextlib.contextmanager
def _others() -> Iterator[None]:
    """Tell of a process that has ended in one line."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(
            errno.EIO, "another process of this run has ended; the same command goes on from what was saved last"
        ) from error


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()
