"""The classifier of real images: it learns, is kept, and judges generated images by the class that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest

from benchmarks import recognition

_NETWORK = """
import torch

def G(z, y):
    levels = torch.tensor([-0.8, 0.8])[y]
    return levels[:, None, None, None].expand(-1, 3, 32, 32) + 0.01 * z[:, :1, None, None]

G.z_dim, G.num_classes = 2, 2
"""


def cells(table: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]


def test_bright_and_dark_images_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: Callable[[click.Command, str], str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recognition, "_BATCH", 16)
    random = np.random.default_rng(0)
    y = np.arange(160) % 2
    x = (np.array([25, 230])[y, None, None, None] + random.integers(-20, 20, (160, 32, 32, 3))).astype(np.uint8)
    np.savez("data.npz", x=x, y=y)
    Path("gan.py").write_text(_NETWORK)
    words = "data.npz gan.py:G --epochs 4 --samples 3 --out kept"
    printed = benchmark(recognition.benchmark, words)
    shown = cells(printed)
    assert shown[0] == ["class", "real, held out", "gan.py:G"]
    assert shown[-1] == ["mean", "100.0 %", "100.0 %"]
    monkeypatch.setattr(recognition, "_fit", None)  # A kept classifier is not trained again.
    assert benchmark(recognition.benchmark, words) == printed
