"""The minimum sizes of every metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from biggan_discovery.evaluation.metrics import activeness
from biggan_discovery.evaluation.table import metric_named, with_needed
from biggan_discovery.objectives.table import OBJECTIVES

LEAST: dict[str, dict[str, Any]] = {
    **{name: {"samples": 2, "probes": 2, "frames": 2} for name in OBJECTIVES},
    "off-diagonal": {"samples": 2, "sketches": 1},
    "diagonalness": {"samples": 2, "pairs": None},
    "class-transfer": {"samples": 2, "classes": 2},
    "image-pairs": {"pairs": 16, "side": 32},
    "vp": {"epochs": 1, "repeats": 2},
    "rca": {"epochs": 1},
    "recovery": {},
    "leakage": {"samples": 256},
    "dci": {"samples": 8000},
    "dci-images": {"samples": 160},
}
"""Of the quick preset, by metric; two samples where nothing is said."""


def small_sizes(patch: pytest.MonkeyPatch, sizes: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Give every metric its least sizes in the quick preset, or those in `sizes`."""
    patch.setattr(activeness, "_LATENTS", 2)
    for name in with_needed(None):
        least = LEAST.get(name, {"samples": 2})
        patch.setitem(metric_named(name).presets, "quick", {**least, **(sizes or {}).get(name, {})})
