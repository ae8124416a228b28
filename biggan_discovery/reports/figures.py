"""Figures, drawn without pyplot so that no global state is touched."""

from __future__ import annotations

import csv
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from biggan_discovery.evaluation.estimates import Estimate
from biggan_discovery.files import atomic_path

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8c959f",
    "axes.labelcolor": "#1f2328",
    "xtick.color": "#59636e",
    "ytick.color": "#59636e",
    "axes.grid": False,
    "legend.frameon": False,
    "figure.dpi": 110,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.1,
}
_BLUE, _GREY, _ORANGE = "#2f6db5", "#afb8c1", "#d9822b"
_MOST_TICKS = 40
_LONGEST_TITLE = 20


@contextmanager
def _figure(width: float, height: float, path: Path) -> Iterator[Figure]:
    """A figure that is written to a .png when it is done."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        with atomic_path(path) as temporary:
            figure.savefig(temporary)


def activeness_bars(scores: Sequence[Estimate], names: Sequence[str], dead: Sequence[int], path: Path) -> None:
    """Sorted bars with standard errors; inactive directions are grey."""
    order = sorted(range(len(scores)), key=lambda direction: -scores[direction].mean)
    means, errors = np.array([scores[direction] for direction in order]).T
    colours = [_GREY if direction in dead else _BLUE for direction in order]
    with _figure(min(3 + 0.32 * len(order), 11), 3.4, path) as figure:
        axes = figure.add_subplot()
        axes.bar(range(len(order)), means, yerr=errors, color=colours, width=0.8, error_kw={"elinewidth": 0.9})
        axes.set_xlabel("direction")
        axes.set_ylabel("variance of pixels")
        axes.set_title("Activeness" + (f" ({len(dead)} of {len(order)} inactive, grey)" if dead else ""))
        axes.margins(x=0.01)
        axes.set_ylim(bottom=0)
        _name_ticks(axes, [names[direction] for direction in order])


def activeness_curves(scores: Mapping[str, Sequence[Estimate]], path: Path) -> None:
    """Sorted activeness of several sets, one line each."""
    with _figure(7.5, 3.8, path) as figure:
        axes = figure.add_subplot()
        colours = mpl.colormaps["tab10" if len(scores) <= 10 else "tab20"]
        for index, (label, each) in enumerate(scores.items()):
            means = sorted((score.mean for score in each), reverse=True)
            axes.plot(range(1, len(means) + 1), means, marker="o", markersize=3.5, label=label, color=colours(index))
        axes.set_xlabel("directions, most active first")
        axes.set_ylabel("variance of pixels")
        axes.set_title("Activeness")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1))


def hessian_heat_map(magnitudes: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Mean |H| over samples, channels and pixels, on a logarithmic scale; pairs that were not drawn are grey."""
    side = min(3.4 + 0.2 * len(magnitudes), 9)
    known = magnitudes[np.isfinite(magnitudes) & (magnitudes > 0)]
    high = known.max() if len(known) else 1.0
    with _figure(side + 0.9, side, path) as figure:
        axes = figure.add_subplot()
        scale = LogNorm(max(known.min(), high * 1e-4) if len(known) else 1e-4, high, clip=True)
        image = axes.imshow(magnitudes, cmap=_colours("magma"), norm=scale, interpolation="nearest")
        _frame(axes)
        bar = figure.colorbar(image, ax=axes, shrink=0.85, label="mean |H|")
        # Less than a decade may contain no power of ten to label.
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        bar.ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        axes.set_title("Second derivatives, directions by activeness")
        _name_ticks(axes, names)
        _name_ticks(axes, names, vertical=True)


def penalty_maps(images: np.ndarray, maps: np.ndarray, path: Path) -> None:
    """Images (N, H, W, 3) uint8 above where their penalty lies, (N, H, W)."""
    with _figure(1.75 * len(images) + 1, 3.7, path) as figure:
        grid = figure.subplots(2, len(images), squeeze=False)
        # The brightest few pixels would make all others dark.
        high = np.quantile(maps, 0.995) or 1.0
        drawn = None
        for column, (image, each) in enumerate(zip(images, maps, strict=True)):
            grid[0, column].imshow(image)
            drawn = grid[1, column].imshow(each, cmap="inferno", vmin=0, vmax=high)
            for axes in grid[:, column]:
                axes.set_xticks([])
                axes.set_yticks([])
                _frame(axes, width=0)
        assert drawn is not None
        figure.colorbar(drawn, ax=list(grid[1]), shrink=0.9, label="penalty", extend="max")


def read_history(path: Path) -> dict[str, np.ndarray]:
    """Columns of a search's history.csv; empty if the file is invalid or has no rows."""
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]} if rows else {}
    except (OSError, ValueError, TypeError, UnicodeDecodeError):
        return {}


def search_curve(history: Mapping[str, np.ndarray], objective: str, path: Path) -> None:
    """The objective over the steps of a search: every step, and a running mean."""
    steps, values = history["step"], history[objective]
    window = max(1, len(values) // 20)
    with _figure(7, 3.2, path) as figure:
        axes = figure.add_subplot()
        axes.plot(steps, values, color=_GREY, linewidth=0.9, label="each step")
        if window > 1:
            mean = np.convolve(values, np.ones(window) / window, mode="valid")
            middle = steps[window // 2 : window // 2 + len(mean)]
            axes.plot(middle, mean, color=_BLUE, linewidth=1.8, label=f"mean of {window}")
            axes.legend(fontsize=9)
        if (values > 0).all() and values.max() > 20 * values.min():
            axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel(objective)
        axes.set_title("The search")
        axes.margins(x=0.01)


def response_matrices(
    matrices: Mapping[str, np.ndarray], names: Sequence[str], factors: Sequence[str], path: Path
) -> None:
    """How much each direction moves each factor, (ndirs, factors), one heat map for each way of measuring."""
    height = min(2.6 + 0.24 * len(names), 10)
    with _figure(1.6 + 0.5 * len(factors) * len(matrices) + 0.8, height, path) as figure:
        row = figure.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
        high = max(matrix.max() for matrix in matrices.values()) or 1.0
        image = None
        for axes, (title, matrix) in zip(row, matrices.items(), strict=True):
            image = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=high, aspect="auto", interpolation="nearest")
            _frame(axes)
            axes.set_title(title)
            axes.set_xticks(range(len(factors)), factors, rotation=45, ha="right", rotation_mode="anchor")
            axes.tick_params(length=0)
        _name_ticks(row[0], names, vertical=True)
        assert image is not None
        figure.colorbar(image, ax=list(row), shrink=0.85, label="mean |change| of the factor")


def cosine_heat_map(
    matrix: np.ndarray, rows: Sequence[str], columns: Sequence[str], labels: tuple[str, str], path: Path
) -> None:
    """|cos| of two sets, rows and columns in the order in which they are matched."""
    side = min(3.4 + 0.2 * max(matrix.shape), 9)
    with _figure(side + 0.9, side, path) as figure:
        axes = figure.add_subplot()
        image = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        _frame(axes)
        figure.colorbar(image, ax=axes, shrink=0.85, label="|cos|")
        axes.set_ylabel(labels[0])
        axes.set_xlabel(labels[1])
        axes.set_title("Matched directions on the diagonal")
        _name_ticks(axes, columns)
        _name_ticks(axes, rows, vertical=True)


def angle_curve(angles: Sequence[float], path: Path) -> None:
    """Principal angles in degrees, smallest first."""
    with _figure(6.5, 3, path) as figure:
        axes = figure.add_subplot()
        axes.plot(range(1, len(angles) + 1), angles, marker="o", markersize=4, color=_BLUE)
        axes.set_ylim(-2, 92)
        axes.set_yticks([0, 30, 60, 90], ["0°", "30°", "60°", "90°"])
        axes.set_xlabel("principal angle")
        axes.set_title("Angles between the spaces that both sets span")


def consistency_matrix(matrix: np.ndarray, labels: Sequence[str], chance: float, path: Path) -> None:
    """Mean |cos| of matched directions for every two sets, with the numbers in it."""
    numbers_in_cells(
        matrix,
        (labels, labels),
        (min(chance, matrix.min()) * 0.9, 1),
        (f"Consistency (chance: {chance:.2f})", "mean |cos| of matched directions"),
        path,
        cell=(0.75, 0.75),
    )


def numbers_in_cells(
    matrix: np.ndarray,
    names: tuple[Sequence[str], Sequence[str]],
    limits: tuple[float, float],
    titles: tuple[str, str],
    path: Path,
    *,
    cell: tuple[float, float] = (0.5, 0.5),
    colours: str = "Blues",
) -> None:
    """A heat map with its numbers in it; cells of nan are grey and empty.

    Args:
        matrix: (rows, columns).
        names: of rows and of columns.
        limits: values of the lightest and of the darkest colour.
        titles: of the figure and of the colour bar.
        path: of the .png.
        cell: width and height of a cell in inches.
        colours: name of a matplotlib colour map.
    """
    height, width = matrix.shape
    with _figure(3.4 + cell[0] * width, 2.2 + cell[1] * height, path) as figure:
        axes = figure.add_subplot()
        image = axes.imshow(matrix, cmap=_colours(colours), vmin=limits[0], vmax=limits[1], aspect="auto")
        _frame(axes)
        figure.colorbar(image, ax=axes, shrink=0.85, label=titles[1])
        for (row, column), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                red, green, blue, _ = image.cmap(image.norm(value))
                dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
                colour = "white" if dark else "#1f2328"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(width), names[1], rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(height), names[0])
        axes.tick_params(length=0)
        axes.set_title(titles[0])


def scatter_panels(
    panels: Mapping[str, Mapping[str, np.ndarray]], x_label: str, logarithmic: Container[str], path: Path
) -> None:
    """Points (N, 2) of several groups, one panel for each figure that they are about.

    Args:
        panels: for each panel's title the groups, which are the same in all.
        x_label: of all panels.
        logarithmic: titles of the panels with a logarithmic y axis.
        path: of the .png.
    """
    columns = 4
    rows = -(-len(panels) // columns)
    colours, marks = mpl.colormaps["tab10"], "osD^vP*X<>"
    with _figure(2.75 * columns, 2.2 * rows + 0.7, path) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, (title, groups) in zip(grid.flat, panels.items(), strict=False):
            for index, (label, points) in enumerate(groups.items()):
                axes.scatter(*points.T, s=26, marker=marks[index % 10], color=colours(index % 10), label=label)
            axes.set_title(title)
            if title in logarithmic:
                axes.set_yscale("log")
        for column in range(min(columns, len(panels))):
            lowest = (len(panels) - 1 - column) // columns
            grid[lowest, column].set_xlabel(x_label)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), fontsize=9)


def matrix_panels(
    matrices: Mapping[str, np.ndarray], columns: Sequence[str], label: str, path: Path, *, logarithmic: bool = False
) -> None:
    """Heat maps of one kind side by side, one for each set; all have the same rows, columns and colours."""
    across = 5
    down = -(-len(matrices) // across)
    every = np.concatenate([each[np.isfinite(each)] for each in matrices.values()])
    high = every.max()
    norm = LogNorm(max(every.min(), high * 1e-3), high, clip=True) if logarithmic else None
    with _figure(2.2 * across + 0.8, 2.5 * down + 0.8, path) as figure:
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for axes in grid.flat[len(matrices) :]:
            axes.set_visible(False)
        image = None
        for axes, (title, matrix) in zip(grid.flat, matrices.items(), strict=False):
            scale = {"norm": norm} if norm else {"vmin": 0, "vmax": high}
            image = axes.imshow(matrix, cmap=_colours("magma" if norm else "Blues"), aspect="auto", **scale)
            axes.set_title(title, fontsize=9)
            _frame(axes)
            axes.tick_params(length=0, labelsize=8)
            axes.set_xticks(range(len(columns)), columns, rotation=90)
            axes.set_yticks([])
        assert image is not None
        figure.colorbar(image, ax=list(grid.flat), shrink=0.7, label=label)


def _name_ticks(axes: Axes, names: Sequence[str], *, vertical: bool = False) -> None:
    """A name for each row or column; of many, every few."""
    every = -(-len(names) // _MOST_TICKS)
    places = range(0, len(names), every)
    shown = [names[place] for place in places]
    if vertical:
        axes.set_yticks(places, shown)
    else:
        upright = max(map(len, shown), default=0) <= 3
        axes.set_xticks(
            places, shown, **({} if upright else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"})
        )
    axes.tick_params(axis="y" if vertical else "x", length=0, labelsize=9)


def change_maps(maps: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Where each direction changes the image, (ndirs, H, W); each map has a scale of its own."""
    across = min(len(maps), 8)
    down = -(-len(maps) // across)
    with _figure(1.35 * across, 1.55 * down, path) as figure:
        grid = figure.subplots(down, across, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        for axes, each, name in zip(grid.flat, maps, names, strict=False):
            axes.imshow(each, cmap="inferno", vmin=0, vmax=np.quantile(each, 0.995) or 1.0)
            axes.set_title(name if len(name) <= _LONGEST_TITLE else f"{name[: _LONGEST_TITLE - 1]}…", fontsize=8)


def _frame(axes: Axes, width: float = 0.6) -> None:
    for spine in axes.spines.values():
        spine.set_visible(width > 0)
        spine.set_linewidth(width)


def _colours(name: str) -> Colormap:
    return mpl.colormaps[name].with_extremes(bad="#d8dee4")
