"""Kill commands at random times; the next run of the same command ends well and leaves no temporary file."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks.faults.commands import COMMANDS, OUTPUT, files, prepare, start
from biggan_discovery.cli.options import POSITIVE_INT
from biggan_discovery.runs.folder import PREVIOUS

_LONGEST = 600  # seconds of a command


@click.command("kills")
@click.option("--count", type=POSITIVE_INT, default=200, show_default=True, help="Kills, over all commands.")
@click.option("--only", metavar="NAMES", help=f"Commands, comma-separated: {', '.join(COMMANDS)}.  [default: all]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the moments.")
def kills(count: int, only: str | None, seed: int) -> None:
    """Kill commands with SIGKILL at random times and run each again.

    Half of the kills fall at uniform times, half within 20 ms of the first unfinished file that is seen. Counts kills
    before the end, unfinished files that they left, and those that are still there after the next run of the same
    command, which must be none. Exits with 1 if there are any, or if a second run fails.
    """
    names = only.split(",") if only else list(COMMANDS)
    chance = random.Random(seed)
    counts = dict.fromkeys(("kills", "before the end", "unfinished files", "left after the next run", "failed"), 0)
    with tempfile.TemporaryDirectory() as place:
        expected, length = {}, {}
        for name in names:
            expected[name], length[name] = _whole(name, Path(place, name))
        for number in range(count):
            name = names[number % len(names)]
            folder = Path(place, f"{name}-{number}")
            prepare(folder)
            known = files(folder)
            running = start(name, folder)
            if number // len(names) % 2:
                _wait_for_unfinished(folder, running.is_alive)
                time.sleep(chance.uniform(0, 0.02))
            else:
                running.join(chance.uniform(0, length[name]))
            before = running.exitcode is None
            running.kill()
            running.join()
            unfinished = files(folder) - expected[name] - known
            again = start(name, folder)
            again.join(_LONGEST)
            # The checkpoint before the last one is kept on purpose; a run that was not killed may have only one.
            left = {path for path in files(folder) - expected[name] if Path(path).name != PREVIOUS}
            failed = again.exitcode != 0
            counts["kills"] += 1
            counts["before the end"] += before
            counts["unfinished files"] += len(unfinished)
            counts["left after the next run"] += len(left)
            counts["failed"] += failed
            if left or failed:
                printed = (folder / OUTPUT).read_text(errors="replace").strip()
                click.echo(f"{name}, kill {number}: left {sorted(left)}, exit code {again.exitcode}: {printed}")
    click.echo(", ".join(f"{value} {key}" for key, value in counts.items()))
    sys.exit(bool(counts["left after the next run"] or counts["failed"]))


def _whole(name: str, folder: Path) -> tuple[set[str], float]:
    """The files after a run that was not killed, and its seconds."""
    prepare(folder)
    begin = time.monotonic()
    running = start(name, folder)
    running.join(_LONGEST)
    if running.exitcode != 0:
        raise click.ClickException(f"{name} failed: {(folder / OUTPUT).read_text(errors='replace')}")
    seconds = time.monotonic() - begin
    click.echo(f"{name}: {seconds:.1f} s")
    return files(folder), seconds


def _wait_for_unfinished(folder: Path, alive: Callable[[], bool]) -> None:
    while alive() and not any(path.name.startswith(".") and ".part" in path.name for path in folder.rglob("*")):
        time.sleep(0.001)
