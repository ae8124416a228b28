"""Numbers that say how good directions are: what a metric is, one file for each, and the suite that measures them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biggan_discovery.lazy import attach

if TYPE_CHECKING:
    from biggan_discovery.evaluation.estimates import Estimate, Ratio, ratio
    from biggan_discovery.evaluation.metric import Figure, Metric, View
    from biggan_discovery.evaluation.metrics.activeness import activeness
    from biggan_discovery.evaluation.metrics.class_transfer import class_transfer
    from biggan_discovery.evaluation.metrics.contrastive import contrastive_accuracy
    from biggan_discovery.evaluation.metrics.diagonalness import Diagonalness, diagonalness
    from biggan_discovery.evaluation.metrics.held_out import (
        HELD_OUT_SAMPLES,
        held_out_penalty,
        held_out_values,
        penalty_map,
        random_frames,
    )
    from biggan_discovery.evaluation.metrics.path_length import PathLength, path_length
    from biggan_discovery.evaluation.metrics.recovery import Recovery, recovery
    from biggan_discovery.evaluation.table import metric_named, metric_names

_HOMES = {
    "Estimate": "estimates",
    "Ratio": "estimates",
    "ratio": "estimates",
    "Figure": "metric",
    "Metric": "metric",
    "View": "metric",
    "activeness": "metrics.activeness",
    "class_transfer": "metrics.class_transfer",
    "contrastive_accuracy": "metrics.contrastive",
    "Diagonalness": "metrics.diagonalness",
    "diagonalness": "metrics.diagonalness",
    "HELD_OUT_SAMPLES": "metrics.held_out",
    "held_out_penalty": "metrics.held_out",
    "held_out_values": "metrics.held_out",
    "penalty_map": "metrics.held_out",
    "random_frames": "metrics.held_out",
    "PathLength": "metrics.path_length",
    "path_length": "metrics.path_length",
    "Recovery": "metrics.recovery",
    "recovery": "metrics.recovery",
    "metric_named": "table",
    "metric_names": "table",
}
__all__ = [
    "HELD_OUT_SAMPLES",
    "Diagonalness",
    "Estimate",
    "Figure",
    "Metric",
    "PathLength",
    "Ratio",
    "Recovery",
    "View",
    "activeness",
    "class_transfer",
    "contrastive_accuracy",
    "diagonalness",
    "held_out_penalty",
    "held_out_values",
    "metric_named",
    "metric_names",
    "path_length",
    "penalty_map",
    "random_frames",
    "ratio",
    "recovery",
]
__getattr__ = attach(__name__, _HOMES)
