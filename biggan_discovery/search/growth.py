"""When a search by joint diagonalization has latents enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.runs.folder import State
from biggan_discovery.search.evidence import ONE_IN, Evidence, Score
from biggan_discovery.search.settings import WIDE, JointDiagonalizationSettings

_GAIN = 0.005  # Fall of the unseen value and its error, with half as many latents again, for a search to end.
_LATENTS_PER_DIMENSION, _LATENTS_OF_FEW = 2, 64


def round_of(
    evidence: Evidence,
    frame: Float[Tensor, "n n"],
    before: Float[Tensor, "n n"] | None,
    kind: str,
    weights: Mapping[str, float],
) -> dict[str, Any]:
    """What a round found: numbers of latents, weights, own and unseen value of `kind`, gap, and gain.

    The gap is what the fit adds to the difference between held-back and other latents, which are not equally hard: that
    of the mean JᵀJ's eigenvectors, which are hardly fitted to Hessians, is subtracted. The gain is that on the latents
    held back now, of this frame over that of the round before, with its standard error. Of several kinds of matrices
    that are fitted to, both are those of the kind with the larger one.
    """
    scores = evidence.score(frame)
    found = {"latents": len(evidence.held), "held_back": int(evidence.held.sum()), "weights": dict(weights)}
    found |= scores[kind].figures() | {"gap": None, "gain": None}
    fitted = [name for name, weight in weights.items() if weight and len(scores[name].unseen)]
    if fitted:
        hardly_fitted = _mean_products(evidence, frame)
        found["gap"] = max(
            _difference(scores[name]) - (_difference(hardly_fitted[name]) if hardly_fitted else 0.0) for name in fitted
        )
        if before is not None:
            earlier = evidence.score(before)
            gains = [_mean_and_error(earlier[name].unseen - scores[name].unseen) for name in fitted]
            found["gain"], found["gain_error"] = max(gains, key=sum)
    return found


def _mean_products(evidence: Evidence, frame: Tensor) -> dict[str, Score]:
    """The scores of the mean JᵀJ's eigenvectors; none where the frame is fitted to nothing but JᵀJ."""
    if len(evidence.kinds) == 1 or len(frame) == 1:
        return {}
    return evidence.score(torch.linalg.eigh(evidence.gram).eigenvectors.T)


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean and its standard error; that of a single value is unknown, so infinite."""
    error = (values.std() / len(values) ** 0.5).item() if len(values) > 1 else math.inf
    return values.mean().item(), error


def next_total(settings: JointDiagonalizationSettings, state: State, minutes: float) -> int | None:
    """How many latents the next round ends with; None if there is none."""
    latents, rounds = state.step, state.facts["rounds"]
    if settings.samples or enough(rounds):
        return None
    if settings.minutes and minutes >= settings.minutes:
        return None
    total = min(-(-latents * 3 // 2 // ONE_IN) * ONE_IN, most_latents(settings, state))
    return total if total > latents else None


def most_latents(settings: JointDiagonalizationSettings, state: State) -> int:
    """How many latents a search may take, from the cost of those that are measured."""
    if settings.samples:
        return settings.samples
    most = max(_LATENTS_OF_FEW, _LATENTS_PER_DIMENSION * len(state.tensors["start"]))
    if settings.evaluations:
        most = min(most, int(settings.evaluations * state.step / state.history[-1][1]))
    return max(1, most)


def shown_round(this: Mapping[str, Any]) -> str:
    """A round in one line.

    Example:
        >>> shown_round({"latents": 24, "unseen": 0.86, "standard_error": 0.01, "gain": 0.02, "gain_error": 0.004})
        '24 latents: off-diagonal 0.86 ± 0.01 of random at unseen ones, 0.02 ± 0.004 better than the round before'
    """
    if this["unseen"] is None:
        return f"{this['latents']} latents"
    error = f" ± {this['standard_error']:.2g}" if this["standard_error"] is not None else ""
    shown = f"{this['latents']} latents: off-diagonal {this['unseen']:.3g}{error} of random at unseen ones"
    if this["gain"] is None:
        return shown
    better = "better" if this["gain"] >= 0 else "worse"
    return f"{shown}, {abs(this['gain']):.2g} ± {this['gain_error']:.2g} {better} than the round before"


def enough(rounds: Sequence[Mapping[str, Any]]) -> bool:
    """Whether own and unseen values have met, and the unseen value has stopped falling by more than its error."""
    last = rounds[-1]
    if last["unseen"] is None:
        return last["own"] is None  # nothing to diagonalize
    return last["gain"] is not None and last["gain"] + last["gain_error"] < _GAIN and last["gap"] < WIDE


def _difference(score: Score) -> float:
    return (score.unseen.mean() - score.own.mean()).item()
