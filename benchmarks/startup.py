"""`python -m benchmarks.startup`: how long whole processes take that do next to nothing.

With `--before CLONE`, another checkout runs the same processes in turns with this one.

    python -m benchmarks.startup --device cuda
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

import click

from benchmarks.sides import shown, spread
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT
from biggan_discovery.files import atomic_write

REPEATS = 5
_CLONE = Path(__file__).parents[1]
_FOUND = "directions/scenes-64.safetensors"
_OUT = "OUT"  # stands for a path that does not exist yet

Seconds = dict[str, dict[str, float]]


@click.command()
@click.option("--device", default="cpu", show_default=True, help="Where networks are loaded.")
@click.option("--repeats", type=POSITIVE_INT, default=REPEATS, show_default=True, help="Processes of each kind.")
@click.option("--cpu-time", is_flag=True, help="Count processor time, where others use the machine too.")
@click.option("--before", type=click.Path(path_type=Path, exists=True), help="Another checkout to compare with.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the figures to this JSON file.")
def benchmark(device: str, repeats: int, cpu_time: bool, before: Path | None, out: Path | None) -> None:
    """Time whole processes: an import, a loaded network, small commands."""
    sides = ({"before": before.resolve()} if before else {}) | {"now": _CLONE}
    figures = measure(click.echo, device, sides, repeats, cpu_time=cpu_time)
    if out is not None:
        atomic_write(out, json.dumps(figures, indent=1) + "\n")


def measure(
    say: Callable[[str], None],
    device: str,
    sides: Mapping[str, Path] | None = None,
    repeats: int = REPEATS,
    *,
    cpu_time: bool = False,
) -> dict[str, Seconds]:
    """Print a Markdown table and return its seconds by process and side: median, smallest and largest.

    Args:
        say: prints a line.
        device: where networks are loaded.
        sides: checkouts by title. Defaults to this one.
        repeats: how many processes of each kind count, after one that reads from disk.
        cpu_time: count processor time instead of wall time.
    """
    sides = sides or {"now": _CLONE}
    ratio = len(sides) == 2
    titles = [*sides, *(["ratio"] if ratio else [])]
    say(f"| process | {' | '.join(titles)} |\n|---|{'---|' * len(titles)}")
    clock = _processor_time if cpu_time else time.perf_counter
    figures: dict[str, Seconds] = {}
    for title, arguments in _processes(device):
        rounds = [[_seconds(arguments, folder, clock) for folder in sides.values()] for _ in range(1 + repeats)][1:]
        columns = dict(zip(sides, zip(*rounds, strict=True), strict=True))
        figures[title] = {side: spread(list(seconds)) for side, seconds in columns.items()}
        cells = [shown(each, "s") for each in figures[title].values()]
        if ratio:
            cells.append(f"{median(before / now for before, now in rounds):.2f}")
        say(f"| {title} | {' | '.join(cells)} |")
    return figures


def _processes(device: str) -> Iterator[tuple[str, list[str]]]:
    """Titles, and the arguments of python."""
    yield "python", ["-c", "pass"]
    yield "import torch", ["-c", "import torch"]
    if device != "cpu":
        yield f"a tensor on {device}", ["-c", f"import torch; torch.zeros(1, device={device!r})"]
    load = "from biggan_discovery import load_generator; load_generator('scenes-64', device={!r})"
    for place in dict.fromkeys(("cpu", device)):
        yield f"scenes-64 loaded to {place}", ["-c", load.format(place)]
    quick = ["--device", device, "--quiet", "--out", _OUT]
    adam = ["--solver", "adam", "--steps", "1", "--batch", "1", "--precision", "float32"]
    strip = ["--only", "0", "--samples", "1", "--format", "png"]
    commands = {
        "--help": ["--help"],
        "generators": ["generators"],
        "classes": ["classes"],
        "name": ["name", _FOUND],
        "discover, random": ["discover", "--method", "random", "--no-judge", *quick],
        "discover, a step of Adam": ["discover", *adam, "--no-judge", *quick],
        "visualize, a strip": ["visualize", _FOUND, *strip, *quick],
        "edit": ["edit", _FOUND, "--set", "0=2", *quick],
    }
    for title, arguments in commands.items():
        yield title, ["-m", "biggan_discovery", *arguments]


def _seconds(arguments: list[str], folder: Path, clock: Callable[[], float]) -> float:
    with tempfile.TemporaryDirectory() as place:
        filled = [f"{place}/out.png" if each == _OUT else each for each in arguments]
        begin = clock()
        subprocess.run([sys.executable, *filled], cwd=folder, stdout=subprocess.DEVNULL, check=True)
        return clock() - begin


def _processor_time() -> float:
    """Of processes that ended."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.startup")
