"""`biggan-discovery visualize`: the effect of each direction, as a film or a strip of stills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery import output
from biggan_discovery.cli.options import (
    INDEX_LIST,
    PATH_SIZE,
    POSITIVE_FLOAT,
    Grouped,
    IntRange,
    Name,
    OrWord,
    class_option,
    group,
    layers_option,
    loading_options,
    of_file_generator_option,
    pick_option,
    quiet_option,
    scale_option,
    seed_option,
    typed_command,
)
from biggan_discovery.errors import UserError
from biggan_discovery.rendering.table import EASINGS, FILM, FORMATS, FRAMES, RANGES

_EASING, _FORMAT = Name(tuple(EASINGS)), Name(FORMATS)

_EXAMPLES = """
\b
Examples:
  COMMAND scenes-64
  COMMAND scenes-64 --only 0,3,8-12 --out some.mp4
  COMMAND scenes-64 --path-size 3
      the same extent for all directions
  COMMAND scenes-64 --per-direction --format png
      one strip of stills per direction
  COMMAND scenes-64 --only 3 --transfer --format png
      one direction on many classes
  COMMAND scenes-64 --only 1,3 --samples 4 --frames-out stimuli
      each image by itself, at steps of equal visible size
  COMMAND --curved --generator scenes-64 --path-size 3
      straight lines and curved paths, without directions
"""


_OF_PICTURES = ("transfer", "curved", "maps", "easing", "columns", "scale")


@click.command("visualize", cls=Grouped, epilog=_EXAMPLES)
@click.argument("path", metavar="[DIRECTIONS]", required=False, type=click.Path())
@group(
    "What to draw",
    click.option(
        "--only",
        type=OrWord(INDEX_LIST, "all"),
        metavar="INDICES",
        help="Directions, such as 0,3,8-12, or all.  [default: as many as fit; 0-2 without DIRECTIONS]",
    ),
    class_option,
    click.option(
        "--samples",
        type=IntRange(*RANGES["samples"]),
        help="Number of samples.  [default: 5; 1 for png and without DIRECTIONS]",
    ),
    pick_option,
    click.option(
        "--latents", type=click.Path(), metavar="FILE", help="Latents to draw instead (.npy, .npz, .pt, .csv, ...)."
    ),
    seed_option,
    of_file_generator_option,
    layers_option(
        "Layers the directions reach", "as in the file", "; of a file for each layer: its directions to draw"
    ),
)
@group(
    "How to draw",
    click.option(
        "--path-size",
        type=PATH_SIZE,
        help="Extent to each side; auto: equal change of the image.  [default: auto; as in the search with --curved]",
    ),
    click.option("--centred", is_flag=True, help="Remove each sample's own component first, as the papers do."),
    click.option("--transfer", is_flag=True, help="Show one direction on many classes."),
    click.option("--maps", is_flag=True, help="End rows with a map of where the direction changes the image."),
    click.option("--curved", is_flag=True, help="Compare straight lines with curved paths."),
    click.option(
        "--frames",
        type=IntRange(*RANGES["frames"]),
        help="Frames of the loop, or pictures of a strip.  [default: 60; 7 for png]",
    ),
    click.option("--fps", type=POSITIVE_FLOAT, default=20.0, show_default=True, help="Frames per second."),
    click.option(
        "--easing", type=_EASING, default="sine", show_default=True, help=_EASING.explain("Speed profile of the loop")
    ),
)
@group(
    "Output",
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="File (.mp4, .webp, .gif, .png), or folder for frames and --per-direction.  "
        "[default: beside DIRECTIONS, or curved.mp4]",
    ),
    click.option(
        "--format", "form", type=_FORMAT, help=f"{_FORMAT.explain('File format')}  [default: as --out, else mp4]"
    ),
    click.option(
        "--frames-out",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Instead: each image by itself, without labels, and a manifest.csv.",
    ),
    click.option("--per-direction", is_flag=True, help="Write one file per direction."),
    click.option(
        "--columns",
        type=IntRange(*RANGES["columns"]),
        help="Directions side by side.  [default: chosen to fit; 1 with --transfer]",
    ),
    scale_option,
    quiet_option,
)
@loading_options("as in the file")
def visualize_command(
    path: str | None,
    out: Path | None,
    frames_out: Path | None,
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
    """Draw the effect of directions as films or stills.

    Rows are directions, columns are samples. In a film, each sample moves to one end of the direction, to the other
    end, and back. A .png is a strip of stills from end to end. Amounts are measured from the sample as it is, as in
    `edit`.
    """
    from biggan_discovery.directions import Directions
    from biggan_discovery.directions.defaults import load_generator_for
    from biggan_discovery.generators.hub import beside
    from biggan_discovery.rendering.drawing import check_target, draw

    if frames_out is not None:
        _refuse_pictures(path, out=out, form=form, per_direction=per_direction, **options)
    if path is None and not options["curved"]:
        raise UserError("Missing argument 'DIRECTIONS'; only --curved works without directions")
    found = None if path is None else Directions.load(path)
    if found is not None and frames_out is not None:
        from biggan_discovery.rendering.stimuli import write_stimuli

        network = load_generator_for(
            found, generator, truncation=truncation, device=device, offline=offline, mirror=mirror
        )
        chosen = {name: value for name, value in options.items() if name not in _OF_PICTURES}
        write_stimuli(network, found, frames_out, report=lambda written: output.status(f"wrote {written}"), **chosen)
        return
    if out is None:
        out = beside(path or "curved").with_suffix("" if per_direction or form == FRAMES else f".{form or FILM}")
    target: dict[str, Any] = {"format": form, "per_direction": per_direction}
    check_target(out, fps, **target)
    network = load_generator_for(found, generator, truncation=truncation, device=device, offline=offline, mirror=mirror)
    report = None if per_direction else lambda written: output.status(f"wrote {written}")
    files = draw(network, found, out, fps=fps, command=typed_command(), report=report, **target, **options)
    if isinstance(files, list):
        output.status(f"wrote {len(files)} files to {out}")


def _refuse_pictures(path: str | None, **options: Any) -> None:
    """Refuse options of pictures beside --frames-out, which would do nothing."""
    if path is None:
        raise UserError("--frames-out needs DIRECTIONS")
    for name in ("out", "form", "per_direction", "transfer", "curved", "maps", "columns", "scale"):
        if options[name]:
            option = "format" if name == "form" else name.replace("_", "-")
            raise UserError(f"--{option} does nothing with --frames-out, which writes each image by itself")
