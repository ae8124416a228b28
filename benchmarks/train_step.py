"""`python -m benchmarks.train_step`: seconds of a training step without and with each regularizer, in one run.

Prints a table: seconds per step, and how many times those of a step without a regularizer.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np

from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, device_option
from biggan_discovery.runs.folder import read_saved
from biggan_discovery.training import train
from biggan_discovery.training.regularizers.table import NONE, REGULARIZERS

_WARM_UPS = 4  # steps, in a run of their own: threads start and memory is taken


@click.command()
@click.option("--resolution", type=POSITIVE_INT, default=32, show_default=True)
@click.option("--width", type=POSITIVE_INT, default=16, show_default=True)
@click.option("--batch", type=POSITIVE_INT, default=16, show_default=True)
@click.option("--steps", type=POSITIVE_INT, default=20, show_default=True)
@device_option
def benchmark(resolution: int, width: int, batch: int, steps: int, device: str) -> None:
    """Time training steps on random images."""
    settings = {"resolution": resolution, "width": width, "batch": batch, "device": device, "quiet": True}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images.npz"
        np.savez(data, x=np.random.default_rng(0).integers(0, 256, (256, resolution, resolution, 3), np.uint8))
        rows = []
        for name in (NONE, *REGULARIZERS):
            train(data, out=Path(folder) / f"{name}-first", steps=_WARM_UPS, regularizer=name, **settings)
            saved = read_saved(train(data, out=Path(folder) / name, steps=steps, regularizer=name, **settings))
            assert saved is not None
            rows.append((name, float(saved.facts["seconds"]) / steps, saved.settings.get("layers_to_regularise", "")))
    click.echo("| regularizer | activations | seconds per step | ratio |\n|---|---|---|---|")
    for name, seconds, layers in rows:
        click.echo(f"| {name} | {layers.replace(',', ', ')} | {seconds:.3f} | {seconds / rows[0][1]:.2f} |")
    click.echo(f"{resolution} px, width {width}, batch {batch}, two steps of D for each of G, {steps} steps, {device}")


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.train_step")
