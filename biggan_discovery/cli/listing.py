"""`biggan-discovery list`: directions files by what is inside of them."""

from __future__ import annotations

from pathlib import Path

import click

from biggan_discovery import output
from biggan_discovery.cli.options import Grouped, group

_EXAMPLES = """
\b
Examples:
  COMMAND runs
  COMMAND runs hf://me/scenes-directions --out directions.html
"""


@click.command("list", cls=Grouped, epilog=_EXAMPLES)
@click.argument("paths", metavar="DIRECTIONS|FOLDER...", nargs=-1, required=True, type=click.Path())
@group(
    "Output",
    click.option(
        "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Page with pictures (.html)."
    ),
)
def list_command(paths: tuple[str, ...], out: Path | None) -> None:
    """List directions files, without their generators.

    The page shows the small picture that `card` put into a file.
    """
    from biggan_discovery.sharing.listing import check_page, found_in, write_listing

    if out is not None:
        check_page(out)
    found = found_in(paths)
    rows = [["DIRECTIONS", "NAMED", "METHOD", "GENERATOR", "PICTURE", "FILE"]]
    for each in found:
        known = each.metadata
        rows.append(
            [
                str(len(each)),
                str(sum(map(bool, each.names))),
                known.get("method") or "-",
                Path(known.get("generator") or "-").name,
                "yes" if each.thumbnail else "-",
                each.source,
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        output.result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if out is not None:
        write_listing(found, out)
        output.status(f"wrote {out}")
