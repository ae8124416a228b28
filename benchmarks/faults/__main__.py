"""Sections of faults, one command each.

python -m benchmarks.faults kills --count 200
"""

from __future__ import annotations

import click

from benchmarks.faults.devices import main as devices
from benchmarks.faults.flips import main as flips
from benchmarks.faults.fuzz import main as fuzz
from benchmarks.faults.kills import kills
from benchmarks.faults.memory import main as memory
from biggan_discovery.cli import run


@click.group()
def faults() -> None:
    """Provoke faults and count what goes wrong."""


for name, section in {"devices": devices, "flips": flips, "fuzz": fuzz, "kills": kills, "memory": memory}.items():
    faults.add_command(section, name)

if __name__ == "__main__":
    run(faults, "python -m benchmarks.faults")
