"""`biggan-discovery name`: name directions."""

from __future__ import annotations

from pathlib import Path

import click

from biggan_discovery import output
from biggan_discovery.cli.options import Grouped

_EXAMPLES = """
\b
Examples:
  COMMAND runs/demo/directions.safetensors
  COMMAND runs/demo/directions.safetensors 3 "camera height"
"""


@click.command("name", cls=Grouped, epilog=_EXAMPLES)
@click.argument("file", metavar="DIRECTIONS", type=click.Path(path_type=Path))
@click.argument("direction", required=False)
@click.argument("name", required=False)
def name_command(file: Path, direction: str | None, name: str | None) -> None:
    """Name a direction, or list the names in a file.

    DIRECTION is a number, or a current name or its beginning. An empty NAME removes the name.
    """
    from biggan_discovery.directions import Directions

    directions = Directions.load(file)
    shown = range(len(directions)) if direction is None else [directions.index(direction)]
    if name is None:
        width = len(str(len(directions) - 1))
        for index in shown:
            output.result(f"{index:>{width}}  {directions.names[index] or '-'}")
        return
    directions.rename(shown[0], name)
    directions.save(file)
    called = directions.names[shown[0]]
    output.status(f"{file}: direction {shown[0]} {f'is now {called!r}' if called else 'has no name'}")
