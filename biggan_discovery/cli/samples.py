"""`biggan-discovery samples`: a numbered contact sheet to pick samples from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery import output
from biggan_discovery.cli.options import (
    Grouped,
    IntRange,
    class_option,
    group,
    loading_options,
    picture_option,
    quiet_option,
    samples_columns_option,
    scale_option,
    seed_option,
    typed_command,
)
from biggan_discovery.rendering.table import RANGES

_EXAMPLES = """
\b
Examples:
  COMMAND scenes-64
  COMMAND runs/cones/directions.safetensors --class cone --samples 100 --out cones.png
  COMMAND biggan-deep-256 --class "golden retriever" --samples 16
"""


@click.command("samples", cls=Grouped, epilog=_EXAMPLES)
@click.argument("source", metavar="GENERATOR|DIRECTIONS", type=click.Path())
@group(
    "What to show",
    class_option,
    click.option("--samples", type=IntRange(*RANGES["samples"]), help="Number of samples.  [default: 64]"),
    click.option(
        "--latents", type=click.Path(), metavar="FILE", help="Latents to show instead (.npy, .npz, .pt, .csv, ...)."
    ),
    seed_option,
)
@group(
    "Output",
    picture_option("samples.png", "File (.png)."),
    samples_columns_option,
    scale_option,
    quiet_option,
)
@loading_options("as in the file")
def samples_command(
    source: str,
    out: Path,
    truncation: float | None,
    device: str,
    offline: bool | None,
    mirror: str | None,
    **options: Any,
) -> None:
    """Show numbered samples, to pick some for `visualize --pick` and `edit --pick`.

    A number means the same sample for the same generator, truncation, classes and seed, however many are shown.
    DIRECTIONS stands for its generator, classes and truncation.
    """
    from biggan_discovery.directions import Directions
    from biggan_discovery.directions.defaults import load_generator_for
    from biggan_discovery.directions.directions import is_directions_file
    from biggan_discovery.rendering import contact_sheet

    found = Directions.load(source) if is_directions_file(source) else None
    network = load_generator_for(
        found,
        None if found is not None else source,
        truncation=truncation,
        device=device,
        offline=offline,
        mirror=mirror,
    )
    contact_sheet(
        network,
        out,
        directions=found,
        command=typed_command(),
        report=lambda written: output.status(f"wrote {written}"),
        **options,
    )
