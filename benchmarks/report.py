"""`python -m benchmarks.report`: all methods judged by all metrics where the true directions are known.

Every method is run over several seeds (runs of `benchmarks.methods` are reused). Each set of directions and the true
directions are judged once, and the results are kept beside the runs. Writes tables, figures and all numbers.
"""

from __future__ import annotations

import itertools
import json
import math
import shlex
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import scipy.stats
import torch

from benchmarks.judged import OF_DIRECTIONS, OF_SETS, OF_STRONGEST, TRUE, Result, Results, judge_all
from biggan_discovery import Directions, load_generator
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, generator_option
from biggan_discovery.evaluation import recovery
from biggan_discovery.evaluation.agreement import agreement, chance_agreement
from biggan_discovery.evaluation.metric import PRESETS, Figure
from biggan_discovery.evaluation.metrics.factors import true_directions
from biggan_discovery.evaluation.suite import Suite
from biggan_discovery.evaluation.table import with_needed
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.rendering import Film, Label, Sheet, open_writer, sample_classes, sample_latents, strip_amounts
from biggan_discovery.reports import figures
from biggan_discovery.reports.compare import Pair
from biggan_discovery.reports.content import plain
from biggan_discovery.reports.document import Code, Document, Heading, Picture, Table, Text

_GOOD = 0.9  # Recovery above which sets differ only in details.
_SHORT = {
    "Hessian Penalty, joint diagonalization": "HP, joint diag.",
    "Hessian Penalty, Adam": "HP, Adam",
    "OroJaR, joint diagonalization": "OroJaR, joint diag.",
}
_DERIVATIVES = ("Hessian Penalty", "OroJaR", "largest on diagonal", "diagonal / off-diagonal")
_KNOWN = ("recovery", "leakage", "DCI", "mutual information gap")
_SAME_AS_ANOTHER = ("Hessian Penalty", "OroJaR")  # Up to a factor.
_LOGARITHMIC = ("Hessian Penalty / random", "OroJaR / random")
_STRIP_ROWS, _STRIP_LENGTH = 4, 5


@click.command()
@generator_option
@click.option("--seeds", type=POSITIVE_INT, default=3, show_default=True)
@click.option("--preset", type=click.Choice(PRESETS), default="quick", show_default=True)
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs/methods"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs/report"), show_default=True)
def benchmark(generator: str, seeds: int, preset: str, runs: Path, out: Path) -> None:
    """Judge every method by every metric; write tables, figures and numbers."""
    loaded = load_generator(generator)
    true_directions(loaded)  # Raises if they are unknown.
    sets = {_SHORT.get(name, name): judged for name, judged in judge_all(loaded, seeds, preset, runs).items()}
    _Report(loaded, sets, out).write(seeds, preset)
    click.echo(f"wrote {out / 'figures.md'}")


class _Report:
    def __init__(self, generator: FrozenGenerator, sets: Results, out: Path):
        self._generator, self._sets, self._out = generator, sets, out
        self._values = {method: [each.values() for each in judged] for method, judged in sets.items()}
        known = self._values[TRUE][0]
        self._metrics = [metric for metric in (*OF_SETS, *OF_STRONGEST, *OF_DIRECTIONS) if metric.key in known]
        self._truth = true_directions(generator)

    def write(self, seeds: int, preset: str) -> None:
        count = sum(map(len, self._sets.values()))
        document = Document(f"Every method judged by every metric: {self._generator.name}")
        document.add(
            Code(_command()),
            Text(
                f"Preset {preset}, {seeds} seeds of every method that depends on one; {count} sets in all, judged on "
                "the same samples. Mean ± standard deviation over seeds. What follows from it is said in "
                "README.md."
            ),
            Heading(2, "What each method recovers"),
            self._factors(),
            self._strips(),
            Heading(2, "Second derivatives and inner products"),
            self._table([metric for metric in self._metrics if metric.key.startswith(_DERIVATIVES)]),
            Heading(2, "What image changes tell"),
            self._table([metric for metric in self._metrics if not metric.key.startswith((*_DERIVATIVES, *_KNOWN))]),
            Text(
                f"Metrics of the strongest are of each set's {len(self._truth)} most active directions alone, as many "
                "as there are true ones: dead directions cannot be told apart."
            ),
            Heading(2, "Metrics of known factors"),
            self._table([metric for metric in self._metrics if metric.key.startswith(_KNOWN)]),
            Heading(2, "Which metrics tell the truth"),
            self._ranks(),
            self._scatter(),
            self._agreement_of_metrics(),
            Heading(2, "How consistent each method is"),
            self._consistency(),
            Heading(2, "Directions by strength"),
            self._activeness(),
            self._panels("response of latents", "response", "mean |change| of the factor"),
            self._panels("mean |H|", "hessian", "mean |H|"),
        )
        atomic_write(self._out / "figures.md", document.markdown())
        atomic_write(self._out / "report.json", json.dumps(self._content(seeds, preset), indent=1) + "\n")

    def _factors(self) -> Picture:
        cosines = [
            np.mean([np.abs(recovery(each.Q, self._truth).cosines) for each in judged], axis=0)
            for judged in self._sets.values()
        ]
        figures.numbers_in_cells(
            np.array([[*row, row.mean()] for row in cosines]),
            (list(self._sets), [*self._generator.factor_names, "mean"]),
            (0.3, 1.0),
            ("What each method recovers of each factor, mean over seeds", "|cos| with its partner"),
            self._path("factors"),
            cell=(0.55, 0.45),
        )
        return self._picture("factors", "|cos| of each true direction with its partner, matched one to one.")

    def _strips(self) -> Picture:
        """The strongest directions of each method's first seed, on one sample."""
        shown = [
            (method, judged[0].Q[direction], direction)
            for method, judged in self._sets.items()
            for direction in judged[0].every.active_first[:_STRIP_ROWS]
        ]
        rows = torch.stack([row for _, row, _ in shown])
        directions = Directions(rows, rows, {"settings": {"orthogonalize": "none"}})
        amounts = strip_amounts(_STRIP_LENGTH, float(str(self._generator.defaults()["path_size"])) * 0.6)
        labels = [Label(str(direction), method) for method, _, direction in shown]
        sheet = Sheet(labels, tile=self._generator.resolution, columns=len(amounts), across=2, scale=1)
        z = sample_latents(self._generator, 1, 0)
        film = Film(self._generator, directions, z, sample_classes([0], 1))
        with open_writer(self._path("strips"), 1) as writer:
            for frame in film.strip(range(len(rows)), amounts, sheet):
                writer.add(frame)
        return self._picture(
            "strips", f"The {_STRIP_ROWS} strongest directions of each method, seed 0, strongest first."
        )

    def _table(self, metrics: Sequence[Figure]) -> Table:
        header = ["method", *(f"{metric.title} {metric.better}".strip() for metric in metrics)]
        rows = [
            [method, *(spread([each[metric.key] for each in values]) for metric in metrics)]
            for method, values in self._values.items()
        ]
        return Table(header, rows)

    def _ranks(self) -> Table:
        rows = []
        for metric in self._metrics:
            if metric.key == "recovery":
                continue
            everywhere, among_good = (self._rank_correlation(metric, least) for least in (0.0, _GOOD))
            ahead = f"{self._ahead_of_truth(metric)}" if metric.better else "–"
            rows.append([f"{metric.title} {metric.better}".strip(), signed(everywhere), signed(among_good), ahead])
        good = sum(each["recovery"] >= _GOOD for values in self._values.values() for each in values)
        found = sum(map(len, self._sets.values())) - 1
        header = (
            "metric",
            f"rank correlation with recovery, all {found + 1} sets",
            f"among the {good} with recovery ≥ {_GOOD}",
            f"of {found} found sets, better than the true directions",
        )
        return Table(header, rows)

    def _column(self, key: str) -> np.ndarray:
        return np.array([each[key] for values in self._values.values() for each in values])

    def _rank_correlation(self, metric: Figure, least: float) -> float:
        """Spearman's rank correlation, positive if the metric prefers sets with higher recovery."""
        known = self._column("recovery")
        chosen = known >= least
        return rank_correlation(_sign(metric) * self._column(metric.key)[chosen], known[chosen])

    def _ahead_of_truth(self, metric: Figure) -> int:
        values = _sign(metric) * self._column(metric.key)
        truth = _sign(metric) * self._values[TRUE][0][metric.key]
        return int((values > truth + 1e-9 * abs(truth)).sum())

    def _scatter(self) -> Picture:
        panels = {
            metric.title: {
                method: np.array([[each["recovery"], each[metric.key]] for each in values])
                for method, values in self._values.items()
            }
            for metric in self._with_order()
            if metric.key != "recovery" and not metric.key.endswith("in images")
        }
        figures.scatter_panels(panels, "recovery of the true directions", _LOGARITHMIC, self._path("metrics"))
        caption = "Metrics against the recovery of the true directions, a point for each set."
        return self._picture("metrics", caption)

    def _with_order(self) -> list[Figure]:
        """Metrics that rank sets, without duplicates."""
        return [
            metric
            for metric in self._metrics
            if metric.better and metric.title not in _SAME_AS_ANOTHER and _has_order(self._column(metric.key))
        ]

    def _agreement_of_metrics(self) -> Picture:
        shown = self._with_order()
        columns = [_sign(metric) * self._column(metric.key) for metric in shown]
        titles = [metric.title for metric in shown]
        figures.numbers_in_cells(
            np.array([[rank_correlation(one, other) for other in columns] for one in columns]),
            (titles, titles),
            (-1.0, 1.0),
            ("Do metrics agree?", "rank correlation over all sets, 1: the same order, better first"),
            self._path("agreement"),
            cell=(0.42, 0.36),
            colours="RdBu",
        )
        return self._picture("agreement", "Spearman's rank correlation of every two metrics over all sets.")

    def _consistency(self) -> Table:
        rows = []
        for method, judged in self._sets.items():
            if len(judged) < 2:
                continue
            pairs = [_comparison(one, other) for one, other in itertools.combinations(judged, 2)]
            means, weighted = [each.agreement.mean for each in pairs], [each.weighted for each in pairs]
            rows.append([method, spread(means), spread(weighted), f"{pairs[0].chance.mean:.3f}"])
        return Table(("method", "mean |cos| between seeds", "weighted by activeness", "chance"), rows)

    def _activeness(self) -> Picture:
        scores = {method: judged[0].every.of_directions["activeness"] for method, judged in self._sets.items()}
        figures.activeness_curves(scores, self._path("activeness"))
        return self._picture("activeness", "Activeness, seed 0, directions sorted in each set.")

    def _panels(self, key: str, name: str, label: str) -> Picture:
        of_factors = key.startswith("response")
        matrices = {}
        for method, judged in self._sets.items():
            order = judged[0].every.active_first
            matrix = judged[0].every.matrices[key][order]
            matrices[method] = (matrix if of_factors else matrix[:, order]).numpy()
        columns = self._generator.factor_names if of_factors else [""] * len(self._sets[TRUE][0].Q)
        figures.matrix_panels(matrices, columns, label, self._path(name), logarithmic=not of_factors)
        what = "Response of the true factors to each direction" if of_factors else "Mean |H|"
        return self._picture(name, f"{what}, seed 0; rows are directions, strongest first.")

    def _path(self, name: str) -> Path:
        return self._out / f"{name}.png"

    def _picture(self, name: str, caption: str) -> Picture:
        return Picture(f"{name}.png", caption)

    def _content(self, seeds: int, preset: str) -> dict:
        names = self._generator.factor_names
        return {
            "format": 1,
            "command": _command(),
            "generator": self._generator.name,
            "generator_sha256": self._generator.sha256,
            "seeds": seeds,
            "preset": preset,
            "sizes": Suite(with_needed(None), preset).sizes_by_metric(),
            "sets": {
                method: [
                    {
                        "recovered": dict(zip(names, map(abs, recovery(each.Q, self._truth).cosines), strict=True)),
                        "figures": plain(each.figures()),
                    }
                    for each in judged
                ]
                for method, judged in self._sets.items()
            },
        }


def _comparison(one: Result, other: Result) -> Pair:
    chance = chance_agreement(len(one.Q), len(other.Q), one.Q.shape[1])
    return Pair(("", ""), agreement(one.Q, other.Q), chance, one.every.of_directions["activeness"])


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks.report", *sys.argv[1:]])


def _sign(metric: Figure) -> int:
    return -1 if metric.better == "↓" else 1


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of values (N,); NaN if either is constant."""
    if not (_has_order(one) and _has_order(other)):
        return math.nan
    ranks = [scipy.stats.rankdata(each) for each in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def _has_order(values: np.ndarray) -> bool:
    """Whether values differ by more than a thousandth of the largest."""
    return np.ptp(values) > 1e-3 * np.abs(values).max()


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation to two digits of the latter; only the mean if all values are equal."""
    mean = statistics.mean(values)
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    if deviation:
        decimals = min(max(0, 1 - math.floor(math.log10(deviation))), 6)
        return f"{mean:,.{decimals}f} ± {deviation:,.{decimals}f}"
    return f"{mean:,.0f}" if mean >= 1000 or abs(mean) < 1e-6 else f"{mean:.3g}"


def signed(value: float) -> str:
    """A correlation, or a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:+.2f}"


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.report")
