"""`python -m benchmarks.targets`: directions that are asked for, on a generator whose true factors are known.

Prints a table for each question, over several seeds: which true direction a region gives, and how much of its change
lies inside; how well wanted edits are made at latents that they were not fitted to, and by which true direction; and
which names the true directions get from what they change.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import click
import torch
from torch.nn.functional import normalize

from biggan_discovery import Directions, discover, load_generator
from biggan_discovery.cli.options import POSITIVE_INT
from biggan_discovery.evaluation.ranges import recommend_ranges
from biggan_discovery.evaluation.suggestions import suggest_from_changes
from biggan_discovery.generators import FrozenGenerator

GENERATOR = "scenes-64"
TARGETS = (
    *("zoom", "shift-x", "shift-y", "rotate", "brighter", "contrast", "saturation", "hue", "warmer"),
    *("hue@upper", "hue@lower", "hue@centre"),
)
REGIONS = {"upper": "wall hue", "lower": "floor hue", "centre": "object hue"}


@click.command()
@click.option("--seeds", type=POSITIVE_INT, default=3, show_default=True)
@click.option("--only", type=click.Choice(["regions", "targets", "names", "ranges"]), help="One table only.")
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


def targets(generator: FrozenGenerator, seeds: Sequence[int]) -> None:
    """Every edit, with the cosine at held-out latents and the nearest true direction."""
    found = [
        discover(generator, target=",".join(TARGETS), seed=seed, judge=False, quiet=True, samples=16) for seed in seeds
    ]
    click.echo("| target | cosine at other latents | nearest factor | cosine |\n|---|---|---|---|")
    for row, target in enumerate(TARGETS):
        reached = [each.metadata["target_cosine"][row] for each in found]
        near = [max((abs(cosine_with(generator, each, row, f)), f) for f in generator.factor_names) for each in found]
        factors = " / ".join(dict.fromkeys(factor for _, factor in near))
        click.echo(f"| {target} | {spread(reached)} | {factors} | {spread([cosine for cosine, _ in near])} |")


def names(generator: FrozenGenerator, seeds: Sequence[int]) -> None:
    """Names of the true directions and of random ones."""
    assert generator.true_directions is not None
    rows = normalize(generator.true_directions, dim=1)
    by_seed = []
    for seed in seeds:
        true = Directions(rows, rows, {"settings": {"orthogonalize": "none"}})
        random = discover(generator, method="random", directions=len(rows), seed=seed, judge=False, quiet=True)
        by_seed.append([suggest_from_changes(each, generator, seed=seed) for each in (true, random)])
    click.echo("| factor | resembles most | cosine | named, of seeds |\n|---|---|---|---|")
    for row, factor in enumerate(generator.factor_names):
        found = [true[row] for true, _ in by_seed]
        nearest = " / ".join(dict.fromkeys(each.edit for each in found))
        cosines = spread([abs(each.cosine) for each in found])
        click.echo(f"| {factor} | {nearest} | {cosines} | {sum(each.named for each in found)} of {len(found)} |")
    named = sum(each.named for _, random in by_seed for each in random)
    click.echo(f"random directions: {named} of {len(by_seed) * len(rows)} named")


def ranges(generator: FrozenGenerator, seeds: Sequence[int]) -> None:
    """How far the edits of the true directions hold."""
    assert generator.true_directions is not None
    rows = normalize(generator.true_directions, dim=1)
    by_seed = []
    for seed in seeds:
        true = Directions(rows, rows, {"settings": {"orthogonalize": "none"}})
        recommend_ranges(true, generator, seed=seed)
        by_seed.append(true.recommended_ranges)
    click.echo("| factor | from | to |\n|---|---|---|")
    for row, factor in enumerate(generator.factor_names):
        ends = [each[row] for each in by_seed]
        lows, highs = zip(*(end for end in ends if end), strict=True)
        click.echo(f"| {factor} | {spread(lows)} | {spread(highs)} |")


def cosine_with(generator: FrozenGenerator, found: Directions, row: int, factor: str) -> float:
    """Cosine between a direction and the true one of a factor."""
    assert generator.true_directions is not None
    truth = generator.true_directions[generator.factor_names.index(factor)]
    return torch.dot(normalize(found.Q[row].double(), dim=0), normalize(truth.double(), dim=0)).item()


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean, and the range over seeds where it can be seen."""
    low, high = (f"{each:.{digits}f}" for each in (min(values), max(values)))
    return f"{statistics.mean(values):.{digits}f}" + (f" ({low} to {high})" if low != high else "")


TABLES: dict[str, Callable[[FrozenGenerator, Sequence[int]], None]] = {
    "regions": regions,
    "targets": targets,
    "names": names,
    "ranges": ranges,
}

if __name__ == "__main__":
    benchmark()
