"""Numbers that say how good directions are; one file per metric."""

from biggan_discovery.evaluation.activeness import activeness, inactive
from biggan_discovery.evaluation.class_transfer import class_transfer
from biggan_discovery.evaluation.contrastive import contrastive_accuracy
from biggan_discovery.evaluation.diagonalness import Diagonalness, diagonalness
from biggan_discovery.evaluation.estimates import Estimate, ratio
from biggan_discovery.evaluation.held_out import (
    HELD_OUT_SAMPLES,
    held_out_penalty,
    held_out_values,
    penalty_map,
    random_frames,
)
from biggan_discovery.evaluation.path_length import PathLength, path_length
from biggan_discovery.evaluation.recovery import Recovery, recovery

__all__ = [
    "HELD_OUT_SAMPLES",
    "Diagonalness",
    "Estimate",
    "PathLength",
    "Recovery",
    "activeness",
    "class_transfer",
    "contrastive_accuracy",
    "diagonalness",
    "held_out_penalty",
    "held_out_values",
    "inactive",
    "path_length",
    "penalty_map",
    "random_frames",
    "ratio",
    "recovery",
]
