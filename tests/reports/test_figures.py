"""Figures are non-empty pictures, and leave matplotlib's state unchanged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from biggan_discovery.evaluation import Estimate
from biggan_discovery.reports import figures

RANDOM = np.random.default_rng(0)
NAMES = [f"{direction} direction" for direction in range(5)]
SCORES = [Estimate(float(value), 0.1) for value in (1.0, 3.0, 0.01, 2.0, 0.0)]
MAGNITUDES = np.where(np.eye(5) > 0, 2.0, RANDOM.random((5, 5)))
HISTORY = {"step": np.arange(1.0, 101), "penalty": 10 * RANDOM.random(100)}

DRAWN: dict[str, Callable[[Path], None]] = {
    "bars": lambda path: figures.activeness_bars(SCORES, NAMES, [2, 4], path),
    "curves": lambda path: figures.activeness_curves({"one": SCORES, "other": SCORES[:3]}, path),
    "hessian": lambda path: figures.hessian_heat_map(np.where(MAGNITUDES < 0.1, np.nan, MAGNITUDES), NAMES, path),
    "hessian of nothing": lambda path: figures.hessian_heat_map(np.zeros((3, 3)), NAMES[:3], path),
    "many": lambda path: figures.hessian_heat_map(RANDOM.random((120, 120)), [str(i) for i in range(120)], path),
    "maps": lambda path: figures.penalty_maps(
        RANDOM.integers(0, 255, (3, 8, 8, 3), dtype=np.uint8), RANDOM.random((3, 8, 8)), path
    ),
    "maps of nothing": lambda path: figures.penalty_maps(
        np.zeros((1, 8, 8, 3), dtype=np.uint8), np.zeros((1, 8, 8)), path
    ),
    "search": lambda path: figures.search_curve(HISTORY, "penalty", path),
    "one step": lambda path: figures.search_curve({"step": np.ones(1), "penalty": np.ones(1)}, "penalty", path),
    "responses": lambda path: figures.response_matrices(
        {"by latents": RANDOM.random((5, 3)), "by images": RANDOM.random((5, 3))}, NAMES, ["size", "hue", "light"], path
    ),
    "cosines": lambda path: figures.cosine_heat_map(RANDOM.random((5, 3)), NAMES, NAMES[:3], ("a", "b"), path),
    "angles": lambda path: figures.angle_curve([0.0, 10.0, 80.0], path),
    "numbers": lambda path: figures.numbers_in_cells(
        np.where(MAGNITUDES < 0.3, np.nan, MAGNITUDES), (NAMES, NAMES), (0, 2), ("mean |H|", "size"), path
    ),
    "scatter": lambda path: figures.scatter_panels(
        {title: {"a": RANDOM.random((3, 2)), "b": RANDOM.random((1, 2))} for title in NAMES},
        "recovery",
        NAMES[1:2],
        path,
    ),
    "panels": lambda path: figures.matrix_panels(
        {name: RANDOM.random((16, 3)) for name in NAMES[:2]}, ["hue", "size", "light"], "change", path
    ),
    "logarithmic panels": lambda path: figures.matrix_panels(
        dict.fromkeys((*NAMES, "true"), MAGNITUDES), [""] * 5, "mean |H|", path, logarithmic=True
    ),
    "consistency": lambda path: figures.consistency_matrix(np.eye(3) / 2 + 0.5, NAMES[:3], 0.3, path),
}


@pytest.mark.parametrize("name", DRAWN)
def test_figures_are_drawn_without_a_trace(name: str, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    DRAWN[name](tmp_path / "figure.png")
    assert dict(mpl.rcParams) == before
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    with Image.open(tmp_path / "figure.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert 200 < pixels.shape[0] < 1500
    assert 200 < pixels.shape[1] < 1800
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    assert (pixels[0] == 255).all(), "nothing is cut off at the top"


def test_pyplot_is_not_needed() -> None:
    code = "import sys, biggan_discovery.reports.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_two_drawings_are_the_same_file(tmp_path: Path) -> None:
    for name in ("one.png", "other.png"):
        DRAWN["bars"](tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_history_is_read_and_what_is_none_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("step,penalty,lr\n1,4.5,0.1\n2,4.0,0.05\n")
    read = figures.read_history(tmp_path / "history.csv")
    assert {key: each.tolist() for key, each in read.items()} == {
        "step": [1, 2],
        "penalty": [4.5, 4.0],
        "lr": [0.1, 0.05],
    }
    for content in (b"", b"step,penalty\n", b"step,penalty\n1,four\n", b"\xff\xfe", b"step,penalty\n1\n"):
        (tmp_path / "bad.csv").write_bytes(content)
        assert figures.read_history(tmp_path / "bad.csv") == {}
    assert figures.read_history(tmp_path / "none.csv") == {}
