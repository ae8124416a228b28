"""Numbers that say how good directions are; one file per metric."""

from biggan_discovery.evaluation.held_out import HELD_OUT_SAMPLES, Estimate, held_out_penalty
from biggan_discovery.evaluation.recovery import Recovery, recovery

__all__ = ["HELD_OUT_SAMPLES", "Estimate", "Recovery", "held_out_penalty", "recovery"]
