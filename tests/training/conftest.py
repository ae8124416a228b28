from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biggan_discovery.training import export
from tests.training.shapes import draw_shapes


@pytest.fixture
def few_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch-norm statistics of 64 images, which take little time."""
    monkeypatch.setattr(export, "_BATCHES", 2)
    monkeypatch.setattr(export, "_BATCH", 32)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of four shapes, as `.npz` for `train`."""
    path = tmp_path_factory.mktemp("shapes") / "shapes.npz"
    x, y = draw_shapes(64)
    np.savez(path, x=x, y=y)
    return path
