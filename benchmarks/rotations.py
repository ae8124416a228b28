"""`python -m benchmarks.rotations`: which methods find the true directions in any frame of the latent space.

Runs every method except Adam on a generator and on rotated copies of it, and prints the recovery of the true
directions. Copies and runs are reused.
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.methods import METHODS, search
from biggan_discovery import load_generator
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, generator_option
from biggan_discovery.evaluation.metrics.factors import true_directions
from biggan_discovery.evaluation.metrics.recovery import recovery
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.catalogue import find_folder
from biggan_discovery.scenes.rotate import rotate

_METHODS = [name for name, asked in METHODS.items() if asked.get("solver") != "adam"]


@click.command()
@generator_option
@click.option("--rotations", type=POSITIVE_INT, default=3, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/rotations"), show_default=True)
def benchmark(generator: str, rotations: int, out: Path) -> None:
    """Measure the recovery of every method in several frames."""
    name, folder = find_folder(generator)
    frames = {"own frame": load_generator(generator)}
    for seed in range(1, rotations + 1):
        copy = out / f"{name}-{seed}"
        if not copy.exists():
            rotate(folder, copy, seed)
        frames[f"rotated, seed {seed}"] = load_generator(copy)
    click.echo(f"| {name} | " + " | ".join(frames) + " |\n" + "|---" * (len(frames) + 1) + "|")
    for method in _METHODS:
        found = [
            _recovered(loaded, method, out / f"{name}-{index}-runs") for index, loaded in enumerate(frames.values())
        ]
        click.echo(f"| {method} | " + " | ".join(f"{value:.3f}" for value in found) + " |")


def _recovered(generator: FrozenGenerator, method: str, runs: Path) -> float:
    return recovery(search(generator, method, 0, runs).Q, true_directions(generator)).mean


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.rotations")
