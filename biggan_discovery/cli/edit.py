"""`biggan-discovery edit`: samples moved along several directions at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from biggan_discovery import output
from biggan_discovery.cli.options import (
    POSITIVE_FLOAT,
    Grouped,
    IntRange,
    Name,
    class_option,
    directions_argument,
    group,
    loading_options,
    of_file_generator_option,
    pick_option,
    picture_option,
    quiet_option,
    samples_columns_option,
    scale_option,
    seed_option,
    typed_command,
)
from biggan_discovery.errors import UserError
from biggan_discovery.rendering.table import EASINGS, FORMATS, RANGES

if TYPE_CHECKING:
    from biggan_discovery.rendering import Edit
    from biggan_discovery.rendering.calibration import MeasuredEdit

_EASING, _FORMAT = Name(tuple(EASINGS)), Name(FORMATS)

_EXAMPLES = """
\b
Examples:
  COMMAND scenes-64 --set 3=+2 --set "object hue=-1.5"
  COMMAND scenes-64 --set 0=3 --class torus --out torus.png
  COMMAND scenes-64 --set 1=2 --pick 3,7,11 --format frames --out frames
  COMMAND clouds.safetensors --set 5=+2@7-10 --set "sunset=+1@fine"
      each direction reaches only the given layers
  COMMAND asked.safetensors --set zoom=30% --samples 4
      as far as makes these images 30 % larger, for directions of discover --target
  COMMAND clouds.safetensors --set 5=+2 --latents video --save-edited edited
      the noise and class vectors of somebody's video, edited
"""


@click.command("edit", cls=Grouped, epilog=_EXAMPLES)
@directions_argument
@group(
    "What to edit",
    click.option(
        "--set",
        "settings",
        multiple=True,
        required=True,
        metavar="DIRECTION=AMOUNT",
        help="Number or name, and amount: 3=+2; with layers: 3=+2@4-8; of an edit: zoom=30%. Repeatable.",
    ),
    click.option(
        "--samples", type=IntRange(*RANGES["samples"]), help="Number of samples.  [default: 1, or all of --latents]"
    ),
    pick_option,
    click.option("--latents", type=click.Path(), metavar="FILE", help="Latents to edit (.npy, .npz, .pt, .csv, ...)."),
    class_option,
    seed_option,
    of_file_generator_option,
)
@group(
    "Output",
    picture_option("edit.mp4", "Film (.mp4, .webp, .gif), before and after (.png), or a folder for frames."),
    click.option(
        "--save-latents",
        type=click.Path(),
        metavar="FILE",
        help="Save the latents and classes that were used (.npz, .npy, .pt, .csv, .json, .pth, or a folder).",
    ),
    click.option("--save-edited", type=click.Path(), metavar="FILE", help="Save the edited latents and classes."),
    click.option(
        "--frames", type=IntRange(*RANGES["frames"]), default=60, show_default=True, help="Frames of the loop."
    ),
    click.option("--fps", type=POSITIVE_FLOAT, default=20.0, show_default=True, help="Frames per second."),
    click.option("--easing", type=_EASING, default="cosine", show_default=True, help=_EASING.explain("Speed profile")),
    click.option("--format", "form", type=_FORMAT, help=f"{_FORMAT.explain('File format')}  [default: as --out]"),
    samples_columns_option,
    scale_option,
    quiet_option,
)
@loading_options("as in the file")
def edit_command(
    path: str,
    settings: tuple[str, ...],
    out: Path,
    form: str | None,
    fps: float,
    generator: str | None,
    truncation: float | None,
    device: str,
    offline: bool | None,
    mirror: str | None,
    **options: Any,
) -> None:
    """Edit samples along several directions at once.

    A film goes from the unedited sample to the full edit and back.
    """
    from biggan_discovery.directions import Directions
    from biggan_discovery.directions.defaults import load_generator_for
    from biggan_discovery.rendering import edit
    from biggan_discovery.rendering.output import Target

    edits = [_edit(setting) for setting in settings]
    found = Directions.load(path)
    Target.of(out, form).check(fps)
    network = load_generator_for(found, generator, truncation=truncation, device=device, offline=offline, mirror=mirror)
    edit(
        network,
        found,
        edits,
        out,
        format=form,
        fps=fps,
        command=typed_command(),
        report=lambda written: output.status(f"wrote {written}"),
        **options,
    )


def _edit(setting: str) -> Edit | MeasuredEdit:
    """Parse DIRECTION=AMOUNT or DIRECTION=AMOUNT@LAYERS."""
    from biggan_discovery.rendering import Edit
    from biggan_discovery.rendering.calibration import MeasuredEdit, is_measured

    direction, equals, value = setting.rpartition("=")
    if not equals or not direction.strip():
        raise UserError(f'--set {setting!r}: write DIRECTION=AMOUNT, for example 3=+2 or "camera height=-1.5"')
    text, at, layers = value.partition("@")
    reached = layers if at else None
    if is_measured(text):
        return MeasuredEdit(direction, text.strip(), reached)
    try:
        return Edit(direction, float(text), reached)
    except ValueError:
        raise UserError(f"--set {setting!r}: {text.strip()!r} is not a number, or text such as 30% or 15°") from None
