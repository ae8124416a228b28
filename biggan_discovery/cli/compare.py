"""`biggan-discovery compare`: how alike two or more sets of directions are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery.cli.options import (
    POSITIVE_FLOAT,
    Grouped,
    class_option,
    device_option,
    group,
    of_file_generator_option,
    quiet_option,
    seed_option,
    truncation_option,
)
from biggan_discovery.errors import UserError
from biggan_discovery.files import check_writable, existing_file

_EXAMPLES = """
\b
Examples:
  biggan-discovery compare runs/seed0/directions.safetensors runs/seed1/directions.safetensors
  biggan-discovery compare runs/seed*/directions.safetensors --out consistency
"""


@click.command(
    "compare",
    cls=Grouped,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.argument("paths", metavar="A B...", nargs=-1, required=True, type=click.Path())
@group(
    "Where to compare",
    of_file_generator_option,
    truncation_option,
    class_option,
    click.option("--path-size", type=POSITIVE_FLOAT, help="Extent of the film strips.  [default: as in A's search]"),
    seed_option,
    device_option,
)
@group(
    "Results",
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder for the report.  [default: beside A]",
    ),
    quiet_option,
)
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
    """Match the directions of two or more files one to one, and say how far they and the spaces they span agree.

    Over runs with several seeds this is how consistent a method is. The folder gets report.html, report.md,
    report.json and figures.
    """
    from biggan_discovery.reports.compare import compare
    from biggan_discovery.reports.document import HTML
    from biggan_discovery.reports.sets import generator_of

    if len(paths) < 2:
        raise UserError(f"only {' '.join(paths)} is given; a comparison needs two files or more")
    first = existing_file(paths[0])
    out = out or first.with_name(f"{first.stem}-comparison")
    check_writable(out / HTML)
    network = generator_of(paths, generator, truncation=truncation, device=device, offline=offline, mirror=mirror)
    for each in compare(network, *paths, out=out, **settings).pairs:
        click.echo(
            f"{' and '.join(each.labels)}: mean |cos| {each.agreement.mean:.3f}, weighted by activeness "
            f"{each.weighted:.3f} (chance {each.chance.mean:.3f}), "
            f"largest principal angle {each.agreement.angles[-1]:.1f}°"
        )
    click.echo(f"wrote {out / HTML}")
