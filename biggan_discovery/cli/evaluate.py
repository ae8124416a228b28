"""`biggan-discovery evaluate`: how good directions are, in numbers and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery.cli.options import (
    POSITIVE_FLOAT,
    Grouped,
    Name,
    class_option,
    device_option,
    group,
    of_file_generator_option,
    quiet_option,
    seed_option,
    truncation_option,
)
from biggan_discovery.evaluation.table import metric_names
from biggan_discovery.files import existing_file

_EXAMPLES = """
\b
Examples:
  biggan-discovery evaluate directions/scenes-64.safetensors --out report
  biggan-discovery evaluate runs/seed*/directions.safetensors --baselines --out report
  biggan-discovery evaluate runs/seed0/directions.safetensors --metrics hessian,vp

All sets are judged on the same samples. The cost is printed first. Running a stopped command again continues where it
stopped.
"""


class Names(Name):
    """Some of some names, separated by commas."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """A short word; the names are listed in the help line."""
        return "NAME,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The names; fail with one line at the first that is not known."""
        if not isinstance(value, str):
            return value
        return [str(Name.convert(self, piece.strip(), param, ctx)) for piece in value.split(",")]


@click.command(
    "evaluate",
    cls=Grouped,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.argument("paths", metavar="DIRECTIONS...", nargs=-1, required=True, type=click.Path())
@group(
    "What to measure",
    click.option("--metrics", type=Names(metric_names()), help=f"Some of {', '.join(metric_names())}.  [default: all]"),
    click.option(
        "--preset", type=Name(("quick", "full")), default="quick", show_default=True, help="Sizes; full is for a GPU."
    ),
    click.option("--baselines", is_flag=True, help="Judge baselines and true directions too."),
    click.option("--probes", type=click.IntRange(2), help="Probes of held-out objectives.  [default: the preset's]"),
)
@group(
    "Where to measure",
    of_file_generator_option,
    truncation_option,
    class_option,
    click.option("--path-size", type=POSITIVE_FLOAT, help="How far to go.  [default: as in the first file's search]"),
    click.option(
        "--epsilon", type=POSITIVE_FLOAT, help="Finite-difference step.  [default: as in the first file's search]"
    ),
    seed_option,
    device_option,
)
@group(
    "Results",
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder for the report.  [default: beside the first file]",
    ),
    quiet_option,
)
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
    """Judge directions: penalties, the Hessian, activeness, VP, RCA and more.

    Directions of the bundled generators are compared with the known factors too. The folder gets report.html,
    report.md, report.json and figures.
    """
    from biggan_discovery.files import check_writable
    from biggan_discovery.reports.document import HTML
    from biggan_discovery.reports.evaluate import evaluate
    from biggan_discovery.reports.sets import generator_of

    first = existing_file(paths[0])
    out = out or first.with_name(f"{first.stem}-report")
    check_writable(out / HTML)
    network = generator_of(paths, generator, truncation=truncation, device=device, offline=offline, mirror=mirror)
    evaluate(network, *paths, out=out, **settings)
    click.echo(f"wrote {out / HTML}")
