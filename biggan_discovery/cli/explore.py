"""`biggan-discovery explore`: a local web page with sliders, a gallery and names."""

from __future__ import annotations

from typing import Any

import click

from biggan_discovery import output
from biggan_discovery.cli.options import Grouped, IntRange, group, loading_options, of_file_generator_option, sibling
from biggan_discovery.errors import UserError

_EXAMPLES = """
\b
Examples:
  COMMAND scenes-64
  COMMAND runs/demo/directions.safetensors
  COMMAND first.safetensors second.safetensors --port 8900 --no-open
      on another machine: ssh -L 8900:localhost:8900 there
"""


@click.command("explore", cls=Grouped, epilog=_EXAMPLES)
@click.argument("paths", metavar="[DIRECTIONS]...", nargs=-1, type=click.Path())
@group(
    "Server",
    click.option("--port", type=IntRange(1, 65535), help="Port on 127.0.0.1.  [default: 8870, or a free one]"),
    click.option("--open/--no-open", "browser", default=True, help="Open the page in a browser.  [default: open]"),
)
@group("Generator", of_file_generator_option)
@loading_options("as in the file")
def explore_command(paths: tuple[str, ...], **options: Any) -> None:
    """Look at directions in a browser: gallery, sliders, names, films.

    Serves a page to this machine until Ctrl-C. Its address, with a token, is the first line on stdout. Names, notes,
    stars and ranges are saved in the file at once. Without DIRECTIONS, shows the bundled ones.
    """
    from biggan_discovery.explorer.serve import explore
    from biggan_discovery.generators.catalogue import DEFAULT

    if not paths and options["generator"] not in (None, DEFAULT):
        raise UserError(f"give DIRECTIONS of {options['generator']}; `{sibling('discover')}` finds some")
    explore(paths or (DEFAULT,), announce=output.result, **options)
