"""`python -m benchmarks.kernels_step`: a search step on a GPU, with and without each optimization of the fast network.

The gradient of one sample is also compared with that in float64. Prints a Markdown table.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import click
import torch
from torch import Tensor

from benchmarks.sides import generator_folder
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, device_option
from biggan_discovery.generators import FrozenGenerator, fast, load_generator
from biggan_discovery.generators.batching import Batch
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.gradient import ObjectiveGradient
from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
from biggan_discovery.objectives.samples import Samples, draw
from biggan_discovery.search.precision import in_precision

_EPSILON, _PATH_SIZE, _PROBES = 0.1, 5.0, 2
_WAYS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "kernels": nullcontext,
    "kernels, fused attention": partial(fast.attention_backend, "fused"),
    "kernels, attention by blocks": partial(fast.attention_backend, "blocks"),
    "torch": fast.plain,
}


@click.command()
@click.option("--generator", default="random:biggan-deep-128", show_default=True, metavar="NAME|PATH|random:NAME")
@device_option
@click.option("--batch", type=POSITIVE_INT, default=96, show_default=True, help="Samples per step.")
@click.option("--micro-batch", type=POSITIVE_INT, multiple=True, help="Images at once.  [default: 64 and all]")
@click.option("--precision", "precisions", multiple=True, default=("float16", "tf32"), show_default=True)
@click.option("--rounds", type=POSITIVE_INT, default=5, show_default=True, help="Steps each.")
def benchmark(
    generator: str, device: str, batch: int, micro_batch: tuple[int, ...], precisions: tuple[str, ...], rounds: int
) -> None:
    """Time a search step with each way to compute."""
    with generator_folder(generator) as folder:
        loaded = load_generator(folder, device=device)
    images = 2 * _PROBES * batch
    click.echo("| precision | by | images at once | a step | memory | cosine to float64 |\n|---|---|---|---|---|---|")
    truth = _gradient(copy.deepcopy(loaded).double(), _samples(loaded, 2, torch.float64), 8)
    for precision in precisions:
        network = in_precision(loaded, precision)
        for name, way in _WAYS.items():
            with way(), arithmetic(precision):
                cosine = _cosine(_gradient(network, _samples(network, 2), 8), truth)
                for at_once in micro_batch or (min(64, images), images):
                    samples = _samples(network, batch)
                    click.echo(
                        _row(precision, name, at_once, _step(network, samples, at_once), rounds, f"{cosine:.4f}")
                    )
        for at_once in micro_batch or (min(64, images), images):
            with arithmetic(precision):
                samples = _samples(network, batch)
                recorded = _step(network, samples, at_once, recorded=True)
                same = torch.equal(recorded(), _step(network, samples, at_once)())
                found = "same bits" if same else "other bits"
                click.echo(_row(precision, "kernels, recorded", at_once, recorded, rounds, found))


def _row(precision: str, name: str, at_once: int, step: Callable[[], Tensor], rounds: int, cosine: str) -> str:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(2 + rounds):
        begin = time.perf_counter()
        step().sum().item()
        seconds.append(time.perf_counter() - begin)
    peak = torch.cuda.max_memory_reserved() / 2**30 if on_gpu else 0
    milliseconds = 1e3 * statistics.median(seconds[2:])
    return f"| {precision} | {name} | {at_once} | {milliseconds:.1f} ms | {peak:.1f} GiB | {cosine} |"


def _samples(generator: FrozenGenerator, count: int, dtype: torch.dtype | None = None) -> Samples:
    samples = draw(
        generator,
        list(range(generator.num_classes)),
        generator.z_dim,
        count=count,
        probes=_PROBES,
        path_size=_PATH_SIZE,
        seed=0,
        stream=Stream.SEARCH,
        step=0,
    )
    dtype = dtype or generator.dtype
    return Samples(samples.z.to(dtype), samples.y, samples.w.to(dtype), samples.probes.to(dtype))


def _directions(generator: FrozenGenerator, dtype: torch.dtype) -> Tensor:
    random = torch.Generator().manual_seed(0)
    Q = torch.linalg.qr(torch.randn(generator.z_dim, generator.z_dim, dtype=torch.float64, generator=random))[0]
    return Q.to(generator.device, dtype)


def _gradient(generator: FrozenGenerator, samples: Samples, at_once: int) -> Tensor:
    return _step(generator, samples, at_once)()


def _step(
    generator: FrozenGenerator, samples: Samples, at_once: int, *, recorded: bool = False
) -> Callable[[], Tensor]:
    Q = _directions(generator, samples.z.dtype)
    gradient_at = ObjectiveGradient(HESSIAN_PENALTY, generator, _EPSILON, batch=Batch(at_once), recorded=recorded)
    return lambda: gradient_at(Q, samples).gradient


def _cosine(a: Tensor, b: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a.double().flatten(), b.double().flatten(), dim=0).item()


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.kernels_step")
