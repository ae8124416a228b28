"""Give thousands of broken and hostile files to every reader, and count what goes wrong.

    python -m benchmarks.faults fuzz --inputs 2400

Whole files of every kind are damaged at random, replaced by files made to harm, or by pipes and links. Each is read by
the command that a user would give it to, in a child process that goes on with the next; a child that dies is counted
and replaced. All of these should be 0: tracebacks, deaths, more than 2 GiB of memory, more than 20 s of CPU time, and
code that was run.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import io
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click
import numpy as np
import safetensors.torch
import torch

from benchmarks.faults import _inputs
from biggan_discovery import Directions, discover, load_generator
from biggan_discovery.cli import cli, run
from biggan_discovery.errors import UserError
from biggan_discovery.runs.folder import STATE
from tests.brock_tiny import save_tiny_brock
from tests.tiny import save_tiny_biggan

_MOST_BYTES, _MOST_SECONDS = 2 * 2**30, 20.0
_DEADLINE = 120.0  # of wall time, as the machine may be busy
_ADDRESSES = 8 * 2**30  # bytes of address space that an input may take before the child is out of memory
_WRONG = ("traceback", "death", "memory", "time", "code")


class Target(NamedTuple):
    """A kind of files.

    Attributes:
        path: where the file goes, relative to the folder of whole files.
        read: reads it there.
        hostile: contents made to harm, by name.
        whole: the whole content.
    """

    path: str
    read: Callable[[], object]
    hostile: dict[str, bytes]
    whole: bytes


class Outcome(NamedTuple):
    """What an input did: exit code or what went wrong, CPU seconds and bytes of memory at most."""

    kind: str
    seconds: float
    bytes: int
    detail: str


@click.command()
@click.option("--inputs", type=click.IntRange(1), default=2400, show_default=True, help="Files to read.")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
@click.option("--only", metavar="TEXT", default="", help="Kinds of files with this in their names.")
def main(inputs: int, seed: int, only: str) -> None:
    """Give broken and hostile files to every reader."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        targets = {name: each for name, each in make_targets(folder).items() if only in name}
        outcomes = campaign(folder, targets, inputs, seed)
    totals: collections.Counter[str] = collections.Counter()
    for name in targets:
        of_target = [outcome for key, outcome in outcomes if key == name]
        counts = collections.Counter(outcome.kind for outcome in of_target)
        totals += counts
        slowest, largest = max(each.seconds for each in of_target), max(each.bytes for each in of_target)
        shown = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        click.echo(f"{name:<24} {len(of_target):4}: {shown}; at most {slowest:.1f} s, {largest / 2**20:.0f} MiB")
    click.echo(f"{len(outcomes):,} inputs: {', '.join(f'{totals[kind]} {kind}' for kind in _WRONG)}")
    click.echo(f"{time.monotonic() - begin:.0f} s")
    sys.exit(any(totals[kind] for kind in _WRONG))


def make_targets(folder: Path) -> dict[str, Target]:
    """Whole files of every kind in a folder, and what may take their place."""
    deep = save_tiny_biggan(folder / "deep")
    save_tiny_brock(folder / "brock")
    shutil.make_archive(str(folder / "brock-zip"), "zip", folder / "brock")
    safe = shutil.copytree(deep, folder / "safe")
    state = torch.load(safe / "pytorch_model.bin", weights_only=True)
    (safe / "pytorch_model.bin").unlink()
    safetensors.torch.save_file(state, safe / "model.safetensors")
    (deep / "discovery.json").write_text('{"steps": 5, "lr": 0.1, "path_size": 2.0}')
    generator = load_generator(deep, device="cpu")
    discover(generator, steps=2, batch=2, judge=False, quiet=True, precision="float32", out=folder / "run")
    (folder / "run" / "directions.safetensors").unlink()
    found = Directions(torch.eye(3, 16), metadata={"generator": str(deep), "settings": {"path_size": 2.0}})
    found.save(folder / "f.safetensors")
    truth = {"directions": torch.eye(2, 16)}
    safetensors.torch.save_file(truth, deep / "directions.safetensors", {"names": '["a", "b"]'})
    matrix = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    np.save(folder / "m.npy", matrix)
    np.savez(folder / "m.npz", directions=matrix)
    torch.save({"A": torch.from_numpy(matrix)}, folder / "m.pt")
    (folder / "m.csv").write_text("\n".join(",".join(map(str, row)) for row in matrix))
    shutil.copy(folder / "m.npy", folder / "z.npy")
    shutil.copy(folder / "m.pt", folder / "z.pt")
    np.savez(folder / "z.npz", z=matrix, classes=np.zeros(3, np.int64))

    of_torch, of_numpy, of_zip, of_csv = (
        _inputs.torch_files(), _inputs.numpy_files(), _inputs.zip_files(), _inputs.csv_files()
    )  # fmt: skip
    of_safetensors = _inputs.safetensors_files({**found.metadata, "class_names": ["a"], "strength": [1.0, 2.0, 3.0]})

    def target(path: str, command: str, hostile: dict[str, bytes]) -> Target:
        words = [word.replace("@", path) for word in command.split()]
        return Target(path, functools.partial(_run, words), hostile, (folder / path).read_bytes())

    def of_json(path: str) -> dict[str, bytes]:
        return _inputs.json_files(json.loads((folder / path).read_text()))

    imported, edited = "import @ --out x.safetensors", "edit f.safetensors --set 0=1 --latents @ --out e.png"
    given = "import m.npy --out x.safetensors --generator"
    resumed = "discover --generator deep --steps 2 --batch 2 --no-judge --quiet --precision float32 --out run"
    of_truth = {name: content.replace(b'"A"', b'"directions"') for name, content in of_safetensors.items()}
    return {
        "directions, name": target("f.safetensors", "name @", of_safetensors),
        "directions, export": target("f.safetensors", "export @ x.npy", of_safetensors),
        "directions, edit": target("f.safetensors", "edit @ --set 0=1 --out e.png", of_safetensors),
        "checkpoint": target(f"run/{STATE}", resumed, of_safetensors),
        "matrix .npy": target("m.npy", imported, of_numpy),
        "matrix .npz": target("m.npz", imported, of_zip | of_numpy),
        "matrix .pt": target("m.pt", imported, of_torch | of_zip),
        "matrix .csv": target("m.csv", imported, of_csv),
        "latents .npy": target("z.npy", edited, of_numpy),
        "latents .npz": target("z.npz", edited, of_zip),
        "latents .pt": target("z.pt", edited, of_torch),
        "weights .bin": target("deep/pytorch_model.bin", f"{given} ./deep", of_torch | of_zip),
        "weights .safetensors": target("safe/model.safetensors", f"{given} ./safe", of_safetensors),
        "weights .pth": target("brock/G_ema.pth", f"{given} ./brock", of_torch),
        "weights .zip": target("brock-zip.zip", f"{given} ./brock-zip.zip", of_zip | of_torch),
        "config.json": target("deep/config.json", f"{given} ./deep", of_json("deep/config.json")),
        "true directions": target("deep/directions.safetensors", f"{given} ./deep", of_truth),
        "classes.json": target("deep/classes.json", "classes --generator ./deep", of_json("deep/classes.json")),
        "discovery.json": target("deep/discovery.json", f"{given} ./deep", of_json("deep/discovery.json")),
    }


def campaign(folder: Path, targets: dict[str, Target], inputs: int, seed: int) -> list[tuple[str, Outcome]]:
    """Read inputs of all targets in turn, in children."""
    names = list(targets)
    plan = [(names[number % len(names)], seed * 10**6 + number) for number in range(inputs)]
    outcomes: list[tuple[str, Outcome]] = []
    while len(outcomes) < len(plan):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _work(folder, targets, plan[len(outcomes) :], writing)
        os.close(writing)
        with os.fdopen(reading) as lines:
            while len(outcomes) < len(plan):
                ready, _, _ = select.select([lines], [], [], _DEADLINE)
                line = lines.readline() if ready else ""
                if not line:
                    break
                outcomes.append((plan[len(outcomes)][0], Outcome(*json.loads(line))))
                if len(outcomes) % 200 == 0:
                    click.echo(f"{len(outcomes):,} of {len(plan):,} inputs", err=True)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if len(outcomes) < len(plan):
            name, number = plan[len(outcomes)]
            click.echo(f"{name}, input {number}: the child died or hung (status {status})", err=True)
            outcomes.append((name, Outcome("death", 0, 0, "")))
            _put_back(folder, targets[name])
    return outcomes


def _work(folder: Path, targets: dict[str, Target], plan: list[tuple[str, int]], writing: int) -> NoReturn:
    """Read the inputs of a plan, and write a line for each. Never returns."""
    console, others = os.dup(2), [each.whole for each in targets.values()]
    with open(os.devnull, "w") as null:  # noqa: PTH123
        for stream in (1, 2):
            os.dup2(null.fileno(), stream)
    os.environ["BIGGAN_DISCOVERY_OFFLINE"] = "1"
    sys.stdin = io.StringIO()
    for name, target in targets.items():
        kind, detail = _in_folder(folder, target.read)
        if kind != "exit 0":
            os.write(console, f"{name}: whole files give {kind}: {detail}\n".encode())
    for name, number in plan:
        outcome = _read(folder, targets[name], random.Random(number), others)
        if outcome.kind in _WRONG:
            os.write(console, f"{name}, input {number}: {outcome.kind}: {outcome.detail}\n".encode())
        os.write(writing, (json.dumps(outcome) + "\n").encode())
    os._exit(0)


def _read(folder: Path, target: Target, chance: random.Random, others: list[bytes]) -> Outcome:
    """Put one input in the place of the whole file, run the command, and put the whole file back."""
    path = folder / target.path
    path.unlink()
    choice, description = chance.random(), "damaged at random"
    if choice < 0.03:
        _inputs.special(path, chance)
        description = "no regular file"
    elif choice < 0.4:
        description = chance.choice(sorted(target.hostile))
        path.write_bytes(target.hostile[description])
    else:
        path.write_bytes(_inputs.mutated(target.whole, others, chance))
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # The peak counts from now.
    resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + _ADDRESSES, resource.RLIM_INFINITY))
    begin = time.process_time()
    kind, detail = _in_folder(folder, target.read)
    seconds, peak = time.process_time() - begin, _memory("VmHWM") - before
    canary = folder / _inputs.CANARY
    if canary.exists():
        canary.rmdir()
        kind = "code"
    elif kind != "traceback" and (peak > _MOST_BYTES or seconds > _MOST_SECONDS):
        kind = "memory" if peak > _MOST_BYTES else "time"
    _put_back(folder, target)
    for made in (*folder.glob("run/state.previous*"), *folder.glob("run/directions*")):
        made.unlink()  # They would be read instead of the checkpoint.
    return Outcome(kind, seconds, peak, f"{description}; {detail} ({seconds:.1f} s, {peak / 2**20:.0f} MiB)")


def _put_back(folder: Path, target: Target) -> None:
    path = folder / target.path
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    path.write_bytes(target.whole)


def _in_folder(folder: Path, read: Callable[[], object]) -> tuple[str, str]:
    """How reading ended: "exit" and its code, or "traceback", with what was raised where."""
    os.chdir(folder)
    try:
        read()
    except SystemExit as ended:
        return f"exit {ended.code or 0}", ""
    except (UserError, OSError) as error:  # They are one line where a command is used.
        return "exit 2", str(error)
    except BaseException as error:
        where: Any = traceback.extract_tb(error.__traceback__)[-1]
        return "traceback", f"{type(error).__name__}: {str(error)[:200]} at {where.filename}:{where.lineno}"
    return "exit 0", ""


def _run(words: list[str]) -> NoReturn:
    """Run a command as from a terminal; only what `run` lets through is a traceback there."""
    sys.argv = ["biggan-discovery", *words]
    run(cli, "biggan-discovery")


def _memory(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
