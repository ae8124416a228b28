"""`biggan-discovery visualize`: what each direction does, as a film or a strip of stills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery.cli.options import (
    INDEX_LIST,
    PATH_SIZE,
    POSITIVE_FLOAT,
    Grouped,
    Name,
    class_option,
    device_option,
    group,
    layers_option,
    of_file_generator_option,
    quiet_option,
    scale_option,
    seed_option,
    truncation_option,
)
from biggan_discovery.errors import UserError
from biggan_discovery.rendering.table import EASINGS, FORMATS, RANGES

_EXAMPLES = """
\b
Examples:
  visualize.py directions/scenes-64.safetensors
  visualize.py directions/scenes-64.safetensors --only 0,3,8-12 --class torus --out torus.mp4
  visualize.py directions/scenes-64.safetensors --per-direction --format png
  visualize.py directions/scenes-64.safetensors --only 3 --transfer --format png
  visualize.py directions/scenes-64.safetensors --path-size auto
  visualize.py --curved --generator scenes-64 --path-size 3 --out paths.gif
"""


@click.command("visualize", cls=Grouped, epilog=_EXAMPLES)
@click.argument("path", metavar="[DIRECTIONS]", required=False, type=click.Path())
@group(
    "What to draw",
    click.option(
        "--only",
        type=INDEX_LIST,
        metavar="INDICES",
        help="Directions, such as 0,3,8-12.  [default: all; 0-2 without DIRECTIONS]",
    ),
    class_option,
    click.option(
        "--samples",
        type=click.IntRange(*RANGES["samples"]),
        help="Number of samples.  [default: 5; 1 for png and without DIRECTIONS]",
    ),
    seed_option,
    layers_option("Layers that the directions reach", "as in the file"),
    of_file_generator_option,
    truncation_option,
    device_option,
)
@group(
    "How",
    click.option(
        "--path-size",
        type=PATH_SIZE,
        help="How far to go to each side; auto: scaled so that every direction changes the image by the same amount.  "
        "[default: as in the search]",
    ),
    click.option("--keep-projection", is_flag=True, help="Start at the sample: keep its part along the direction."),
    click.option("--transfer", is_flag=True, help="Show one direction on many classes: rows are classes."),
    click.option(
        "--curved",
        is_flag=True,
        help="Below each straight line, show the path that turns with the generator; without DIRECTIONS, along the "
        "leading singular vectors of each sample's Jacobian.",
    ),
    click.option(
        "--frames",
        type=click.IntRange(*RANGES["frames"]),
        help="Frames of the loop, or pictures of a strip.  [default: 60; 7 for png]",
    ),
    click.option("--fps", type=POSITIVE_FLOAT, default=20.0, show_default=True, help="Frames per second."),
    click.option("--easing", type=Name(tuple(EASINGS)), default="sine", show_default=True, help="Pace of the motion."),
)
@group(
    "Output",
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        help="File (.gif, .mp4, .webp, .png), or folder with --per-direction.  "
        "[default: beside DIRECTIONS, or curved.gif]",
    ),
    click.option("--format", "form", type=Name(FORMATS), help="Format.  [default: as --out, else gif]"),
    click.option("--per-direction", is_flag=True, help="Write one file per direction, in a folder."),
    click.option(
        "--columns",
        type=click.IntRange(*RANGES["columns"]),
        help="Directions side by side.  [default: chosen to fit; 1 with --transfer]",
    ),
    scale_option,
    quiet_option,
)
def visualize_command(
    path: str | None,
    out: Path | None,
    form: str | None,
    fps: float,
    per_direction: bool,
    generator: str | None,
    truncation: float | None,
    device: str,
    offline: bool | None,
    mirror: str | None,
    **options: Any,
) -> None:
    """Show what the directions of a file do: rows are directions, columns are samples.

    Each sample moves from the centre to one end of the direction, to the other, and back, without a jump. A .png is a
    strip of stills from end to end instead. Generator, classes and path size are those of the search.
    """
    from biggan_discovery.directions import Directions
    from biggan_discovery.directions.defaults import load_generator_for
    from biggan_discovery.rendering.drawing import check_target, draw

    if path is None and not options["curved"]:
        raise UserError("Missing argument 'DIRECTIONS'; only --curved shows a generator without any")
    found = None if path is None else Directions.load(path)
    if out is None:
        beside = Path(path or "curved")
        out = beside.with_suffix("" if per_direction else f".{form or 'gif'}")
    target: dict[str, Any] = {"format": form, "per_direction": per_direction}
    check_target(out, fps, **target)
    network = load_generator_for(found, generator, truncation=truncation, device=device, offline=offline, mirror=mirror)
    report = None if per_direction else lambda written: click.echo(f"wrote {written}")
    files = draw(network, found, out, fps=fps, report=report, **target, **options)
    if isinstance(files, list):
        click.echo(f"wrote {len(files)} files to {out}")
