"""What the sections of `benchmarks.gpu` share."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
from torch import Tensor

from benchmarks.sides import generator_folder
from biggan_discovery import FrozenGenerator, load_generator
from biggan_discovery.cli import cli
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import Samples, draw

DEVICE = "cuda"
BATCH, PROBES, EPSILON, PATH_SIZE = 96, 2, 0.1, 5.0  # of a search step, as in the paper
PRECISIONS = ("float32", "tf32", "float16")

Figures = dict[str, Any]
Say = Callable[[str], None]
"""Prints a line of a section."""


@contextmanager
def random_network(name: str) -> Iterator[FrozenGenerator]:
    """A network of a published size with random weights, on the GPU."""
    with generator_folder(f"random:{name}") as folder:
        yield load_generator(folder, device=DEVICE)


def random_rows(generator: FrozenGenerator) -> Tensor:
    """An orthonormal frame (z_dim, z_dim)."""
    random = torch.randn(generator.z_dim, generator.z_dim, generator=torch.Generator().manual_seed(0))
    return torch.linalg.qr(random.double()).Q.to(generator.device, generator.dtype)


def step_samples(generator: FrozenGenerator, count: int) -> Samples:
    """Samples of a search step."""
    sizes = {"count": count, "probes": PROBES, "path_size": PATH_SIZE}
    return draw(generator, [0], generator.z_dim, **sizes, seed=0, stream=Stream.SEARCH, step=0)


def run_command(*arguments: str) -> str:
    """Run a command in this process; its error as one line, or nothing."""
    try:
        with redirect_stdout(io.StringIO()):
            cli.main(list(arguments), standalone_mode=False)
    except Exception as error:  # whatever it is, the other commands are tried
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]
    return ""


def median_seconds(function: Callable[[], object], *, repeats: int = 5) -> float:
    """Median over calls, after one that does not count."""
    taken = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        function()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken[1:])


def peak_gib() -> float:
    """The most memory that tensors took since the last reset."""
    return torch.cuda.max_memory_allocated() / 2**30
