"""Full-size networks with random weights, with the real files, loader and commands.

    python -m benchmarks.full_size --network biggan-deep-512

Creates the network, saves it in its published format, and prints a table row: seconds and peak memory of loading it, of
    a search that is stopped and saved after its first step (of one sample), and of a film strip of seven pictures, each
    in a fresh process; then the maximum difference of its images from another implementation with the same weights: the
    package's own network for BigGAN-deep, plain layers for BigGAN-PyTorch.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import click

from biggan_discovery.cli import run

_CLONE = Path(__file__).parents[1]
_TRUNCATION = 0.4  # A multiple of the package's step of 0.02, also in floating point.


def _deep(resolution: int, *blocks: tuple[bool, int, int]) -> dict[str, Any]:
    start = ((False, 16, 16), (True, 16, 16), (False, 16, 16), (True, 16, 8), (False, 8, 8))
    return {"output_dim": resolution, "layers": [*start, *blocks]}  # The package's defaults are the published values.


_TO_128 = ((True, 8, 4), (False, 4, 4), (True, 4, 2), (False, 2, 2), (True, 2, 1))
NETWORKS: dict[str, dict[str, Any]] = {
    "biggan-deep-128": _deep(128, *_TO_128),
    "biggan-deep-256": _deep(256, (True, 8, 8), (False, 8, 8), *_TO_128),
    "biggan-deep-512": _deep(512, (True, 8, 8), (False, 8, 8), *_TO_128, (False, 1, 1), (True, 1, 1)),
    "brock-128": {
        "G_ch": 96,
        "widths": (16, 16, 8, 4, 2, 1),
        "G_attn": 64,
        "dim_z": 120,
        "shared_dim": 128,
        "n_classes": 1000,
    },
}
"""The published networks: arguments of `BigGANConfig`, or settings of BigGAN-PyTorch."""


class _Cost(NamedTuple):
    """Duration in seconds and peak memory in GiB of a process."""

    seconds: float
    peak: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.peak:.2f} GiB"


@click.command()
@click.option("--network", "networks", multiple=True, type=click.Choice(list(NETWORKS)), help="[default: all]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to keep the networks in.  [default: none]")
def benchmark(networks: tuple[str, ...], out: Path | None) -> None:
    """Load full-size random networks, take a search step and draw a film strip; print the cost of each."""
    click.echo("| network | parameters | weights file | load | search step | film strip | largest difference |")
    click.echo("|---|---|---|---|---|---|---|")
    for name in networks or NETWORKS:
        with tempfile.TemporaryDirectory() as place:
            click.echo(f"| {name} | {' | '.join(_row(name, (out or Path(place)) / name, Path(place)))} |")


def _row(name: str, folder: Path, place: Path) -> list[str]:
    matrix, directions = str(place / "matrix.npy"), str(place / "found.safetensors")
    parameters, difference = _in_child(_make, name, folder, matrix)
    size = max(path.stat().st_size for path in folder.iterdir())
    load = _in_child(_load, folder)
    generator = ("--generator", str(folder))
    search = ("--steps", "1", "--batch", "1", "--out", str(place / "run"))
    # Judging follows the step and takes as long as hundreds of steps.
    step = _command("discover.py", *generator, *search, until="searching: 1/1")
    _command("-m", "biggan_discovery", "import", matrix, *generator, "--class", "207", "--out", directions)
    strip = _command("visualize.py", directions, "--out", str(place / "strip.png"))
    return [f"{parameters:,}", f"{size:,} bytes", str(load), str(step), str(strip), difference]


def _in_child(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function, called in its own process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def _make(name: str, folder: Path, matrix: str) -> tuple[int, str]:
    """Save a network and one direction; return the parameter count and the error of our images."""
    import numpy as np

    from benchmarks.random_networks import save_biggan_deep, save_brock
    from biggan_discovery.generators import load_generator

    is_deep = name.startswith("biggan-deep")
    made = (save_biggan_deep if is_deep else save_brock)(folder, NETWORKS[name])
    np.save(matrix, made.z[:1])
    if is_deep:
        return made.parameters, _compare(*_images(folder, "float32"), *_images(folder, "float64"))
    return made.parameters, f"{_gap(load_generator(folder, device='cpu')(made.z, made.y), made.images):.1e}"


def _images(folder: Path, kind: str) -> tuple[Any, Any]:
    """One image by our network, and by the package's own, which loads the same files."""
    import torch
    from pytorch_pretrained_biggan import BigGAN

    from biggan_discovery.generators.biggan_deep import BigGANDeep

    dtype = getattr(torch, kind)
    ours = BigGANDeep(folder, name="ours", truncation=_TRUNCATION, dtype=dtype)
    z = _TRUNCATION * torch.randn(1, ours.z_dim, generator=torch.Generator().manual_seed(1)).clamp(-2, 2).to(dtype)
    y = torch.tensor([207])
    with torch.no_grad():
        image = ours(z, y)
        del ours
        package = BigGAN.from_pretrained(str(folder)).to(dtype).eval()
        return image, package(z, torch.eye(1000, dtype=dtype)[y], _TRUNCATION)


def _compare(single: Any, package_single: Any, double: Any, package_double: Any) -> str:
    """The difference in float32 and float64, and the rounding error of each implementation in float32."""
    return (
        f"float32 {_gap(single, package_single):.1e} (rounding: ours {_gap(single, double):.1e}, the package's "
        f"{_gap(package_single, package_double):.1e}), float64 {_gap(double, package_double):.1e}"
    )


def _gap(images: Any, others: Any) -> float:
    return (images - others).abs().max().item()


def _load(folder: Path) -> _Cost:
    from biggan_discovery.generators import load_generator

    begin = time.perf_counter()
    load_generator(folder, device="cpu")
    return _Cost(time.perf_counter() - begin, _gib(resource.getrusage(resource.RUSAGE_SELF)))


def _command(*words: str, until: str = "") -> _Cost:
    """The cost of a command; with `until`, it is stopped once it prints that."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=_CLONE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if until and line.startswith(until):
            process.terminate()
    # `os.wait4` reports the memory of this child alone.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != (128 + signal.SIGTERM if until else 0):
        raise click.ClickException(f"{' '.join(words)}: {''.join(said) or f'exit code {process.returncode}'}")
    return _Cost(time.perf_counter() - begin, _gib(usage))


def _gib(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.full_size")
