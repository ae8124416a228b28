"""Search settings of the Hessian Penalty paper, which generators override where others suit them better."""

from __future__ import annotations

PAPER_SETTINGS: dict[str, int | float] = {
    "steps": 50_000,
    "batch": 96,
    "lr": 0.01,
    "path_size": 5.0,
    "epsilon": 0.1,
    "probes": 2,
}
"""The settings of Peebles et al. 2020 for ImageNet BigGANs."""
