"""`python -m benchmarks.gpu`: everything that needs a GPU, in one command.

Sections run one after the other, each in a process of its own, and print as they end; one that fails does not keep the
others. `--only` chooses. With `--out`, what each prints is kept as NAME.md and its figures as NAME.json.

    python -m benchmarks.gpu --only correct,step --out gpu
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks.gpu import checks, speed
from benchmarks.gpu.common import Figures
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, Name
from biggan_discovery.files import atomic_write

_LONGEST = 420  # seconds of a section
_NETWORKS = ("biggan-deep-128", "biggan-deep-256", "biggan-deep-512", "brock-128")

SECTIONS: dict[str, Callable[..., Figures]] = {
    "machine": speed.machine,
    "correct": checks.correct,
    "step": speed.step,
    "matrices": speed.matrices,
    "kernels": speed.kernels,
    "profile": speed.kernel_times,
    "diagonalize": speed.diagonalize,
    "films": speed.films,
    "startup": speed.startup,
}


@click.command()
@click.option("--only", default=None, metavar="NAMES", help="Sections, comma-separated.  [default: all]")
@click.option(
    "--networks", default=",".join(_NETWORKS), show_default=True, help="Networks of the sections step and diagonalize."
)
@click.option("--latents", type=POSITIVE_INT, default=96, show_default=True, help="Of the joint diagonalization.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for NAME.md and NAME.json.")
@click.option("--section", type=Name(tuple(SECTIONS)), hidden=True)
def benchmark(only: str | None, networks: str, latents: int, out: Path | None, section: str | None) -> None:
    """Check and measure on a GPU."""
    if section is not None:
        _print_section(section, networks.split(","), latents, out)
        return
    chosen = Name(tuple(SECTIONS))
    for name in [chosen.convert(each, None, None) for each in only.split(",")] if only else SECTIONS:
        begin = time.monotonic()
        arguments = ["--section", name, "--networks", networks, "--latents", str(latents)]
        arguments += ["--out", str(out)] if out else []
        try:
            done = subprocess.run([sys.executable, "-m", "benchmarks.gpu", *arguments], timeout=_LONGEST, check=False)
            ended = f"exit code {done.returncode}"
        except subprocess.TimeoutExpired:
            ended = f"stopped after {_LONGEST} s"
        click.echo(f"[{name}: {ended}, {time.monotonic() - begin:.1f} s]\n")


def _print_section(name: str, networks: list[str], latents: int, out: Path | None) -> None:
    lines: list[str] = []

    def say(line: str = "") -> None:
        lines.append(line)
        click.echo(line)
        sys.stdout.flush()

    say(f"## {name}")
    figures = SECTIONS[name](say, networks=networks, latents=latents)
    if out is not None:
        atomic_write(out / f"{name}.json", json.dumps(figures, indent=1) + "\n")
        atomic_write(out / f"{name}.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.gpu")
