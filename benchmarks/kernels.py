"""`python -m benchmarks.kernels`: each fused operation on a GPU against PyTorch's own, and against float64.

Shapes are those of BigGAN-deep-128 (the last row of skip connections: brock-128). For each operation, forward and
backward: the maximum error relative to the largest entry of the float64 result, the median time with and without the
kernels, and the achieved bandwidth as a fraction of a plain copy, counting each tensor read or written once. Attention
is timed with all of its GPU backends (see also `benchmarks.attention`). Prints a Markdown table in under 40 seconds.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from torch import Tensor

from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, device_option
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import fast

_COPIED = 2**28  # Bytes of the copy that gives the bandwidth.
_IMAGES_FOR_ERRORS = 4
_WARM_UP_MS, _MEASURE_MS = 5, 30
_CPU_REPEATS = 3
_DTYPES = {"float16": torch.float16, "float32": torch.float32}


class Case(NamedTuple):
    """An operation to measure.

    Attributes:
        name: label in the table.
        function: function of tensors of one floating-point dtype that returns one or several tensors.
        inputs: shapes of its arguments; the first dimension of each is the number of images.
        others: shapes of arguments without an image dimension, which need no gradient.
        copies: whether the function also copies its result, in both directions.
        ways: names of the implementations and the contexts that select them; the first is the default.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[tuple[int, ...], ...]
    others: tuple[tuple[int, ...], ...] = ()
    copies: bool = False
    ways: dict[str, Callable[[], AbstractContextManager[None]]] = {"kernels": nullcontext, "torch": fast.plain}  # noqa: RUF012


@click.command()
@device_option
@click.option("--images", type=POSITIVE_INT, default=128, show_default=True, help="Images at once.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write OUT.json and OUT.md.")
def benchmark(device: str, images: int, out: Path | None) -> None:
    """Measure the fused operations."""
    figures = measure(device, images)
    click.echo(table(figures))
    if out is not None:
        atomic_write(out.with_name(f"{out.name}.json"), json.dumps(figures, indent=1) + "\n")
        atomic_write(out.with_name(f"{out.name}.md"), table(figures) + "\n")


def measure(device: str, images: int = 128) -> dict[str, Any]:
    """Measure all operations.

    Args:
        device: a GPU; on a CPU, small shapes are run once as a smoke test.
        images: number of images in timed calls.

    Returns:
        "device", "images", "copy_gb_per_second", "seconds", and "rows": a dict for each operation, direction, type and
        implementation.
    """
    begin = time.perf_counter()
    target = torch.device(device)
    name = torch.cuda.get_device_name(target) if target.type == "cuda" else device
    rate = _copy_rate(target)
    rows = []
    for case in _cases(small=target.type != "cuda"):
        for dtype_name, dtype in _DTYPES.items():
            rows += [{"dtype": dtype_name, **row} for row in _rows(case, dtype, images, target, rate)]
    return {
        "device": name,
        "images": images,
        "copy_gb_per_second": rate / 1e9,
        "seconds": time.perf_counter() - begin,
        "rows": rows,
    }


def table(figures: dict[str, Any]) -> str:
    """The figures in Markdown."""
    lines = [
        "| operation | type | by | error forward, backward | forward | of copy | backward | of copy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in figures["rows"]:
        forward, backward = row["forward"], row["backward"]
        lines.append(
            f"| {row['name']} | {row['dtype']} | {row['by']} | {forward['error']:.1e}, {backward['error']:.1e} | "
            + " | ".join(f"{each['ms']:.3f} ms | {100 * each['of_copy']:.0f} %" for each in (forward, backward))
            + " |"
        )
    lines += [
        "",
        f"{figures['device']}, {figures['images']} images, copy {figures['copy_gb_per_second']:.0f} GB/s, torch "
        f"{torch.__version__}, {figures['seconds']:.0f} s in all.",
    ]
    return "\n".join(lines)


def _cases(*, small: bool) -> Iterator[Case]:
    """The operations; `small` ones have a fraction of the height and channels."""
    of_height, of_channels = (8, 16) if small else (1, 1)

    def size(height: int, channels: int) -> tuple[int, int, int]:
        return max(2, height // of_height), max(2, height // of_height), channels // of_channels

    for height, channels, skipped in ((4, 2048, 2048), (16, 1024, 512), (64, 256, 128), (128, 64, 0)):
        x, affine = size(height, channels), (1, 1, channels // of_channels)
        yield Case(
            f"affine + relu, {height}² × {channels}, skip {skipped}",
            partial(_affine_relu, channels=skipped // of_channels),
            (x, affine, affine),
        )
    x = size(128, 128)
    yield Case("last affine + relu, 128² × 128", _last_relu, (x,), ((x[2],), (x[2],)), copies=True)
    for height, inputs, outputs, upsample in ((4, 512, 2048, 0), (64, 64, 256, 0), (128, 64, 128, 1)):
        x = size(height, inputs)
        skip = size(height >> upsample, outputs)
        skip = (x[0] >> upsample, x[1] >> upsample, skip[2])
        name = f"product + {'upsampled ' * upsample}skip, {height}² × {inputs} to {outputs}"
        yield Case(name, partial(_product, upsample=bool(upsample)), (x, skip), ((skip[2], x[2]),))
    x = size(128, 96)
    yield Case("+ upsampled, 128² × 96", _plus_upsampled, (x, (x[0] // 2, x[1] // 2, x[2])))
    for inputs, outputs in ((256, 4096), (256, 32768)):
        sizes = inputs // of_channels, outputs // of_channels
        yield Case(f"linear, {inputs} to {outputs}", fast.linear_by_row, (sizes[:1],), (sizes[::-1], sizes[1:]))
    positions, keys = 4096 // of_height**2, 1024 // of_height**2
    yield Case(
        "attention, 4096 × 1024, 32 and 128",
        fast.attend,
        ((positions, 32), (keys, 32), (keys, 128)),
        ways={
            "kernels": nullcontext,
            "fused": partial(fast.attention_backend, "fused"),
            "blocks": partial(fast.attention_backend, "blocks"),
            "torch": fast.plain,
        },
    )


def _affine_relu(x: Tensor, gain: Tensor, shift: Tensor, *, channels: int) -> tuple[Tensor, ...]:
    activated, skip = fast.affine_relu_and_skip(x, (gain, shift), channels)
    return (activated, skip) if channels else (activated,)


def _last_relu(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    return fast.map_of_relu(x, gain, shift, Tensor.clone, Tensor.clone)


def _product(x: Tensor, skip: Tensor, weight: Tensor, *, upsample: bool) -> Tensor:
    return fast.Pointwise(weight).requires_grad_(False)(x, plus=skip, upsample=upsample)


def _plus_upsampled(x: Tensor, small: Tensor) -> Tensor:
    # torch adds in place, which a leaf does not allow.
    return fast.plus_upsampled(x.clone() if torch.is_grad_enabled() else x, small)


def _rows(
    case: Case, dtype: torch.dtype, images: int, device: torch.device, copy_rate: float
) -> Iterator[dict[str, Any]]:
    for name, way in case.ways.items():
        with way():
            errors, times = _errors(case, dtype, device), _times(case, dtype, images, device)
        directions = {
            direction: {"error": error, "ms": ms, "of_copy": moved / (ms / 1e3) / copy_rate}
            for direction, error, (ms, moved) in zip(("forward", "backward"), errors, times, strict=True)
        }
        yield {"name": case.name, "by": name, **directions}


def _arguments(case: Case, dtype: torch.dtype, images: int, device: torch.device) -> list[Tensor]:
    """Normals, the same ones whatever the type; rows of `others` are scaled to keep products of order 1."""
    random = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, generator=random).to(dtype)

    inputs = [normal(images, *shape).requires_grad_() for shape in case.inputs]
    return inputs + [normal(*shape) / shape[-1] ** (0.5 * (len(shape) > 1)) for shape in case.others]


def _errors(case: Case, dtype: torch.dtype, device: torch.device) -> tuple[float, float]:
    """Of the results and of the gradients, relative to the largest entry of each."""
    arguments = _arguments(case, dtype, _IMAGES_FOR_ERRORS, device)
    wide = [each.detach().double().requires_grad_(each.requires_grad) for each in arguments]
    results, truths = _as_tuple(case.function(*arguments)), _as_tuple(case.function(*wide))
    grads = [truth.detach().to(dtype) for truth in truths]
    gradients = torch.autograd.grad(results, _leaves(arguments), grads)
    expected = torch.autograd.grad(truths, _leaves(wide), [each.double() for each in grads])
    return _largest(results, tuple(each.detach() for each in truths)), _largest(gradients, expected)


def _largest(found: tuple[Tensor, ...], truths: tuple[Tensor, ...]) -> float:
    pairs = zip(found, truths, strict=True)
    return max(float((a.detach().double() - b).abs().max() / b.abs().max()) for a, b in pairs)


def _times(case: Case, dtype: torch.dtype, images: int, device: torch.device) -> list[tuple[float, int]]:
    """Milliseconds, and bytes that have to be moved, forward and backward."""
    arguments = _arguments(case, dtype, images, device)
    inputs = _leaves(arguments)
    outputs = _as_tuple(case.function(*arguments))
    grads = [torch.randn_like(each) for each in outputs]
    moved = sum(each.nbytes for each in arguments)
    given = sum(each.nbytes for each in grads)

    def forward() -> None:
        with torch.no_grad():
            case.function(*arguments)

    def backward() -> None:
        torch.autograd.grad(outputs, inputs, grads, retain_graph=True)

    # A skip connection leaves as a view, so only the first result is written.
    written = outputs[0].nbytes
    copied = 2 * written * case.copies
    return [
        (_milliseconds(forward, device), moved + written + copied),
        (_milliseconds(backward, device), moved + given + copied + sum(each.nbytes for each in inputs)),
    ]


def _leaves(arguments: list[Tensor]) -> list[Tensor]:
    return [each for each in arguments if each.requires_grad]


def _as_tuple(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _milliseconds(function: Callable[[], object], device: torch.device) -> float:
    """The median."""
    if device.type == "cuda":
        from triton.testing import do_bench  # pyright: ignore[reportMissingImports]

        return do_bench(function, warmup=_WARM_UP_MS, rep=_MEASURE_MS, return_mode="median")  # pyright: ignore[reportReturnType]
    seconds = []
    for _ in range(_CPU_REPEATS):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(seconds)


def _copy_rate(device: torch.device) -> float:
    """Bytes read and written per second."""
    source = torch.empty(_COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * _COPIED / (_milliseconds(lambda: target.copy_(source), device) / 1e3)


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.kernels")
