"""The classifier of real images: it learns, is kept, and judges generated images by the class that was asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import recognition
from biggan_discovery.cli import run

_NETWORK = """
import torch

def G(z, y):
    levels = torch.tensor([-0.8, 0.8])[y]
    return levels[:, None, None, None].expand(-1, 3, 32, 32) + 0.01 * z[:, :1, None, None]

G.z_dim, G.num_classes = 2, 2
"""


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str) -> list[list[str]]:
    """The cells of the table."""
    monkeypatch.setattr(sys, "argv", ["recognition", *words.split()])
    with pytest.raises(SystemExit) as ended:
        run(recognition.benchmark, "recognition")
    printed = capsys.readouterr()
    assert not ended.value.code, printed.err
    return [line.strip("| ").split(" | ") for line in printed.out.splitlines() if line.startswith("| ")]


def test_bright_and_dark_images_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recognition, "_BATCH", 16)
    random = np.random.default_rng(0)
    y = np.arange(160) % 2
    x = (np.array([25, 230])[y, None, None, None] + random.integers(-20, 20, (160, 32, 32, 3))).astype(np.uint8)
    np.savez("data.npz", x=x, y=y)
    Path("gan.py").write_text(_NETWORK)
    words = "data.npz gan.py:G --epochs 4 --samples 3 --out kept"
    shown = call(monkeypatch, capsys, words)
    assert shown[0] == ["class", "real, held out", "gan.py:G"]
    assert shown[-1] == ["mean", "100.0 %", "100.0 %"]
    monkeypatch.setattr(recognition, "_fit", None)  # A kept classifier is not trained again.
    assert call(monkeypatch, capsys, words) == shown
