"""`python -m benchmarks.real`: methods on real, adversarially trained GANs, judged at latents that none has seen.

Prints, for each network and method, the off-diagonal sum of squares of Hessians and of JᵀJ relative to random frames:
at the method's own latents and, mean ± standard error over latents, at others, which are the same for all. Everything
that is measured is kept in --out, and the same command goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import click
import safetensors.torch
import torch
from torch import Tensor

from biggan_discovery import Directions, FunctionGenerator, discover, load_generator
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, device_option
from biggan_discovery.directions.metadata import DETERMINED
from biggan_discovery.evaluation.agreement import agreement
from biggan_discovery.evaluation.metrics.off_diagonal import UnseenMatrices, unseen_matrices
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.catalogue import find_device
from biggan_discovery.generators.labels import class_list
from biggan_discovery.generators.mixes import Class
from biggan_discovery.search.joint_diagonalization import JointDiagonalization
from tests.generators import real_networks

NETWORKS = ("celeba64-dcgan", "cifar32-biggan", "cifar-32")
_CLASSES = {"cifar32-biggan": "horse", "cifar-32": "horse"}
_SKETCHES = 2
_BATCH = 8  # of Adam, with two probes: 4 images a sample, each forward and backward
_TOP = 10
_HEAD = (
    "method",
    "evaluations",
    "Hessian, own latents",
    "Hessian, unseen",
    "JᵀJ, own latents",
    "JᵀJ, unseen",
    "determined",
    "the ten first agree",
    "minutes",
    "solver's share",
)


def methods(evaluations: int, width: int) -> dict[str, dict[str, Any]]:
    """The methods by title: the default, and each limited to a number of generator evaluations."""
    return {
        "combined, default": {"method": "combined"},
        "combined": {"method": "combined", "evaluations": evaluations},
        "Hessian Penalty": {"method": "hessian", "evaluations": evaluations},
        "OroJaR": {"method": "orojar", "evaluations": evaluations},
        "Jacobian": {"method": "jacobian", "samples": max(2, evaluations // (3 * width + 1))},
        "Hessian Penalty, Adam": {
            "method": "hessian",
            "solver": "adam",
            "batch": _BATCH,
            "probes": 2,
            "steps": max(1, evaluations // (8 * _BATCH)),
        },
        "SeFa": {"method": "sefa"},
        "random": {"method": "random"},
    }


@click.command()
@click.option("--network", "networks", type=click.Choice(NETWORKS), multiple=True, help="Network.  [default: all]")
@click.option("--method", "titles", multiple=True, help="Title of a method.  [default: all]")
@click.option("--seeds", type=POSITIVE_INT, default=3, show_default=True)
@click.option("--evaluations", type=POSITIVE_INT, default=20_000, show_default=True, help="Of each method and seed.")
@click.option("--unseen", type=POSITIVE_INT, default=24, show_default=True, help="Latents to judge at.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/real"), show_default=True)
@device_option
def benchmark(
    networks: tuple[str, ...],
    titles: tuple[str, ...],
    seeds: int,
    evaluations: int,
    unseen: int,
    out: Path,
    device: str,
) -> None:
    """Run every method on real GANs and judge all at the same unseen latents."""
    for name in networks or NETWORKS:
        generator = network(name, device)
        classes = class_list(generator, _CLASSES.get(name))
        folder = out / name
        matrices = _matrices(generator, classes, unseen, folder)
        click.echo(f"\n{name}, classes {classes}, {unseen} unseen latents, {seeds} seeds\n")
        click.echo("| " + " | ".join(_HEAD) + " |\n" + "|---" * len(_HEAD) + "|")
        chosen = methods(evaluations, generator.z_dim)
        for title, asked in chosen.items():
            if not titles or title in titles:
                runs = [_run(generator, classes, asked, seed, folder / f"{title}-{seed}") for seed in range(seeds)]
                click.echo(f"| {title} | " + " | ".join(_row(runs, matrices)) + " |")


def network(name: str, device: str = "cpu") -> FrozenGenerator:
    """A network of `NETWORKS` as a generator."""
    if name == "cifar-32":
        return load_generator(name, device=device)
    if name == "cifar32-biggan":
        return load_generator(real_networks.FOLDER / name, device=device)
    made = real_networks.load(name).to(find_device(device))
    first: Any = made[1]  # pyright: ignore[reportIndexIssue]
    return FunctionGenerator(made, z_dim=first.in_channels, projections=first.weight.flatten(1).T, name=name)


def _matrices(generator: FrozenGenerator, classes: list[Class], count: int, folder: Path) -> UnseenMatrices:
    """Matrices at `count` latents, measured two at a time and kept."""
    hessians, products = [], []
    for part in range(-(-count // 2)):
        path = folder / f"unseen-{part}.safetensors"
        if not path.exists():
            found = unseen_matrices(generator, classes=classes, samples=2, sketches=_SKETCHES, seed=10_000 + part)
            tensors = {"hessians": found.hessians, "products": found.products}
            folder.mkdir(parents=True, exist_ok=True)
            atomic_write(path, safetensors.torch.save(tensors))
        kept = safetensors.torch.load_file(path)
        hessians.append(kept["hessians"])
        products.append(kept["products"])
    return UnseenMatrices(torch.cat(hessians)[:count], torch.cat(products)[:count], slice(0, generator.z_dim))


class _Seconds(NamedTuple):
    """Seconds of the last session of a search, and of these those in which joint diagonalization measured matrices."""

    all: float
    measuring: float


def _run(
    generator: FrozenGenerator, classes: list[Class], asked: dict[str, Any], seed: int, folder: Path
) -> tuple[Directions, _Seconds]:
    """The directions of a method and seed, and how long it took."""
    begin = time.monotonic()
    with _timed_measuring() as measuring:
        found = discover(generator, classes=classes, seed=seed, out=folder, judge=False, save_every=4, **asked)
    kept = folder / "seconds.json"
    if not kept.exists():
        atomic_write(kept, json.dumps([time.monotonic() - begin, sum(measuring)]))
    return found, _Seconds(*json.loads(kept.read_text()))


@contextlib.contextmanager
def _timed_measuring() -> Iterator[list[float]]:
    """The seconds of every round's measuring, as they end."""
    seconds: list[float] = []
    measure = JointDiagonalization._measure_round

    def timed(*arguments: Any) -> None:
        begin = time.monotonic()
        measure(*arguments)
        seconds.append(time.monotonic() - begin)

    with mock.patch.object(JointDiagonalization, "_measure_round", timed):
        yield seconds


def _row(runs: list[tuple[Directions, _Seconds]], matrices: UnseenMatrices) -> list[str]:
    every = [found for found, _ in runs]
    own = {kind: [_own(found, kind) for found in every] for kind in ("hessian", "orojar")}
    unseen = {kind: torch.stack([matrices.ratios(found.Q)[kind] for found in every]) for kind in own}
    evaluations = sum(found.metadata["generator_evaluations"] for found in every) / len(every)
    determined = [found.metadata.get("determined") for found in every]
    return [
        f"{evaluations:,.0f}",
        _mean(own["hessian"]),
        _over_latents(unseen["hessian"]),
        _mean(own["orojar"]),
        _over_latents(unseen["orojar"]),
        ", ".join("-" if each is None else str(each) for each in determined),
        _agreement(every),
        f"{sum(seconds.all for _, seconds in runs) / len(runs) / 60:.1f}",
        _solver_share([seconds for _, seconds in runs]),
    ]


def _solver_share(runs: list[_Seconds]) -> str:
    """What is not spent on measuring, where anything is."""
    if not any(each.measuring for each in runs):
        return "-"
    return f"{1 - sum(each.measuring for each in runs) / sum(each.all for each in runs):.0%}"


def _own(found: Directions, kind: str) -> float | None:
    return found.metadata.get("unseen", {}).get(kind, {}).get("found", {}).get("own")


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else "-"


def _over_latents(ratios: Tensor) -> str:
    """Mean over seeds, then mean ± standard error over latents."""
    of_latents = ratios.nanmean(dim=0)
    return f"{of_latents.mean():.3f} ± {of_latents.std() / len(of_latents) ** 0.5:.3f}"


def _agreement(every: list[Directions]) -> str:
    """Mean |cos| of the first directions of one seed that are determined, with their partners among all of another."""
    cosines: list[float] = []
    for one in every:
        angles = one.metadata.get("error_angle")
        first = [row for row in range(_TOP) if angles is None or angles[row] <= DETERMINED]
        for other in every:
            if other is not one and first:
                matched = agreement(one.Q, other.Q)
                by_row = dict(zip((row for row, _ in matched.partners), matched.cosines, strict=True))
                cosines += [abs(by_row[row]) for row in first]
    return f"{sum(cosines) / len(cosines):.2f}" if cosines else "-"


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.real")
