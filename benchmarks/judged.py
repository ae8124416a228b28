"""Every method of `benchmarks.methods` judged by every metric, where the true directions are known."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.methods import METHODS, run_folder, search
from biggan_discovery.evaluation import Estimate
from biggan_discovery.evaluation.factors import true_directions
from biggan_discovery.evaluation.lpips_distance import lpips_distance
from biggan_discovery.evaluation.suite import (
    PRESETS,
    Conditions,
    Judgement,
    References,
    Subject,
    tasks,
    true_subject,
)
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.progress import Progress
from biggan_discovery.reports.metrics import METRICS, Metric

TRUE = "true directions"
_SEED = 1000  # of judging: random directions that ratios divide by must not be those that are judged
OF_DIRECTIONS = (
    Metric("activeness", "activeness", "", "Mean over directions of the variance of pixels."),
    Metric("change per unit", "RMS change", "", "Mean over directions of the RMS change per unit step."),
    Metric("path length", "path length", "", "Mean over directions of the squared change per squared unit."),
    Metric("path length (LPIPS)", "path length (LPIPS)", "", "The same by LPIPS."),
)
# Judged once more on as many directions as there are true ones: dead ones cannot be told apart.
_LEARNED = ("image pairs", "VP", "RCA", "contrastive accuracy")
OF_STRONGEST = tuple(
    metric._replace(key=f"{metric.key} of the strongest", title=f"{metric.title}, strongest")
    for metric in METRICS
    if metric.key.startswith(_LEARNED)
)


class Judged(NamedTuple):
    """Directions (ndirs, z_dim) and what came out: of all, and of the strongest ones alone."""

    Q: Tensor
    judgement: Judgement
    strongest: Judgement

    def values(self) -> dict[str, float]:
        """One number for each metric, figures of single directions averaged."""
        of_directions = {
            metric.key: statistics.mean(each.mean for each in self.judgement.of_directions[metric.key])
            for metric in OF_DIRECTIONS
            if metric.key in self.judgement.of_directions
        }
        return of_directions | {key: each.mean for key, each in self.figures().items()}

    def figures(self) -> dict[str, Estimate]:
        """All figures of the set."""
        strongest = {f"{key} of the strongest": each for key, each in self.strongest.figures.items()}
        return self.judgement.figures | strongest


Sets = dict[str, list[Judged]]  # by method, one for each seed that gives other directions than the first


def judge_all(generator: FrozenGenerator, seeds: int, preset: str, runs: Path) -> Sets:
    """Every method's sets and the true directions, judged; runs and judgements in the folder are not made again."""
    references, sets = References(), Sets()
    for name in METHODS:
        found = [search(generator, name, seed, runs).Q for seed in range(seeds)]
        others = [seed for seed in range(1, seeds) if not torch.equal(found[seed], found[0])]
        sets[name] = [
            _judge(
                generator,
                Subject(f"{name}, seed {seed}", found[seed]),
                preset,
                run_folder(runs, name, seed),
                references,
            )
            for seed in (0, *others)
        ]
    truth = true_subject(generator, max(len(each[0].Q) for each in sets.values()))
    sets[TRUE] = [_judge(generator, truth, preset, runs / TRUE, references)]
    return sets


def _judge(generator: FrozenGenerator, subject: Subject, preset: str, folder: Path, references: References) -> Judged:
    judgement = _kept(folder / f"judgement-{preset}.json", generator, subject, preset, references)
    strongest = judgement.strongest_first[: len(true_directions(generator))]
    few = Subject(f"{subject.label}, strongest", subject.Q[strongest], subject.layers)
    return Judged(
        subject.Q,
        judgement,
        _kept(folder / f"judgement-{preset}-strongest.json", generator, few, preset, references, _LEARNED),
    )


def _kept(path: Path, *arguments: Any) -> Judgement:
    """The judgement in a file, which is made where it is not there."""
    if not path.exists():
        atomic_write(path, _to_json(_judgement(*arguments)))
    return _from_json(path.read_text())


def _judgement(
    generator: FrozenGenerator, subject: Subject, preset: str, references: References, only: Sequence[str] = ()
) -> Judgement:
    """What comes out of all tasks, or of those with some titles only."""
    defaults, judgement = generator.defaults(), Judgement()
    path_size, epsilon = (float(str(defaults[key])) for key in ("path_size", "epsilon"))
    for task in tasks(
        generator,
        subject,
        Conditions(list(range(generator.num_classes)), path_size, epsilon, _SEED),
        PRESETS[preset],
        judgement,
        predictor=generator.factor_predictor(),
        perceptual=lpips_distance(generator),
        references=References() if only else references,
    ):
        if not only or task.title in only:
            with Progress(task.length, f"{subject.label}: {task.title}", unit=task.unit) as progress:
                task.run(progress)
    return judgement


def _to_json(judgement: Judgement) -> str:
    matrices = {key: matrix.tolist() for key, matrix in judgement.matrices.items()}
    return json.dumps({**vars(judgement), "matrices": matrices})


def _from_json(text: str) -> Judgement:
    content = json.loads(text)
    return Judgement(
        {key: Estimate(*each) for key, each in content["figures"].items()},
        {key: [Estimate(*each) for each in scores] for key, scores in content["of_directions"].items()},
        {key: torch.tensor(matrix, dtype=torch.float64) for key, matrix in content["matrices"].items()},
    )
