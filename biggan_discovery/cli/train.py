"""`biggan-discovery train`: train a BigGAN."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Callable
from typing import Any

import click

from biggan_discovery import output
from biggan_discovery.cli.options import (
    POSITIVE_FLOAT,
    FiniteRange,
    Grouped,
    IntRange,
    Name,
    Names,
    Seed,
    device_option,
    group,
    quiet_option,
    sibling,
)
from biggan_discovery.runs.trackers import TRACKERS
from biggan_discovery.training.settings import PRESETS, TrainingSettings

_EXAMPLES = """
\b
Examples:
  COMMAND photos --out runs/photos
      a folder of images; sub-folders are classes
  COMMAND photos.tar.xz --resolution 64 --minutes 60 --out runs/photos
      an archive of such, an hour
  COMMAND cifar10.tar.xz --preset cifar-32 --minutes 4 --out runs/cifar
      settings that are known to work
  COMMAND scenes-overlap --resolution 32 --width 16 --out runs/overlap
      rendered images with known factors
  COMMAND photos --init runs/photos --steps 5000 --lr-g 5e-5 --out runs/tuned
      go on from a finished run
  torchrun --nproc-per-node 4 -m biggan_discovery train photos --out runs/photos
      four GPUs

Running the same command again resumes from the last save. The folder is a generator: discover --generator runs/photos.
"""

_FIELDS = {field.name: field for field in dataclasses.fields(TrainingSettings)}


def _option(name: str) -> Callable[[Any], Any]:
    """The option of a setting."""
    field = _FIELDS[name]
    flag = name.replace("_", "-")
    kind, what = _type(field), field.metadata["help"]
    if isinstance(kind, Name):
        what = kind.explain(what.removesuffix("."))
    text = f"{what}  [default: {field.metadata['default']}]"
    if field.type == "bool":
        return click.option(f"--{flag}/--no-{flag}", default=None, help=text)
    return click.option(f"--{flag}", type=kind, help=text)


def _type(field: dataclasses.Field[Any]) -> click.ParamType:
    choices, least, most, above = (field.metadata[key] for key in ("choices", "least", "most", "above"))
    if field.name == "seed":
        return Seed()
    if choices:
        return Name(choices)
    if str(field.type).startswith("int"):
        return IntRange(least, most)
    if str(field.type).startswith("float"):
        return FiniteRange(least if above is None else above, most, min_open=above is not None)
    return click.STRING


def _settings(title: str, *names: str) -> Callable[[Any], Any]:
    return group(title, *map(_option, names))


@click.command("train", cls=Grouped, epilog=_EXAMPLES)
@click.argument("data", metavar="DATA", type=click.Path())
@group(
    "Results",
    click.option("--out", type=click.Path(), metavar="FOLDER", required=True, help="Folder for results."),
    click.option(
        "--save-every", type=POSITIVE_FLOAT, default=5.0, show_default=True, help="Minutes between saves with samples."
    ),
    click.option(
        "--tracker", type=Names(TRACKERS), help="Also record losses and samples with tensorboard, wandb or both."
    ),
    quiet_option,
)
@group(
    "What to start from",
    click.option("--preset", type=Name(tuple(PRESETS)), help=Name(tuple(PRESETS)).explain("Settings that work")),
    click.option("--init", type=click.Path(), metavar="FOLDER", help="Run, or G.pth and D.pth, to go on from."),
)
@_settings("Networks", "arch", "resolution", "width", "z_dim", "shared_dim", "chunks", "attention")
@_settings("Length", "steps", "minutes")
@_settings("Optimization", "batch", "d_steps", "lr_g", "lr_d", "beta1", "beta2", "decay", "ema")
@_settings("Regularization", "regularizer", "weight", "ramp", "layers_to_regularise")
@_settings("Images", "augment", "flip", "renders")
@_settings("Computing", "precision", "seed")
@group("Computing", device_option)
def train_command(data: str, out: str, **settings: Any) -> None:
    """Train a BigGAN on images.

    DATA is a folder of images whose sub-folders are classes, a zip or tar of one, an .npz file with images x and
    classes y, or scenes-64, scenes-apart or scenes-overlap, which are rendered. Images of any size are cropped and
    resized. The folder of results is a generator for all other commands.
    """
    from biggan_discovery.training import train

    state = os.path.join(out, "state.safetensors")  # noqa: PTH118
    before = _modified(state)
    try:
        finished = train(data, out=out, **settings)
    except (KeyboardInterrupt, SystemExit) as error:
        if os.path.exists(state):  # noqa: PTH110
            error.add_note(f"the run is saved in {out}, run the same command again to resume")
        raise
    done = "already finished:" if _modified(state) == before else "saved"
    output.status(f"{done} {finished}; find directions with: {sibling('discover')} --generator {shlex.quote(out)}")


def _modified(path: str) -> int | None:
    return os.stat(path).st_mtime_ns if os.path.exists(path) else None  # noqa: PTH110, PTH116
