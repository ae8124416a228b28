"""Kill a search with SIGKILL at random times, resume it, and compare with an uninterrupted search.

    python -m benchmarks.resume --kills 20

Each search is a new `python discover.py` in its own folder, killed once, then re-run with the same command until it
ends. A, Q and the history must be equal to the last byte. Exits with 1 if any differ.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import safetensors

from biggan_discovery.cli.options import POSITIVE_INT

_CLONE = Path(__file__).parents[1]
_STATE, _HISTORY, _DIRECTIONS = "state.safetensors", "history.csv", "directions.safetensors"


@click.command()
@click.option("--kills", type=POSITIVE_INT, default=20, show_default=True, help="Searches to kill.")
@click.option("--generator", default="scenes-64", show_default=True, metavar="NAME|PATH", help="Generator.")
@click.option("--steps", type=POSITIVE_INT, default=40, show_default=True, help="Steps of each search.")
@click.option("--batch", type=POSITIVE_INT, default=2, show_default=True, help="Samples a step.")
@click.option("--save-every", type=POSITIVE_INT, default=3, show_default=True, help="Steps between saved states.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the moments.")
def main(kills: int, generator: str, steps: int, batch: int, save_every: int, seed: int) -> None:
    """Kill searches at random moments and compare how they end with one that was not killed."""
    settings = {"generator": generator, "steps": steps, "batch": batch, "save-every": save_every, "device": "cpu"}
    command = [sys.executable, "discover.py", "--quiet", "--no-judge"]
    command += [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place, "whole")
        first_save, length = _timed(command, whole)
        click.echo(f"uninterrupted: {steps} steps in {length:.1f} s, the first state saved after {first_save:.1f} s")
        identical = 0
        for number in range(1, kills + 1):
            folder = Path(place, f"run{number}")
            # Moments count from the first save that there is after a random step, so that they are spread evenly over
            # the search however fast the machine is just then; those counted from step 0 fall before the first save.
            after = chance.randrange(steps)
            where = _killed(
                command, folder, after, chance.uniform(0, (length - first_save) / 4 if after else first_save)
            )
            _complete(command, folder)
            same = _results(folder) == _results(whole)
            identical += same
            click.echo(f"kill {number:2d}: {where}: {'identical' if same else 'DIFFERENT'}")
    click.echo(f"{identical} of {kills} identical")
    sys.exit(identical != kills)


def _start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*command, "--out", str(folder)], cwd=_CLONE, stdout=subprocess.DEVNULL)


def _complete(command: list[str], folder: Path) -> None:
    if code := _start(command, folder).wait():
        raise click.ClickException(f"the search in {folder} ended with exit code {code}")


def _timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds until an uninterrupted search has saved its first state, and until it ends."""
    begin, first_save = time.monotonic(), 0.0
    process = _start(command, folder)
    while process.poll() is None:
        if not first_save and (folder / _STATE).exists():
            first_save = time.monotonic() - begin
        time.sleep(0.01)
    if process.returncode:
        raise click.ClickException(f"the uninterrupted search ended with exit code {process.returncode}")
    return first_save, time.monotonic() - begin


def _killed(command: list[str], folder: Path, after: int, wait: float) -> str:
    """Kill a search `wait` seconds after it has saved at least `after` steps, and say how far it was."""
    begin = time.monotonic()
    process = _start(command, folder)
    while process.poll() is None and _steps(folder) < after:
        time.sleep(0.002)
    time.sleep(wait)
    process.kill()
    moment = f"{time.monotonic() - begin:5.2f} s after its start"
    if process.wait() == 0:
        return f"{moment}, when it had just ended"
    writing = any(folder.glob(".*-*"))
    return f"{moment}, {_steps(folder):3d} steps saved{', in the middle of a write' * writing}"


def _steps(folder: Path) -> int:
    if not (folder / _STATE).exists():
        return 0
    with safetensors.safe_open(folder / _STATE, framework="np") as file:
        return len(file.get_tensor("history"))


def _results(folder: Path) -> tuple[bytes, bytes, bytes]:
    """A, Q and the history, as bytes."""
    with safetensors.safe_open(folder / _DIRECTIONS, framework="np") as file:
        A, Q = (file.get_tensor(name).tobytes() for name in "AQ")
    return A, Q, (folder / _HISTORY).read_bytes()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
