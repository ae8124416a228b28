"""`biggan-discovery evaluate`: judge directions in numbers and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery import output
from biggan_discovery.cli.options import (
    POSITIVE_FLOAT,
    Grouped,
    IntRange,
    Name,
    Names,
    class_option,
    group,
    layers_option,
    loading_options,
    of_file_generator_option,
    quiet_option,
    seed_option,
)
from biggan_discovery.evaluation.table import metric_names

_EXAMPLES = """
\b
Examples:
  COMMAND scenes-64 --out report
  COMMAND runs/seed*/directions.safetensors --baselines --out report
  COMMAND runs/seed0/directions.safetensors --metrics hessian,vp

All sets are judged on the same samples. The cost is printed first. Running the same command again resumes after the
last finished metric.
"""


_METRICS, _PRESET = Names(metric_names()), Name(("quick", "full"))


@click.command("evaluate", cls=Grouped, epilog=_EXAMPLES)
@click.argument("paths", metavar="DIRECTIONS...", nargs=-1, required=True, type=click.Path())
@group(
    "What to measure",
    click.option("--metrics", type=_METRICS, help=f"{_METRICS.explain('Metrics')}  [default: all]"),
    click.option("--preset", type=_PRESET, default="quick", show_default=True, help="Sample sizes; full suits a GPU."),
    click.option("--baselines", is_flag=True, help="Also judge baselines and true directions."),
    click.option("--figures/--no-figures", default=True, help="Make pictures for the report."),
    click.option("--probes", type=IntRange(2), help="Probes of held-out objectives.  [default: the preset's]"),
)
@group(
    "Where to measure",
    of_file_generator_option,
    layers_option("Directions for these layers", "all directions"),
    class_option,
    click.option("--path-size", type=POSITIVE_FLOAT, help="Extent to each side.  [default: as in the first search]"),
    click.option(
        "--region",
        metavar="X0,Y0,X1,Y1",
        help="Box from 0 to 1, or upper, lower, left, right, centre, for localization.  [default: as in the search]",
    ),
    click.option("--mask", type=click.Path(), metavar="FILE", help="Picture of a region instead, white inside."),
    click.option("--epsilon", type=POSITIVE_FLOAT, help="Finite-difference step.  [default: as in the first search]"),
    seed_option,
)
@group(
    "Results",
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        help="Folder for the report.  [default: beside the first file]",
    ),
    quiet_option,
)
@loading_options("as in the first file")
def evaluate_command(
    paths: tuple[str, ...],
    out: Path | None,
    generator: str | None,
    truncation: float | None,
    device: str,
    offline: bool | None,
    mirror: str | None,
    **settings: Any,
) -> None:
    """Judge directions by penalties, activeness, VP, RCA and more.

    Directions of the bundled generators are also compared with the known factors. Writes report.html, one file with all
    pictures, and report.md, report.json, report.csv and report.tex.
    """
    from biggan_discovery.files import check_writable
    from biggan_discovery.generators.hub import beside
    from biggan_discovery.reports.document import HTML
    from biggan_discovery.reports.evaluate import evaluate
    from biggan_discovery.reports.sets import generator_of

    first = beside(paths[0])
    out = out or first.with_name(f"{first.stem}-report")
    check_writable(out / HTML)
    network = generator_of(paths, generator, truncation=truncation, device=device, offline=offline, mirror=mirror)
    evaluate(network, *paths, out=out, **settings)
    output.status(f"wrote {out / HTML}")
