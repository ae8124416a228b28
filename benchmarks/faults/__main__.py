"""Sections of faults, one command each.

python -m benchmarks.faults kills --count 200
"""

from __future__ import annotations

import click

from benchmarks.faults.kills import kills
from biggan_discovery.cli import run


@click.group()
def faults() -> None:
    """Provoke faults and count what goes wrong."""


faults.add_command(kills)

if __name__ == "__main__":
    run(faults, "python -m benchmarks.faults")
