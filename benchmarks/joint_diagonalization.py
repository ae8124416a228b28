"""`python -m benchmarks.joint_diagonalization`: the effect of more latents and more sketches.

Prints, for both objectives, the generator evaluations, the held-out Hessian Penalty and the recovery of the known
factors.
"""

from __future__ import annotations

from typing import Any

import click

from biggan_discovery import discover, load_generator
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, generator_option

_TRIED: list[dict[str, Any]] = [
    *({"method": "hessian", "samples": samples, "sketches": 0} for samples in (2, 4, 8, 16)),
    *({"method": "hessian", "samples": samples, "sketches": 8} for samples in (4, 8, 16)),
    {"method": "hessian", "samples": 16, "sketches": 4},
    *({"method": "orojar", "samples": samples} for samples in (2, 4, 8, 16, 32)),
]


@click.command()
@generator_option
@click.option("--seeds", type=POSITIVE_INT, default=3, show_default=True)
def benchmark(generator: str, seeds: int) -> None:
    """Run joint diagonalization with different numbers of latents and sketches."""
    loaded = load_generator(generator)
    click.echo("| objective | latents | sketches | generator evaluations | held-out penalty / random | recovery |")
    click.echo("|---|---|---|---|---|---|")
    for asked in _TRIED:
        ratios, recoveries, cost = [], [], 0
        for seed in range(seeds):
            found = discover(loaded, seed=seed, solver="joint-diagonalization", **asked).metadata
            penalties, cost = found["held_out_penalty"], found["generator_evaluations"]
            ratios.append(penalties["after"][0] / penalties["random"][0])
            recoveries.append(found["recovery"]["after"])
        sketches = asked.get("sketches")
        shown = "-" if sketches is None else sketches or "every pixel"
        figures = (", ".join(f"{value:.3f}" for value in values) for values in (ratios, recoveries))
        click.echo(f"| {asked['method']} | {asked['samples']} | {shown} | {cost:,} | " + " | ".join(figures) + " |")
    click.echo(f"{loaded.name}; one figure for each of {seeds} seeds")


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.joint_diagonalization")
