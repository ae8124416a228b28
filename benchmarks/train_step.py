"""`python -m benchmarks.train_step`: seconds of a training step without and with each regularizer, in one run.

Prints a table: seconds per step, and how many times those of a step without a regularizer. On a CPU, these are seconds
of processor time of one thread, which other work on the machine hardly changes.
"""

from __future__ import annotations

import dataclasses
import math
import time

import click
import torch

from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, device_option
from biggan_discovery.generators.catalogue import find_device
from biggan_discovery.runs.folder import State
from biggan_discovery.runs.interrupts import Interrupts
from biggan_discovery.training.architecture import Architecture
from biggan_discovery.training.data import Images
from biggan_discovery.training.loop import COLUMNS, train_steps
from biggan_discovery.training.networks import Networks
from biggan_discovery.training.regularizers.table import NONE, REGULARIZERS, complete_regularizer, regularizer_of
from biggan_discovery.training.settings import TrainingSettings, complete

_CLASSES = 10
_SIZES = ("resolution", "width", "z_dim", "shared_dim", "chunks", "attention")
_ROUNDS = 3


@click.command()
@click.option("--resolution", type=POSITIVE_INT, default=32, show_default=True)
@click.option("--width", type=POSITIVE_INT, default=16, show_default=True)
@click.option("--batch", type=POSITIVE_INT, default=16, show_default=True)
@click.option("--steps", type=POSITIVE_INT, default=4, show_default=True, help="Of each of three rounds.")
@device_option
def benchmark(resolution: int, width: int, batch: int, steps: int, device: str) -> None:
    """Time training steps on random images."""
    torch.set_num_threads(1)
    place = find_device(device)
    asked = {"width": width, "batch": batch, "steps": steps, "precision": "float32"}
    settings = complete(asked, resolution=resolution, rendered=False)
    sizes = Architecture(classes=_CLASSES, **{name: getattr(settings, name) for name in _SIZES})
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (256, resolution, resolution, 3), generator=random, dtype=torch.uint8)
    images = Images(pixels, torch.arange(256) % _CLASSES, tuple(map(str, range(_CLASSES))))
    kinds = {
        name: complete_regularizer(dataclasses.replace(settings, regularizer=name), sizes.activations, tuned=False)
        for name in (NONE, *REGULARIZERS)
    }
    rounds = [{name: _seconds(sizes, images, each, place) for name, each in kinds.items()} for _ in range(_ROUNDS)]
    click.echo("| regularizer | activations | seconds per step | ratio |\n|---|---|---|---|")
    fastest = {name: min(of_round[name] for of_round in rounds) for name in kinds}
    for name, seconds in fastest.items():
        layers = (kinds[name].layers_to_regularise or "").replace(",", ", ")
        click.echo(f"| {name} | {layers} | {seconds:.3f} | {seconds / fastest[NONE]:.2f} |")
    steps_of_d = settings.d_steps
    click.echo(f"{resolution} px, width {width}, batch {batch}, {steps_of_d} steps of D for each of G, on {place}")


def _seconds(sizes: Architecture, images: Images, settings: TrainingSettings, device: torch.device) -> float:
    """Seconds per step, after as many steps to warm up."""
    networks = Networks(sizes, settings, device)
    state = State({}, networks.tensors(), COLUMNS, settings.steps)
    clock = time.process_time if device.type == "cpu" else time.monotonic
    begun = 0.0
    for steps in (settings.steps, 2 * settings.steps):
        begun = clock()
        train_steps(
            networks,
            images,
            dataclasses.replace(settings, steps=steps),
            state,
            seconds=0.0,
            regularizer=regularizer_of(settings),
            interrupts=Interrupts(),
            trackers=[],
            save=lambda *_: None,
            save_every=math.inf,
            quiet=True,
        )
    return (clock() - begun) / settings.steps


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.train_step")
