"""`python -m benchmarks.discovery`: what a search with default settings achieves, over several seeds.

Prints the held-out Hessian Penalty of learned, random and coordinate directions, and how well each recovers the known
factors (mean |cos| of each true direction with its partner, matched one to one).
"""

from __future__ import annotations

import statistics
from pathlib import Path

import click
import torch

from biggan_discovery import Directions, discover, load_generator
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, generator_option
from biggan_discovery.directions import initial_matrix
from biggan_discovery.evaluation import held_out_penalty, recovery
from biggan_discovery.generators import FrozenGenerator


def _row(generator: FrozenGenerator, Q: torch.Tensor) -> tuple[float, float]:
    assert generator.true_directions is not None
    path_size = float(str(generator.defaults()["path_size"]))
    return held_out_penalty(generator, Q, path_size=path_size).mean, recovery(Q, generator.true_directions).mean


def _spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.4g}"
    return f"{statistics.mean(values):.4g} ± {statistics.stdev(values):.2g}"


@click.command()
@generator_option
@click.option("--seeds", type=POSITIVE_INT, default=3, show_default=True)
@click.option("--steps", type=POSITIVE_INT, help="[default: the generator's]")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/benchmark"), show_default=True)
def benchmark(generator: str, seeds: int, steps: int | None, out: Path, **_: object) -> None:
    """Search with default settings for several seeds, and compare with random and coordinate directions."""
    loaded = load_generator(generator)
    learned: list[Directions] = []
    for seed in range(seeds):
        learned.append(
            discover(loaded, seed=seed, steps=steps, out=out / f"{loaded.name}-{steps or 'default'}-seed{seed}")
        )
    matrices = {
        "learned": [found.Q for found in learned],
        "random": [initial_matrix("random", loaded.z_dim, loaded.z_dim, 1000 + seed) for seed in range(seeds)],
        "coordinates": [initial_matrix("coordinates", loaded.z_dim, loaded.z_dim, 0)],
    }
    figures = {name: [_row(loaded, Q) for Q in each] for name, each in matrices.items()}
    reference = statistics.mean(penalty for penalty, _ in figures["random"])
    click.echo("| directions | held-out Hessian Penalty | against random | recovery of the true factors |")
    click.echo("|---|---|---|---|")
    for name, rows in figures.items():
        penalties, recoveries = ([row[index] for row in rows] for index in (0, 1))
        change = 100 * (statistics.mean(penalties) / reference - 1)
        click.echo(f"| {name} | {_spread(penalties)} | {change:+.0f} % | {_spread(recoveries)} |")
    settings = learned[0].metadata["settings"]
    shown = ", ".join(f"{key} {settings[key]}" for key in ("steps", "batch", "probes", "lr", "path_size", "epsilon"))
    click.echo(f"{seeds} seeds; {shown}")


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.discovery")
