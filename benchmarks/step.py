"""`python -m benchmarks.step`: a search step, the reference implementation against ours.

The reference is the authors' network and their loss (2k + 1 passes of the whole batch). Each side runs in its own
process with the same allocator, in alternation, after one warm-up step. Prints a Markdown table; --out also writes it
to a file, with the figures as JSON.

    python -m benchmarks.step --generator random:biggan-deep-128 --batch 8
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.sides import SIDES, Side, generator_folder, peak, release_freed_memory, reset_peak, shown, spread
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, device_option
from biggan_discovery.files import atomic_write

_EPSILON, _PATH_SIZE = 0.1, 5.0
_side: dict[str, Any] = {}
"""The state of a side's process."""


@click.command()
@click.option("--generator", default="random:biggan-deep-128", show_default=True, metavar="NAME|PATH|random:NAME")
@device_option
@click.option("--batch", type=POSITIVE_INT, default=2, show_default=True, help="Samples per step.")
@click.option("--probes", type=click.IntRange(2), default=2, show_default=True, help="Probes per sample.")
@click.option("--rounds", type=POSITIVE_INT, default=5, show_default=True, help="Steps per side.")
@click.option("--micro-batch", type=POSITIVE_INT, help="Images at once, our side.  [default: by memory]")
@click.option("--precision", default="auto", show_default=True, help="Precision of our side, as in discover.")
@click.option("--alone", is_flag=True, help="Our side only.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write OUT.json and OUT.md.")
def benchmark(
    generator: str,
    device: str,
    batch: int,
    probes: int,
    rounds: int,
    micro_batch: int | None,
    precision: str,
    alone: bool,
    out: Path | None,
) -> None:
    """Time a search step of the reference implementation and ours, in alternation."""
    with generator_folder(generator) as folder, ExitStack() as stack:
        asked = (folder, device, batch, probes, micro_batch, precision)
        sides = {name: Side(stack, _prepare, name, *asked) for name in SIDES[alone:]}
        first = {name: side.run(_step) for name, side in sides.items()}
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds):
            for name, side in sides.items():
                seconds[name].append(side.run(_step))
            click.echo(f"round {number + 1}: " + ", ".join(f"{seconds[name][-1]:.3g} s" for name in sides), err=True)
        facts = {name: side.run(_facts) for name, side in sides.items()}
        ceiling = sides["ours"].run(_ceiling)
    figures = {
        "generator": generator,
        "batch": batch,
        "probes": probes,
        "rounds": rounds,
        "machine": facts["ours"].pop("machine"),
        "convolution_ceiling_gflops": ceiling,
        "ratio": None if alone else spread([b / a for b, a in zip(*seconds.values(), strict=True)]),
        **{
            name: {
                "seconds": spread(seconds[name]),
                "first_step_seconds": first[name],
                "fraction_of_ceiling": facts[name]["gflop"] / spread(seconds[name])["median"] / ceiling,
                **facts[name],
            }
            for name in sides
        },
    }
    table = _table(figures)
    click.echo(table)
    if out is not None:
        atomic_write(out.with_name(f"{out.name}.json"), json.dumps(figures, indent=1) + "\n")
        atomic_write(out.with_name(f"{out.name}.md"), table + "\n")


def _table(figures: dict[str, Any]) -> str:
    lines = [
        "| | seconds a step | first step | GFLOP a step | of the convolution ceiling | memory above the weights |",
        "|---|---|---|---|---|---|",
    ]
    for name in filter(figures.__contains__, SIDES):
        side = figures[name]
        lines.append(
            f"| {name} | {shown(side['seconds'], 's')} | {side['first_step_seconds']:.3g} s | {side['gflop']:.0f} | "
            f"{100 * side['fraction_of_ceiling']:.0f} % | {side['peak_gib']:.2f} GiB |"
        )
    ratio = figures["ratio"]
    faster = (
        f", **{ratio['median']:.2f} times as fast** ({ratio['smallest']:.2f}-{ratio['largest']:.2f})" if ratio else ""
    )
    lines += [
        "",
        f"{figures['generator']}, batch {figures['batch']}, k {figures['probes']}, {figures['rounds']} rounds: "
        f"medians (smallest-largest){faster}. Micro-batch {figures['ours']['micro_batch']}, "
        f"{figures['ours']['precision']}. "
        f"Convolution ceiling {figures['convolution_ceiling_gflops']:.0f} GFLOP/s. {figures['machine']}.",
    ]
    return "\n".join(lines)


def _prepare(
    name: str, folder: str, device: str, batch: int, probes: int, micro_batch: int | None, precision: str
) -> None:
    """Load one side and the samples, which are the same for both."""
    import torch

    from biggan_discovery.generators import load_generator
    from biggan_discovery.generators.batching import Batch, gradient_batch
    from biggan_discovery.generators.layer_range import parse_layers
    from biggan_discovery.numerics.streams import Stream
    from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
    from biggan_discovery.objectives.samples import draw
    from biggan_discovery.search.precision import gradient_precision, in_precision
    from biggan_discovery.search.settings import AdamSettings

    torch.set_grad_enabled(True)
    generator = load_generator(folder, device=device)
    if name == "reference":
        generator = generator.reference()
    z_dim, classes = generator.z_dim, list(range(generator.num_classes))
    if name == "ours":
        settings = AdamSettings(
            classes=[*classes],
            layers=parse_layers("all", generator.num_layers),
            directions=z_dim,
            seed=0,
            steps=1,
            batch=batch,
            lr=1.0,
            path_size=_PATH_SIZE,
            epsilon=_EPSILON,
            probes=probes,
            orthogonalize="qr",
            init="random",
            precision=precision,
            micro_batch=micro_batch,
        )
        precision, facts = gradient_precision(generator, settings, HESSIAN_PENALTY)
        _side.update(cosine=facts.get("gradient_cosine"))
        generator = in_precision(generator, precision)
    Q = torch.linalg.qr(torch.randn(z_dim, z_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    samples = draw(
        generator,
        classes,
        z_dim,
        count=batch,
        probes=probes,
        path_size=_PATH_SIZE,
        seed=0,
        stream=Stream.SEARCH,
        step=0,
    )
    _side.update(name=name, generator=generator, Q=Q.to(generator.device, generator.dtype), samples=samples)
    if name == "ours":
        at_once = Batch(micro_batch) if micro_batch else gradient_batch(generator)
        _side.update(micro_batch=at_once, precision=precision)
    release_freed_memory()  # Memory left over from loading does not count.
    _side.update(before=_reset_peak())


def _step() -> float:
    """Duration of one step in seconds."""
    begin = time.perf_counter()
    _run(_side["samples"])
    return time.perf_counter() - begin


def _run(samples: Any) -> None:
    """One step; its value on the CPU means that the GPU has finished."""
    from benchmarks.reference import reference_step
    from biggan_discovery.numerics.arithmetic import arithmetic
    from biggan_discovery.objectives.gradient import objective_gradient
    from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY

    generator, Q = _side["generator"], _side["Q"]
    if _side["name"] == "reference":
        gradient = reference_step(generator, Q, samples, _EPSILON)[1]
    else:
        with arithmetic(_side["precision"]):
            found = objective_gradient(HESSIAN_PENALTY, generator, Q, samples, _EPSILON, batch=_side["micro_batch"])
        gradient = found.gradient
    gradient.sum().item()


def _facts() -> dict[str, Any]:
    """Peak memory and floating-point operations of a step."""
    import torch

    memory = _peak() - _side["before"]
    flop = flop_of(lambda: _run(_side["samples"].split(1)[0]))  # All samples cost the same.
    device = _side["generator"].device
    machine = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.get_num_threads()} CPU cores, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    )
    return {
        "gflop": flop * len(_side["samples"].z) / 1e9,
        "peak_gib": memory,
        "micro_batch": _side["micro_batch"].size if "micro_batch" in _side else None,
        "precision": _side.get("precision"),
        "gradient_cosine": _side.get("cosine"),
        "machine": f"{machine}, torch {torch.__version__}",
    }


def flop_of(function: Callable[[], object]) -> int:
    """Floating-point operations of products and convolutions, by PyTorch's counter, which does not count `baddbmm_`."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    in_place = {torch.ops.aten.baddbmm_: lambda _, a, b, **__: 2 * math.prod(a) * b[-1]}
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        function()
    return counter.get_total_flops()


def _reset_peak() -> float:
    import torch

    device = _side["generator"].device
    if device.type != "cuda":
        return reset_peak()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device) / 2**30


def _peak() -> float:
    import torch

    device = _side["generator"].device
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else peak()


def _ceiling() -> float:
    """GFLOP/s of the fastest 3 × 3 convolution in our precision, over several sizes that fit in the caches."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    from biggan_discovery.search.precision import SIXTEEN_BITS, arithmetic

    precision = _side["precision"]
    place = {"device": _side["generator"].device, "dtype": SIXTEEN_BITS.get(precision, torch.float32)}
    rates = []
    for channels, size in ((64, 32), (128, 32), (256, 16), (512, 16)):
        for count in (4, 64 if place["device"].type == "cuda" else 1):
            x = torch.randn(count, channels, size, size, **place).to(memory_format=torch.channels_last)
            weight = torch.randn(channels, channels, 3, 3, **place).to(memory_format=torch.channels_last)
            gflop = 2 * count * channels**2 * size**2 * 9 / 1e9
            with torch.no_grad(), arithmetic(precision):
                rates.append(gflop / min(_seconds(lambda x=x, w=weight: F.conv2d(x, w, padding=1)) for _ in range(7)))
    return max(rates)


def _seconds(function: Any, repeats: int = 5) -> float:
    begin = time.perf_counter()
    for _ in range(repeats - 1):
        function()
    function().sum().item()
    return (time.perf_counter() - begin) / repeats


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.step")
