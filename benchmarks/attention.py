"""`python -m benchmarks.attention`: ways to cut the Triton kernels of attention into blocks.

BigGAN-deep-128's shapes. Each kernel is timed with each cut, those in use first: queries and keys in a block, warps,
stages. Takes less than a minute on an H100, most of it to compile.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
import torch
from triton.testing import do_bench  # pyright: ignore[reportMissingImports]

from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, device_option
from biggan_discovery.generators.fast import attention_kernels as kernels
from biggan_discovery.generators.fast.attention_kernels import LARGE, Launch

_CUTS = {
    "forward": (LARGE.forward, Launch(128, 128, 8, 2), Launch(128, 64, 4, 2), Launch(64, 64, 4, 3)),
    "grad_queries": (LARGE.grad_queries, Launch(128, 64, 8, 3), Launch(64, 64, 4, 2), Launch(128, 128, 8, 2)),
    "grad_keys": (LARGE.grad_keys, Launch(64, 64, 4, 2), Launch(32, 128, 8, 3), Launch(128, 64, 4, 2)),
}


@click.command()
@device_option
@click.option("--images", type=POSITIVE_INT, default=384, show_default=True, help="Images at once.")
def benchmark(device: str, images: int) -> None:
    """Time each kernel with each cut."""
    click.echo("| kernel | queries, keys, warps, stages | ms |\n|---|---|---|")
    for row in _rows(device, images):
        click.echo(row)


def _rows(device: str, images: int) -> Iterator[str]:
    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(images, *shape, device=device, dtype=torch.float16)

    queries, keys, values, grad = 0.3 * normal(4096, 32), normal(1024, 32), normal(1024, 128), normal(4096, 128)
    for kernel, cuts in _CUTS.items():
        for cut in cuts:
            launches = LARGE._replace(**{kernel: cut})
            try:
                out, log_sums = kernels.attend(queries, keys, values, launches=launches)

                def forward(launches: kernels.Launches = launches) -> object:
                    return kernels.attend(queries, keys, values, launches=launches)

                def backward(launches: kernels.Launches = launches) -> object:
                    return kernels.attend_backward(queries, keys, values, out, log_sums, grad, launches=launches)  # noqa: B023

                time = do_bench(forward if kernel == "forward" else backward, warmup=10, rep=60, return_mode="median")
                found = f"{time:.2f}"
            except Exception as error:  # Triton's own, for a cut that does not fit
                found = str(error).splitlines()[0][:80]
            whole = "" if kernel == "forward" else " (both gradients)"
            yield f"| {kernel}{whole} | {', '.join(map(str, cut))} | {found} |"


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.attention")
