"""Run every command under limits of its address space: it is done, or ends with one line and exit code 1.

    python -m benchmarks.faults memory --limits 20

Limits are spread between what the interpreter alone takes and what the command takes without a limit.
"""

from __future__ import annotations

import collections
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

_MIB = 2**20
_LEAST = 24 * _MIB
_SECONDS = 600
_ROOT = Path(__file__).parents[2]
_PROGRAM = (sys.executable, "-m", "biggan_discovery")
_FOUND = _ROOT / "directions" / "scenes-64.safetensors"

COMMANDS = {
    "generators": "generators",
    "classes": "classes",
    "discover (joint diagonalization)": "discover --class cube --samples 2 --out {out}",
    "discover (sketches)": "discover --class cube --samples 2 --sketches 4 --no-judge --out {out}",
    "discover (adam)": "discover --class cube --solver adam --steps 3 --batch 4 --save-every 1 --no-judge --out {out}",
    "discover (orojar)": "discover --class cube --method orojar --samples 4 --no-judge --out {out}",
    "discover (jacobian)": "discover --method jacobian --samples 2 --directions 2 --no-judge --out {out}",
    "discover (ganspace)": "discover --method ganspace --samples 2000 --no-judge --out {out}",
    "discover (sefa)": "discover --method sefa --no-judge --out {out}",
    "visualize (gif)": "visualize {found} --only 0 --samples 2 --frames 8 --out {out}.gif",
    "visualize (png)": "visualize {found} --only 0,1 --samples 2 --out {out}.png --format png",
    "edit": "edit {found} --set 0=1 --samples 2 --out {out}.png",
    "edit (mp4)": "edit {found} --set 0=1 --samples 2 --frames 8 --out {out}.mp4",
    "evaluate": "evaluate {found} --metrics activeness --out {out}",
    "evaluate (learned)": "evaluate {found} --metrics rca --out {out}",
    "compare": "compare {found} {named} --out {out}",
    "import": "import {matrix} --generator scenes-64 --out {out}.safetensors",
    "export": "export {found} {out}.npy",
    "name": "name {named} 0 size",
}
"""Small jobs of all commands, by what they are called in the output."""


@dataclass
class Outcome:
    """What a campaign found.

    Attributes:
        counts: how often each end occurred that is as it should be.
        faults: a line for each that is not.
    """

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    faults: list[str] = field(default_factory=list)


@click.command()
@click.option("--limits", type=click.IntRange(4), default=20, show_default=True, help="Limits for each command.")
@click.option("--only", default="", help="Part of the names of the commands to run.  [default: all]")
def main(limits: int, only: str) -> None:
    """Run every command under limits of its address space."""
    begin = time.monotonic()
    commands = {name: template for name, template in COMMANDS.items() if only in name}
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), commands, limits)
    click.echo(f"{outcome.counts.total() + len(outcome.faults)} runs of {len(commands)} commands")
    for end, count in [
        *outcome.counts.most_common(),
        ("traceback, crash, endless or no single line", len(outcome.faults)),
    ]:
        click.echo(f"{count:6,}  {end}")
    for fault in outcome.faults:
        click.echo(f"        {fault}")
    click.echo(f"{time.monotonic() - begin:.0f} s")
    sys.exit(bool(outcome.faults))


def run(folder: Path, commands: Mapping[str, str], limits: int) -> Outcome:
    """Run commands under limits.

    Args:
        folder: an empty folder to work in.
        commands: templates by name, such as `COMMANDS`.
        limits: number of limits for each command.
    """
    outcome, matrix = Outcome(), folder / "matrix.npy"
    subprocess.run([*_PROGRAM, "export", str(_FOUND), str(matrix)], check=True, capture_output=True, env=_environment())
    for name, template in commands.items():
        unlimited = _Try(template, folder, matrix, None)
        ends = {"": unlimited.judged()}
        for limit in _spread(unlimited.peak, limits):
            ends[f"{limit / _MIB:.0f} MiB"] = _Try(template, folder, matrix, limit).judged()
        for shown, (end, seen) in ends.items():
            if end:
                outcome.counts[end] += 1
            else:
                outcome.faults.append(f"{name}, {shown or 'no limit'}: {seen}")
        print(
            f"  {name}: {', '.join(f'{shown} {end or seen}' for shown, (end, seen) in ends.items())}", file=sys.stderr
        )
    return outcome


def _spread(peak: int, count: int) -> Iterator[int]:
    """Limits in bytes: a quarter of them below half the peak, where libraries are loaded, the rest up to it."""
    below = count // 4
    for index in range(below):
        yield round(_LEAST + (peak / 2 - _LEAST) * index / below)
    for index in range(count - below):
        yield round(peak * (0.5 + 0.55 * (index + 1) / (count - below)))


class _Try:
    """One run of a command in a folder of its own.

    Attributes:
        peak: bytes of address space that it took at most, as far as seen from outside.
    """

    def __init__(self, template: str, folder: Path, matrix: Path, limit: int | None):
        work = Path(tempfile.mkdtemp(dir=folder))
        named = work / "named.safetensors"
        named.write_bytes(_FOUND.read_bytes())
        places = {"out": work / "out", "found": _FOUND, "matrix": matrix, "named": named}
        words = [word.format(**places) for word in template.split()]
        self.peak, end = 0, time.monotonic() + _SECONDS
        # A shell sets the limit: beside threads of JAX or torch, no Python code may run between fork and exec.
        limited = [] if limit is None else ["sh", "-c", f'ulimit -v {limit // 1024} && exec "$@"', "sh"]
        with open(work / "stderr", "w+b") as errors:  # noqa: PTH123
            process = subprocess.Popen(
                [*limited, *_PROGRAM, *words],
                env=_environment(),
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            while process.poll() is None and time.monotonic() < end:
                self.peak = max(self.peak, _peak(process.pid))
                time.sleep(0.02)
            self._late = process.poll() is None
            process.kill()
            self._code = process.wait()
            errors.seek(0)
            self._errors = errors.read().decode(errors="replace")

    def judged(self) -> tuple[str, str]:
        """How it ended, in a few words, "" if it should not have; and what was seen."""
        if self._late:
            return "", f"not done after {_SECONDS} s"
        lines = self._errors.strip().splitlines()
        last = lines[-1][:200] if lines else ""
        errors = [line for line in lines if line.startswith("error: ")]
        if self._code == 0 and not errors and "Traceback" not in self._errors:
            return ("in smaller pieces" if "out of memory" in self._errors else "done"), ""
        if self._code != 1 or errors != lines[-1:] or "Traceback" in self._errors or "damaged" in last:
            return "", f"exit code {self._code}: {last}"
        return "one line", ""


def _peak(pid: int) -> int:
    try:
        found = re.search(r"VmSize:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}
