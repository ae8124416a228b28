"""Break inputs and machines in many ways, and count what happens.

    python -m benchmarks.faults flips
    python -m benchmarks.faults fuzz --inputs 2000

A section is a module of this package with a click command `main`, which prints its counts and exits with 1 if any of
them should be 0 and is not.
"""

from __future__ import annotations

import importlib
import os
import pkgutil

import click

from benchmarks import faults


class _Sections(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(each.name for each in pkgutil.iter_modules(faults.__path__) if not each.name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        return importlib.import_module(f"benchmarks.faults.{cmd_name}").main


@click.group(cls=_Sections)
def main() -> None:
    """Break inputs and machines in many ways, and count what happens."""


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
