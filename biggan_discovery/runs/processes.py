"""Data parallelism over several processes with torch.distributed. A single process communicates nothing.

All processes hold the same state and take the same steps, each on its share of the samples. Only the first process
(rank 0) writes files and prints. Messages are small (the gradient of A) and on the CPU, so the backend is gloo on every
device; unlike NCCL, it reports immediately that a process has exited, and it lets processes share a GPU.
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
from torch import Tensor, nn

from biggan_discovery.errors import UserError

_PATIENCE = datetime.timedelta(days=1)  # Others wait while the first evaluates; an exit is noticed immediately.

T = TypeVar("T")


def rank() -> int:
    """Rank of this process; the first is 0."""
    return dist.get_rank() if _initialized() else 0


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if _initialized() else 1


def share(count: int) -> range:
    """Indices of this process's share of `count` samples. Shares differ by at most one and may be empty.

    Example:
        >>> share(8)  # a single process
        range(0, 8)
    """
    return range(count * rank() // size(), count * (rank() + 1) // size())


def total(values: Tensor) -> Tensor:
    """Sum `values` over all processes, in place. The result is bit-identical in all of them.

    Args:
        values: any shape, on the CPU.

    Raises:
        OSError: If another process has exited.
    """
    if size() > 1:
        with _others():
            dist.all_reduce(values)
    return values


def average_gradients(network: nn.Module) -> None:
    """Replace the gradients of all weights by their means over all processes, bit-identical in all of them.

    Raises:
        OSError: If another process has exited.
    """
    if size() == 1:
        return
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    mean = total(torch.cat([gradient.cpu().flatten() for gradient in gradients])) / size()
    for gradient, part in zip(gradients, mean.split([each.numel() for each in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def gathered(make: Callable[[], T]) -> list[T]:
    """Return the results of `make` in all processes, by rank. Results must be picklable.

    Raises:
        UserError, OSError: In all processes, if `make` raised them in any process.
        OSError: If another process has exited.
    """
    outcomes = [_outcome(make)]
    if size() > 1:
        mine, outcomes = outcomes[0], [_Outcome()] * size()
        with _others():
            dist.all_gather_object(outcomes, mine)
    return [each.get() for each in outcomes]


def from_first(make: Callable[[], T]) -> T:
    """Run `make` in the first process only, and return its result in all processes. The result must be picklable.

    Raises:
        UserError, OSError: In all processes, if `make` raised them.
        OSError: If another process has exited.
    """
    outcomes = [_outcome(make) if rank() == 0 else _Outcome()]
    if size() > 1:
        with _others():
            dist.broadcast_object_list(outcomes)
    return outcomes[0].get()


def first_then_others(make: Callable[[], T]) -> T:
    """Run `make` in the first process, then in the others, which can use what the first has downloaded."""
    made: list[T] = []
    for turn in (rank() == 0, rank() > 0):
        gathered(lambda turn=turn: made.append(make()) if turn else None)
    return made[0]


def own_device(device: str) -> str:
    """The GPU of this process if torchrun started one per GPU and `device` does not name a GPU, else `device`."""
    if device not in ("auto", "cuda") or "LOCAL_RANK" not in os.environ or not torch.cuda.is_available():
        return device
    return f"cuda:{os.environ['LOCAL_RANK']}"


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Context manager that joins the process group described by the environment variables of torchrun.

    Only the first process prints, except that a failure is printed by the process in which it occurs first.

    Raises:
        OSError: If the other processes cannot be reached.
    """
    from torch.distributed.rendezvous import rendezvous  # missing if torch was built without torch.distributed

    try:
        store, number, count = next(rendezvous("env://"))
        dist.init_process_group("gloo", store=store, rank=number, world_size=count, timeout=_PATIENCE)
    except RuntimeError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise OSError(errno.EIO, f"the other processes of this run cannot be reached at {place}") from error
    shown, hidden = sys.stderr, open(os.devnull, "w")  # noqa: PTH123, SIM115 - open until the process exits
    if number:
        sys.stdout = sys.stderr = hidden

    def fails_first() -> bool:
        try:
            return store.add("biggan-discovery/failures", 1) == 1
        except RuntimeError:  # The process that hosts the store has exited, so it failed first.
            return False

    try:
        yield
    except BaseException:
        sys.stderr = shown if fails_first() else hidden
        raise
    finally:
        dist.destroy_process_group()


class _Outcome:
    """Result of a function, or the error that it raised."""

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
    """Convert the error after the exit of another process to one line."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(
            errno.EIO, "another process of this run has exited; run the same command to resume from the last checkpoint"
        ) from error


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()
