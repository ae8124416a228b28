"""Flip single bits of directions files and checkpoints, and count what is accepted.

    python -m benchmarks.faults flips --flips 400

Half of the flips hit the bundled directions file, spread evenly over it; the other half the checkpoint of a search that
was stopped halfway. The same command then goes on: it must refuse the file by name, or resume from the checkpoint
before and end with the same directions.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import torch

from biggan_discovery import Directions, FunctionGenerator, discover
from biggan_discovery.errors import UserError
from biggan_discovery.generators.catalogue import bundled_path
from biggan_discovery.runs.folder import DIRECTIONS, PREVIOUS, STATE

ACCEPTED = "accepted, another result"
_STEPS, _SAVE_EVERY = 8, 2


@click.command()
@click.option("--flips", type=click.IntRange(2), default=400, show_default=True, help="Bits to flip.")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
def main(flips: int, seed: int) -> None:
    """Flip bits of directions files and checkpoints."""
    logging.getLogger("biggan_discovery").setLevel(logging.ERROR)
    begin, chance = time.monotonic(), random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        outcomes = {
            "directions": of_directions(Path(place, "directions"), flips // 2, chance),
            "checkpoints": of_checkpoints(Path(place, "run"), flips - flips // 2, chance),
        }
    for file, counts in outcomes.items():
        click.echo(f"{counts.total()} flips in {file}")
        for outcome, count in [*counts.most_common(), *([(ACCEPTED, 0)] if not counts[ACCEPTED] else [])]:
            click.echo(f"{count:6,}  {outcome}")
    click.echo(f"{time.monotonic() - begin:.0f} s")
    sys.exit(any(counts[ACCEPTED] for counts in outcomes.values()))


def of_directions(folder: Path, flips: int, chance: random.Random) -> collections.Counter[str]:
    """Count the outcomes of flips in a directions file."""
    folder.mkdir()
    source = bundled_path("directions/scenes-64.safetensors")
    path = folder / source.name
    whole = Directions.load(source)

    def same() -> bool:
        found = Directions.load(path)
        return _equal(found, whole) and found.metadata == whole.metadata

    return collections.Counter(
        _outcome(path, same, "accepted, the same result") for _ in _flipped(source, path, flips, chance)
    )


def of_checkpoints(folder: Path, flips: int, chance: random.Random) -> collections.Counter[str]:
    """Count the outcomes of flips in the newest checkpoint of a search that was stopped halfway."""
    whole, calls = _search(folder / "whole")
    _search(folder / "halfway", most_calls=3 * calls // 4)
    path = folder / "flipped" / STATE
    path.parent.mkdir()

    def same() -> bool:
        shutil.copy(folder / "halfway" / PREVIOUS, path.parent)
        (path.parent / DIRECTIONS).unlink(missing_ok=True)
        return _equal(_search(path.parent)[0], whole)

    return collections.Counter(
        _outcome(path, same, "resumed from the checkpoint before, the same result")
        for _ in _flipped(folder / "halfway" / STATE, path, flips, chance)
    )


def _flipped(source: Path, path: Path, flips: int, chance: random.Random) -> Iterator[None]:
    """Write copies of a file with one bit flipped each, spread evenly over the file."""
    whole = source.read_bytes()
    for number in range(flips):
        first, end = (8 * len(whole) * each // flips for each in (number, number + 1))
        bit, content = chance.randrange(first, end), bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        yield


def _outcome(path: Path, same: Callable[[], bool], accepted: str) -> str:
    try:
        return accepted if same() else ACCEPTED
    except UserError as error:
        return "refused by name" if str(path) in str(error) else "refused without its name"


def _search(folder: Path, *, most_calls: int | None = None) -> tuple[Directions | None, int]:
    """A short search and how often it called its network; again, it resumes. It is interrupted after `most_calls`."""
    calls = 0

    def network(z: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        if calls == most_calls:
            raise KeyboardInterrupt
        calls += 1
        return (z @ mix).tanh().view(-1, 3, 4, 4)

    mix = torch.randn(6, 48, generator=torch.Generator().manual_seed(0))
    generator = FunctionGenerator(network, z_dim=6, resolution=4, channels=3)
    fixed = {"batch": 2, "precision": "float32", "judge": False, "quiet": True}
    with contextlib.suppress(KeyboardInterrupt):
        return discover(generator, steps=_STEPS, save_every=_SAVE_EVERY, out=folder, **fixed), calls
    return None, calls


def _equal(first: Directions | None, second: Directions | None) -> bool:
    return (
        first is not None and second is not None and torch.equal(first.A, second.A) and torch.equal(first.Q, second.Q)
    )
