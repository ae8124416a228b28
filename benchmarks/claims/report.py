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
Found = Mapping[str, Sequence[Mapping[str, Any]]]


def table(found: Found, judge: Judges) -> str:
    """Markdown: a row for each figure, a column for each kind of network, mean ± half the range over seeds."""
    seeds = min(map(len, found.values()))
    names = {"none": "more training", "hessian": "Hessian Penalty", "orojar": "OroJaR"}
    lines = ["| | " + " | ".join(names.get(name, name) for name in found) + " |", "|---" * (len(found) + 1) + "|"]
    for key, title in ROWS.items():
        cells = (_cell([float(each[key]) for each in of_seeds]) for of_seeds in found.values())
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"{seeds} seeds, mean ± half the range. On renders that they have not seen, the judges explain "
        f"{judge.factors_r2:.3f} of the factors' variance, tell {judge.accuracy:.3f} of the classes, and are "
        f"{judge.pixels:.3f} from the pixels.",
    ]
    return "\n".join(lines) + "\n"


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
