"""`python -m benchmarks.targets`: directions that are asked for, on a generator whose true factors are known.

Prints a table for each question, over several seeds: which true direction a region gives, and how much of its change
lies inside.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import click
import torch
from torch.nn.functional import normalize

from biggan_discovery import Directions, discover, load_generator
from biggan_discovery.cli.options import POSITIVE_INT
from biggan_discovery.generators import FrozenGenerator

GENERATOR = "scenes-64"
REGIONS = {"upper": "wall hue", "lower": "floor hue", "centre": "object hue"}


@click.command()
@click.option("--seeds", type=POSITIVE_INT, default=3, show_default=True)
@click.option("--only", type=click.Choice(["regions"]), help="One table only.")
def benchmark(seeds: int, only: str | None) -> None:
    """Ask for directions with known answers."""
    generator = load_generator(GENERATOR)
    for name, table in TABLES.items():
        if only in (None, name):
            table(generator, range(seeds))


def regions(generator: FrozenGenerator, seeds: Sequence[int]) -> None:
    """The first direction for each region."""
    click.echo("| region | true factor | cosine | share inside | random |\n|---|---|---|---|---|")
    for region, factor in REGIONS.items():
        found = [discover(generator, region=region, directions=1, seed=seed, judge=False, quiet=True) for seed in seeds]
        cosines = [abs(cosine_with(generator, each, 0, factor)) for each in found]
        shares = [each.metadata["region_share"][0] for each in found]
        random = [each.metadata["random_share"] for each in found]
        click.echo(f"| {region} | {factor} | {spread(cosines, 3)} | {spread(shares)} | {spread(random)} |")


def cosine_with(generator: FrozenGenerator, found: Directions, row: int, factor: str) -> float:
    """Cosine between a direction and the true one of a factor."""
    assert generator.true_directions is not None
    truth = generator.true_directions[generator.factor_names.index(factor)]
    return torch.dot(normalize(found.Q[row].double(), dim=0), normalize(truth.double(), dim=0)).item()


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean, and the range over seeds where it can be seen."""
    low, high = (f"{each:.{digits}f}" for each in (min(values), max(values)))
    return f"{statistics.mean(values):.{digits}f}" + (f" ({low} to {high})" if low != high else "")


TABLES: dict[str, Callable[[FrozenGenerator, Sequence[int]], None]] = {"regions": regions}

if __name__ == "__main__":
    benchmark()
