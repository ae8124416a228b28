"""The table and the heat maps of the comparison."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.claims.judging import Judges
from biggan_discovery.files import atomic_path
from biggan_discovery.training.regularizers.table import NONE, REGULARIZERS

ROWS = {
    "disentanglement": "disentanglement (DCI) ↑",
    "completeness": "completeness (DCI) ↑",
    "informativeness": "informativeness (DCI) ↑",
    "gap": "mutual information gap (MIG) ↑",
    "VP": "variation predictability (VP) ↑",
    "Hessian Penalty": "Hessian Penalty, held out ↓",
    "Hessian Penalty / random": "the same / random directions ↓",
    "OroJaR": "OroJaR, held out ↓",
    "OroJaR / random": "the same / random directions ↓",
    "spectral": "spectral penalty, held out ↓",
    "inactive directions": "dead axes, of 16",
    "path length": "path length (squared error) ↓",
    "accuracy": "images of the right class ↑",
    "pixels": "RMS distance from the renderer ↓",
    "minutes": "minutes of training",
}
_NAMES = {NONE: "more training", "hessian": "Hessian Penalty", "orojar": "OroJaR"}
Found = Mapping[str, Sequence[Mapping[str, Any]]]
Numbers = Mapping[str, Sequence[float]]  # of all seeds, by the keys of ROWS


def table(found: Found, judge: Judges) -> str:
    """Markdown: a row for each figure, a column for each kind of network, mean ± half the range over seeds.

    A second table has the differences from more training without a regularizer, seed by seed.
    """
    seeds = min(map(len, found.values()))
    names = {name: _NAMES.get(name, name) for name in found}
    figures = {name: _numbers(found[name]) for name in found}
    tuned = [name for name in found if name in REGULARIZERS]
    changes = {name: _changes(figures[name], figures[NONE]) for name in tuned}
    return "\n".join(
        [
            *_rows(figures, names),
            "",
            f"{seeds} seed{'s' * (seeds != 1)}, mean ± half the range. On renders that they have not seen, the judges "
            f"explain {judge.factors_r2:.3f} of the factors' variance, tell {judge.accuracy:.3f} of the classes, and "
            f"are {judge.pixels:.3f} from the pixels.",
            "",
            "Differences from more training, seed by seed:",
            "",
            *_rows(changes, names),
            "",
        ]
    )


def _numbers(of_seeds: Sequence[Mapping[str, Any]]) -> Numbers:
    return {key: [float(each[key]) for each in of_seeds] for key in ROWS}


def _changes(numbers: Numbers, without: Numbers) -> Numbers:
    return {key: [one - other for one, other in zip(numbers[key], without[key], strict=True)] for key in ROWS}


def _rows(columns: Mapping[str, Numbers], names: Mapping[str, str]) -> list[str]:
    """The lines of a table."""
    lines = ["| | " + " | ".join(names[name] for name in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for key, title in ROWS.items():
        lines.append(f"| {title} | " + " | ".join(_cell(numbers[key]) for numbers in columns.values()) + " |")
    return lines


def heat_maps(found: Found, path: Path) -> None:
    """Mean |H| of pixels for each pair of axes: a row for each seed, a column for each kind of network.

    Axes are in the order of their diagonal entries. Every map is scaled by its largest entry.
    """
    seeds = min(map(len, found.values()))
    figure = Figure(figsize=(2.1 * len(found), 2.2 * seeds + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(seeds, len(found), squeeze=False)
    for column, (name, of_seeds) in enumerate(found.items()):
        for row, each in enumerate(of_seeds[:seeds]):
            magnitudes = np.array(each["heat map"])
            order = magnitudes.diagonal().argsort()[::-1]
            axes = places[row][column]
            axes.imshow(magnitudes[order][:, order] / magnitudes.max(), cmap="magma", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[], title=f"{name}, seed {row}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _cell(values: Sequence[float]) -> str:
    mean, spread = statistics.mean(values), (max(values) - min(values)) / 2
    return f"{mean:.3g} ± {spread:.2g}" if len(values) > 1 else f"{mean:.3g}"
