"""Every method of `benchmarks.methods` judged by every metric, where the true directions are known."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.methods import METHODS, run_folder, search
from biggan_discovery.evaluation.estimates import Estimate, Ratio
from biggan_discovery.evaluation.metric import Figure, Kind, View
from biggan_discovery.evaluation.metrics.factors import true_directions
from biggan_discovery.evaluation.suite import Judged, Suite, true_rows
from biggan_discovery.evaluation.table import metric_named, metric_names, with_needed
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import ALL, parse_layers
from biggan_discovery.reports.content import of_set, restore

TRUE = "true directions"
_SEED = 1000  # Seed for judging.
# Also judged on as many directions as there are true ones, as inactive directions are arbitrary.
_LEARNED = ("vp", "rca", "contrastive")


def _figures(names: Sequence[str], kind: Kind) -> list[Figure]:
    return [figure for name in names for figure in metric_named(name).figures if figure.kind is kind]


OF_SETS = _figures(metric_names(), Kind.SET)
OF_DIRECTIONS = [
    replace(figure, better="", kind=Kind.SET) for figure in _figures(("activeness", "path-length"), Kind.DIRECTION)
]
"""Figures of single directions, which are averaged."""
OF_STRONGEST = [
    replace(figure, key=f"{figure.key} of the strongest", title=f"{figure.title}, strongest")
    for figure in _figures(_LEARNED, Kind.SET)
]


class Result(NamedTuple):
    """The results for a set of directions, and for its strongest directions alone."""

    every: Judged
    strongest: Judged

    @property
    def Q(self) -> Tensor:  # noqa: N802
        """(ndirs, z_dim), the directions."""
        return self.every.view.Q

    def values(self) -> dict[str, float]:
        """One number per figure, averaged over directions if necessary."""
        of_directions = {
            figure.key: statistics.mean(each.mean for each in self.every.of_directions[figure.key])
            for figure in OF_DIRECTIONS
            if figure.key in self.every.of_directions
        }
        return of_directions | {key: each.mean for key, each in self.figures().items()}

    def figures(self) -> dict[str, Estimate | Ratio]:
        """All figures of the set."""
        learned = {figure.key for figure in _figures(_LEARNED, Kind.SET)}
        strongest = {f"{key} of the strongest": each for key, each in self.strongest.figures.items() if key in learned}
        return self.every.figures | strongest


Results = dict[str, list[Result]]  # By method, one per seed with different directions.


def judge_all(generator: FrozenGenerator, seeds: int, preset: str, runs: Path) -> Results:
    """Judge the sets of every method and the true directions; runs and figures in the folder are reused."""
    defaults = generator.defaults()
    view = View(
        generator,
        torch.empty(0, generator.z_dim),
        parse_layers(ALL, generator.num_layers),
        list(range(generator.num_classes)),
        float(str(defaults["path_size"])),
        float(str(defaults["epsilon"])),
        _SEED,
        generator.factor_predictor(),
    )
    results = Results()
    for name in METHODS:
        found = [search(generator, name, seed, runs).Q for seed in range(seeds)]
        others = [seed for seed in range(1, seeds) if not torch.equal(found[seed], found[0])]
        results[name] = [
            _judge(replace(view, Q=found[seed]), f"{name}, seed {seed}", preset, run_folder(runs, name, seed))
            for seed in (0, *others)
        ]
    rows, _ = true_rows(generator, max(len(each[0].Q) for each in results.values()))
    results[TRUE] = [_judge(replace(view, Q=rows), TRUE, preset, runs / TRUE)]
    return results


def _judge(view: View, label: str, preset: str, folder: Path) -> Result:
    every = _kept(folder / f"judged-{preset}.json", Judged(label, view), Suite(with_needed(None), preset))
    few = every.active_first[: len(true_directions(view.generator))]
    alone = Judged(f"{label}, strongest", replace(view, Q=view.Q[few]))
    return Result(every, _kept(folder / f"judged-{preset}-strongest.json", alone, Suite(with_needed(_LEARNED), preset)))


def _kept(path: Path, judged: Judged, suite: Suite) -> Judged:
    """The set with its figures, read from the file or measured and written to it."""
    if path.exists():
        restore(judged, json.loads(path.read_text()))
    else:
        suite.measure([judged])
        atomic_write(path, json.dumps(of_set(judged)))
    return judged
