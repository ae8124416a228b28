"""`biggan-discovery walk`: a film through keyframes, with directions on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery import output
from biggan_discovery.cli.options import (
    INDEX_LIST,
    POSITIVE_FLOAT,
    Grouped,
    IntRange,
    Name,
    class_option,
    group,
    loading_options,
    pick_option,
    picture_option,
    quiet_option,
    scale_option,
    seed_option,
    typed_command,
)
from biggan_discovery.errors import UserError
from biggan_discovery.rendering.table import EASINGS, FORMATS, INTERPOLATIONS, PATHS, RANGES

_EASING, _PATH = Name(tuple(EASINGS)), Name(PATHS)
_FORMAT = Name(tuple(form for form in FORMATS if form != "png"))

_EXAMPLES = """
\b
Examples:
  COMMAND scenes-64 --seeds 0-4 --class "cone; cone:0.5, torus:0.5; torus"
  COMMAND scenes-64 --seeds 3 --move "camera azimuth=0:2:0:-2" --steps 80
      there and back, to both sides of one sample
  COMMAND scenes-64 --seeds 3 --move 1=0:6 --path great-circle --hold 2
      keep the norm of z, and the effect of direction 2
  COMMAND scenes-64 --latents video --steps 1 --envelope beats.csv --save-latents edited
      amounts over time, added to somebody's video frame by frame
"""


@click.command("walk", cls=Grouped, epilog=_EXAMPLES)
@click.argument("source", metavar="GENERATOR|DIRECTIONS", type=click.Path())
@group(
    "Keyframes",
    click.option("--seeds", type=INDEX_LIST, metavar="SEEDS", help="By seeds, the first sample of each: 0,3,8-12."),
    click.option(
        "--latents",
        type=click.Path(),
        multiple=True,
        metavar="FILE",
        help="From a file or folder (.npy, .npz, .pt, .csv, .json, ...). Repeatable.",
    ),
    pick_option,
    click.option(
        "--samples", type=IntRange(*RANGES["samples"]), help="Number of keyframes.  [default: 4, or all of --latents]"
    ),
    class_option,
    seed_option,
    click.option(
        "--steps", type=IntRange(1), default=30, show_default=True, help="Frames from one keyframe to the next."
    ),
    click.option(
        "--interpolation", type=Name(INTERPOLATIONS), default="slerp", show_default=True, help="Arc or straight line."
    ),
    click.option(
        "--easing", type=_EASING, default="linear", show_default=True, help=_EASING.explain("Speed between keyframes")
    ),
    click.option("--loop/--no-loop", default=True, show_default=True, help="Return to the first keyframe."),
)
@group(
    "Directions on top",
    click.option(
        "--move",
        "moves",
        multiple=True,
        metavar="DIRECTION=AMOUNTS",
        help="Number or name, and amounts one after the other: 3=+2, or 3=0:2:0:-2. Repeatable.",
    ),
    click.option(
        "--envelope", type=click.Path(), metavar="FILE", help="Amounts over time: a CSV of time,direction,amount."
    ),
    click.option("--path", type=_PATH, default="straight", show_default=True, help=_PATH.explain("How to follow one")),
    click.option("--reference", metavar="DIRECTION", help="What gives way on a small circle.  [default: the weakest]"),
    click.option(
        "--hold", multiple=True, metavar="DIRECTION", help="Keep its effect on the image as it is. Repeatable."
    ),
)
@group(
    "Output",
    picture_option("walk.mp4", "Film (.mp4, .webp, .gif), or a folder for frames."),
    click.option("--fps", type=POSITIVE_FLOAT, default=20.0, show_default=True, help="Frames per second."),
    click.option("--format", "form", type=_FORMAT, help=f"{_FORMAT.explain('File format')}  [default: as --out]"),
    click.option(
        "--save-latents",
        type=click.Path(),
        metavar="FILE",
        help="Save latents and classes of all frames (.npz, .npy, .pt, .csv, .json, or a folder).",
    ),
    scale_option,
    quiet_option,
)
@loading_options("as in the file")
def walk_command(
    source: str,
    out: Path,
    moves: tuple[str, ...],
    form: str | None,
    truncation: float | None,
    device: str,
    offline: bool | None,
    mirror: str | None,
    **options: Any,
) -> None:
    """Film a walk through keyframes, with directions on top.

    Between keyframes z follows the arc and classes mix; a loop returns to the first without a jump. DIRECTIONS stands
    for its generator, classes and truncation, and for the directions to move along.
    """
    from biggan_discovery.directions import Directions
    from biggan_discovery.directions.defaults import load_generator_for
    from biggan_discovery.directions.directions import is_directions_file
    from biggan_discovery.rendering import walk
    from biggan_discovery.rendering.output import Target

    Target.of(out, form).check(options["fps"])
    chosen: dict[int | str, list[float]] = dict(map(_move, moves))
    if len(chosen) < len(moves):
        raise UserError("--move gives a direction twice; write all of its amounts at once, such as 3=0:2:0:-2")
    wanted = chosen or options["envelope"] or options["hold"]
    found = Directions.load(source) if wanted or is_directions_file(source) else None
    network = load_generator_for(
        found,
        None if found is not None else source,
        truncation=truncation,
        device=device,
        offline=offline,
        mirror=mirror,
    )
    walk(
        network,
        out,
        directions=found,
        moves=chosen,
        format=form,
        command=typed_command(),
        report=lambda written: output.status(f"wrote {written}"),
        **options,
    )


def _move(setting: str) -> tuple[str, list[float]]:
    """Parse DIRECTION=AMOUNT:AMOUNT:..."""
    direction, equals, values = setting.rpartition("=")
    if not equals or not direction.strip():
        raise UserError(f'--move {setting!r}: write DIRECTION=AMOUNTS, for example 3=+2 or "camera height=0:2:0:-2"')
    amounts: list[float] = []
    for text in values.split(":"):
        try:
            amounts.append(float(text))
        except ValueError:
            raise UserError(f"--move {setting!r}: {text.strip()!r} is not a number") from None
    return direction.strip(), amounts
