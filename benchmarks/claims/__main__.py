"""`python -m benchmarks.claims`: generators trained with and without the regularizers of the papers, compared.

For every seed, a base is trained on scenes with eight known factors, with a z of 16 coordinates. It is fine-tuned with
nothing, the Hessian Penalty, OroJaR and the spectral regularizer, on the same images and latents. All generators are
judged along the axes of z. Prints a table and writes table.md, figures.json and hessians.png. Everything that is
finished is kept, and the same command resumes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from benchmarks.claims.judging import figures, judges
from benchmarks.claims.report import heat_maps, table
from benchmarks.claims.runs import BASE, SIZES, VARIANTS, base_of, seconds_of, tuned
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, device_option, quiet_option
from biggan_discovery.files import atomic_write
from biggan_discovery.scenes.table import SCENES


@click.command()
@click.option("--scene", type=click.Choice(sorted(SCENES)), default="apart", show_default=True)
@click.option("--size", type=click.Choice(list(SIZES)), default="cpu", show_default=True)
@click.option("--seeds", type=POSITIVE_INT, default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/claims"), show_default=True)
@device_option
@quiet_option
def benchmark(scene: str, size: str, seeds: int, out: Path, device: str, quiet: bool) -> None:
    """Train, fine-tune and judge."""
    sizes, rendered = SIZES[size], SCENES[scene]
    folder = out / f"{scene}-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    judge = judges(rendered, sizes, folder, quiet=quiet)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (BASE, *VARIANTS)}
    for seed in range(seeds):
        base = base_of(rendered.checkpoint, sizes, seed, folder, device, quiet=quiet)
        runs = {BASE: base}
        for name in VARIANTS:
            runs[name] = tuned(rendered.checkpoint, sizes, seed, name, folder, device, quiet=quiet)
        for name, trained in runs.items():
            of_run = figures(trained, judge, sizes, device, quiet=quiet)
            found[name].append({**of_run, "minutes": seconds_of(trained) / 60})
        # What there is so far is written after every seed, as all takes long.
        atomic_write(folder / "figures.json", json.dumps(found))
        atomic_write(folder / "table.md", table(found, judge))
        heat_maps(found, folder / "hessians.png")
    click.echo(table(found, judge))


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.claims")
