"""The two sides of a comparison, each in its own persistent process, so that they can alternate."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from biggan_discovery.allocator import TUNABLES
from biggan_discovery.errors import UserError, near_matches

SIDES = ("reference", "ours")
RANDOM = "random:"


@contextmanager
def generator_folder(text: str) -> Iterator[str]:
    """The generator to load for `text`; "random:biggan-deep-128" and similar names create a full-size random network.

    Raises:
        UserError: for an unknown network.
    """
    if not text.startswith(RANDOM):
        yield text
        return
    from benchmarks.full_size import NETWORKS
    from benchmarks.random_networks import save_biggan_deep, save_brock

    name = text.removeprefix(RANDOM)
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}{near_matches(name, NETWORKS)}; known: {', '.join(NETWORKS)}")
    with tempfile.TemporaryDirectory() as place:
        click.echo(f"creating a random {name} ...", err=True)
        (save_brock if name.startswith("brock") else save_biggan_deep)(Path(place), NETWORKS[name])
        yield place


class Side:
    """A process that runs functions one at a time, with the memory allocator settings of the commands."""

    def __init__(self, stack: ExitStack, prepare: Callable[..., None], *arguments: Any):
        os.environ.setdefault("GLIBC_TUNABLES", TUNABLES)
        context = multiprocessing.get_context("spawn")
        self._pool = stack.enter_context(ProcessPoolExecutor(1, context, initializer=prepare, initargs=arguments))

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of the function in the process."""
        return self._pool.submit(function, *arguments).result()


def release_freed_memory() -> None:
    """Return freed memory to the system, if the allocator is glibc's."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak() -> float:
    """The current memory of this process in GiB. On Linux, also resets `peak`."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**30
    return peak()


def peak() -> float:
    """The peak memory of this process in GiB."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**20
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**30


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "smallest": min(values), "largest": max(values)}


def shown(figures: dict[str, float], unit: str) -> str:
    """Format a spread."""
    return f"{figures['median']:.3g} {unit} ({figures['smallest']:.3g}-{figures['largest']:.3g})"
