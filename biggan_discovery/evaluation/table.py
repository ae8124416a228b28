"""The metrics by name: a new one is one line here. Needs no torch."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.objectives.table import OBJECTIVES, objective_named

if TYPE_CHECKING:
    from biggan_discovery.evaluation.metric import Metric

ACTIVENESS = "activeness"
_METRICS = "biggan_discovery.evaluation.metrics"
METRICS = {
    "off-diagonal": f"{_METRICS}.off_diagonal:OFF_DIAGONAL",
    "diagonalness": f"{_METRICS}.diagonalness:DIAGONALNESS",
    ACTIVENESS: f"{_METRICS}.activeness:ACTIVENESS",
    "path-length": f"{_METRICS}.path_length:PATH_LENGTH",
    "contrastive": f"{_METRICS}.contrastive:CONTRASTIVE_ACCURACY",
    "class-transfer": f"{_METRICS}.class_transfer:CLASS_TRANSFER",
    "image-pairs": f"{_METRICS}.shift_pairs:IMAGE_PAIRS",
    "vp": f"{_METRICS}.variation_predictability:VARIATION_PREDICTABILITY",
    "rca": f"{_METRICS}.reconstruction:RECONSTRUCTION",
    "localization": f"{_METRICS}.localization:LOCALIZATION",
    "recovery": f"{_METRICS}.recovery:RECOVERY",
    "leakage": f"{_METRICS}.factors:LEAKAGE",
    "dci": f"{_METRICS}.dci:DCI_OF_LATENTS",
    "leakage-images": f"{_METRICS}.factors:LEAKAGE_IN_IMAGES",
    "dci-images": f"{_METRICS}.dci:DCI_IN_IMAGES",
}
"""Where each metric is found, in the order in which they are measured and reported.

Each objective of `objectives.table` is a metric too, under its own name and after the first of these: it is judged on
held-out samples."""


INTERMEDIATES = frozenset({"image-pairs"})
"""Those of the table that other metrics are made from and no report shows."""


def metric_names() -> tuple[str, ...]:
    """What `--metrics` takes, in the order of reports."""
    return tuple(name for name in _all_names() if name not in INTERMEDIATES)


@functools.cache
def metric_named(name: str) -> Metric:
    """The metric of a name.

    Raises:
        KeyError: there is none.
    """
    if name in OBJECTIVES:
        from biggan_discovery.evaluation.metrics.held_out import held_out_metric

        return held_out_metric(objective_named(name))
    module, attribute = METRICS[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def check_metrics(names: Sequence[str]) -> None:
    """Refuse names that are not known, before anything is loaded.

    Raises:
        UserError: no such metric, naming those that are nearly the same; or none at all.
    """
    known = metric_names()
    if not names:
        raise UserError(f"metrics is empty; give some of {', '.join(known)}, or leave it out")
    for name in names:
        if name not in known:
            raise UserError(f"metrics has {name!r}; it should be of {', '.join(known)}{near_matches(str(name), known)}")


def with_needed(names: Sequence[str] | None) -> list[str]:
    """The metrics of some names and those whose figures they read, in the order of the table. Defaults to all.

    Activeness is always among them, as reports put directions in its order.
    """
    chosen, waiting = set[str](), [ACTIVENESS, *(metric_names() if names is None else names)]
    while waiting:
        name = waiting.pop()
        chosen.add(name)
        waiting.extend(metric_named(name).after)
    return [name for name in _all_names() if name in chosen]


def _all_names() -> tuple[str, ...]:
    first, *rest = METRICS
    return (first, *OBJECTIVES, *rest)
