"""`biggan-discovery compare`: the agreement of two or more sets of directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery import output
from biggan_discovery.cli.options import (
    POSITIVE_FLOAT,
    Grouped,
    class_option,
    group,
    layers_option,
    loading_options,
    of_file_generator_option,
    quiet_option,
    seed_option,
)
from biggan_discovery.errors import UserError
from biggan_discovery.files import check_writable

_EXAMPLES = """
\b
Examples:
  COMMAND runs/seed0/directions.safetensors runs/seed1/directions.safetensors
  COMMAND runs/seed*/directions.safetensors --out consistency
"""


@click.command("compare", cls=Grouped, epilog=_EXAMPLES)
@click.argument("paths", metavar="A B...", nargs=-1, required=True, type=click.Path())
@group(
    "Where to compare",
    of_file_generator_option,
    layers_option("Directions for these layers", "all directions"),
    class_option,
    click.option("--path-size", type=POSITIVE_FLOAT, help="Extent of the film strips.  [default: as in A's search]"),
    seed_option,
)
@group(
    "Results",
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        help="Folder for the report.  [default: beside A]",
    ),
    quiet_option,
)
@loading_options("as in A")
def compare_command(
    paths: tuple[str, ...],
    out: Path | None,
    generator: str | None,
    truncation: float | None,
    device: str,
    offline: bool | None,
    mirror: str | None,
    **settings: Any,
) -> None:
    """Compare sets of directions and the spaces they span.

    Directions are matched one to one. Over runs with different seeds, this measures the consistency of a method. Writes
    report.html, report.md, report.json and figures.
    """
    from biggan_discovery.generators.hub import beside
    from biggan_discovery.reports.compare import compare
    from biggan_discovery.reports.document import HTML
    from biggan_discovery.reports.sets import generator_of

    if len(paths) < 2:
        raise UserError(f"a comparison needs at least two files, but only {' '.join(paths)} is given")
    first = beside(paths[0])
    out = out or first.with_name(f"{first.stem}-comparison")
    check_writable(out / HTML)
    network = generator_of(paths, generator, truncation=truncation, device=device, offline=offline, mirror=mirror)
    for each in compare(network, *paths, out=out, **settings).pairs:
        output.status(
            f"{' and '.join(each.labels)}: mean |cos| {each.agreement.mean:.3f}, weighted by activeness "
            f"{each.weighted:.3f} (chance {each.chance.mean:.3f}), "
            f"largest principal angle {each.agreement.angles[-1]:.1f}°"
        )
    output.status(f"wrote {out / HTML}")
