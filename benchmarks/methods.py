"""`python -m benchmarks.methods`: every method on a generator whose true directions are known, over several seeds.

Prints one table: held-out Hessian Penalty and OroJaR, generator evaluations, seconds, and how well known factors are
recovered (mean |cos| of each true direction with its partner, matched one to one). Finished runs are reused.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import click

from biggan_discovery import Directions, discover, load_generator
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, generator_option
from biggan_discovery.evaluation import held_out_values, recovery
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import FrozenGenerator

METHODS: dict[str, dict[str, Any]] = {
    "both together, joint diagonalization": {"method": "combined"},
    "Hessian Penalty, joint diagonalization": {"method": "hessian", "solver": "joint-diagonalization"},
    "Hessian Penalty, Adam": {"method": "hessian", "solver": "adam"},
    "OroJaR, joint diagonalization": {"method": "orojar", "solver": "joint-diagonalization"},
    # Fewer steps than the generator's default, to save time.
    "OroJaR, Adam": {"method": "orojar", "solver": "adam", "steps": 150},
    "SeFa": {"method": "sefa"},
    "GANSpace": {"method": "ganspace"},
    "Jacobian": {"method": "jacobian"},
    "random": {"method": "random"},
    "coordinates": {"method": "coordinates"},
}
_HEAD = ("method", "held-out Hessian Penalty", "held-out OroJaR", "generator evaluations", "seconds", "recovery")


@click.command()
@generator_option
@click.option("--method", "titles", multiple=True, type=click.Choice(tuple(METHODS)), help="Row.  [default: all]")
@click.option("--seeds", type=POSITIVE_INT, default=3, show_default=True)
@click.option("--adam-steps", type=POSITIVE_INT, help="Steps of Adam.  [default: the generator's; 150 for OroJaR]")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/methods"), show_default=True)
def benchmark(generator: str, titles: tuple[str, ...], seeds: int, adam_steps: int | None, out: Path) -> None:
    """Run every method with default settings for several seeds and compare what they find."""
    loaded = load_generator(generator)
    figures = {
        name: [_figures(loaded, name, seed, adam_steps, out) for seed in range(seeds)] for name in titles or METHODS
    }
    click.echo("| " + " | ".join(_HEAD) + " |\n" + "|---" * len(_HEAD) + "|")
    for name, rows in figures.items():
        click.echo(f"| {name} | " + " | ".join(_spread(column) for column in zip(*rows, strict=True)) + " |")
    click.echo(f"{loaded.name}; {seeds} seeds, mean ± standard deviation; seconds without judging, on {loaded.device}")


def search(generator: FrozenGenerator, name: str, seed: int, out: Path, adam_steps: int | None = None) -> Directions:
    """The directions of a method of `METHODS`; its run is kept in a folder in `out` and reused."""
    asked = METHODS[name]
    if adam_steps and asked.get("solver") == "adam":
        asked = {**asked, "steps": adam_steps}
    return discover(generator, seed=seed, out=run_folder(out, name, seed), judge=False, **asked)


def run_folder(out: Path, name: str, seed: int) -> Path:
    """The folder of the run of a method and seed."""
    return out / f"{name}-{seed}"


def _figures(generator: FrozenGenerator, name: str, seed: int, adam_steps: int | None, out: Path) -> tuple[float, ...]:
    """One row of the table, in its order."""
    begin = time.monotonic()
    found = search(generator, name, seed, out, adam_steps)
    kept = run_folder(out, name, seed) / "figures.json"
    if not kept.exists():
        atomic_write(kept, json.dumps(_measure(generator, found, time.monotonic() - begin)))
    return tuple(json.loads(kept.read_text()))


def _measure(generator: FrozenGenerator, found: Directions, seconds: float) -> list[float]:
    defaults = generator.defaults()
    held_out = [
        held_out_values(
            generator,
            found.Q,
            objective=objective,
            path_size=float(str(defaults["path_size"])),
            epsilon=float(str(defaults["epsilon"])),
        )
        .mean()
        .item()
        for objective in ("hessian", "orojar")
    ]
    assert generator.true_directions is not None
    matched = recovery(found.Q, generator.true_directions).mean
    return [*held_out, found.metadata["generator_evaluations"], seconds, matched]


def _spread(values: tuple[float, ...]) -> str:
    """Mean ± standard deviation; only the mean if all values are equal."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{_short(statistics.mean(values))} ± {_short(spread)}" if spread else _short(statistics.mean(values))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.methods")
