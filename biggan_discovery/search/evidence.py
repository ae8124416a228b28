"""Matrices at all measured latents: which of them a frame is fitted to, and how it does on those held back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from biggan_discovery.numerics.bootstrap import Kind, stacked
from biggan_discovery.numerics.diagonality import random_off_diagonal, ratios_to_random, scaled
from biggan_discovery.numerics.jacobi_angles import jointly_diagonalize, start_frame

ONE_IN = 4
"""One latent in so many is held back."""

_WEIGHTS = (0.0, 0.1, 0.25, 0.5, 0.75)
"""Weights of JᵀJ that are tried beside another kind."""

_TOLERANCE = 0.003  # Enough to compare weights.


class Score(NamedTuple):
    """Off-diagonal sum of squares relative to random frames, one number for each latent.

    Attributes:
        own: of the latents that the frame was fitted to.
        unseen: of those held back.
    """

    own: Float64[Tensor, " fit"]
    unseen: Float64[Tensor, " held"]

    def figures(self) -> dict[str, float | None]:
        """Means over latents, and the standard error of the unseen one; None for what too few latents leave open."""
        return {
            "own": _mean(self.own),
            "unseen": _mean(self.unseen),
            "standard_error": (self.unseen.std() / len(self.unseen) ** 0.5).item() if len(self.unseen) > 1 else None,
        }


@dataclass(frozen=True)
class Evidence:
    """Measured matrices, by kind.

    Attributes:
        kinds: by name, (L, m, n, n); every latent of a kind is scaled to the same expected off-diagonal sum of squares
            of a random frame, so that a few latents with large matrices do not decide alone.
        gram: (n, n) float64, mean JᵀJ over the latents that are fitted to.
    """

    kinds: Mapping[str, Float[Tensor, "L m n n"]]
    gram: Float64[Tensor, "n n"]

    @classmethod
    def of(cls, kinds: Mapping[str, Float[Tensor, "L m n n"]], grams: Float64[Tensor, "L n n"]) -> Evidence:
        """Scale the matrices; `grams` are JᵀJ as measured."""
        return cls({name: scaled(each) for name, each in kinds.items()}, grams[~held_back(len(grams))].mean(dim=0))

    @property
    def held(self) -> Bool[Tensor, " L"]:
        """The latents that are held back."""
        return held_back(len(next(iter(self.kinds.values()))))

    def fitted(self, weights: Mapping[str, float], fold: int | None = None) -> list[Kind]:
        """What a frame is fitted to: kinds with their weights, of all latents not held back or those of a fold."""
        chosen = (~self.held).nonzero()[:, 0]
        if fold is not None:
            chosen = chosen[chosen % 2 == fold]
        return [Kind(self.kinds[name][chosen], weight) for name, weight in weights.items() if weight]

    def score(self, frame: Float[Tensor, "k n"]) -> dict[str, Score]:
        """How a frame does on every kind."""
        scores = {}
        for name, matrices in self.kinds.items():
            ratios = ratios_to_random(matrices, frame)
            known = ~ratios.isnan()  # A function that is linear around a latent says nothing about the frame.
            scores[name] = Score(ratios[known & ~self.held], ratios[known & self.held])
        return scores

    def best_weights(self, first: str, second: str) -> dict[str, float]:
        """Weights of two kinds whose frame does best on the first one at latents that it was not fitted to.

        Twofold cross-validation among the latents that are not held back, so that those stay unseen. With a single
        latent both have the same weight. If the first kind is diagonal in every frame, the second one decides alone.
        """
        if (~self.held).sum() < 2:
            return {first: 0.5, second: 0.5}
        if not random_off_diagonal(self.kinds[first]).any():
            return {first: 0.0, second: 1.0}
        found = []
        for weight in _WEIGHTS:
            weights = {first: 1 - weight, second: weight}
            total = 0.0
            for fold in (0, 1):
                matrices = stacked(self.fitted(weights, fold))
                frame = jointly_diagonalize(matrices, start=start_frame(matrices, 0, 0), tolerance=_TOLERANCE).Q
                [other] = self.fitted({first: 1.0}, 1 - fold)
                total += ratios_to_random(other.matrices, frame).nanmean().item()
            found.append((total, weight, weights))
        return min(found, key=lambda each: each[:2])[2]


def held_back(latents: int) -> Bool[Tensor, " latents"]:
    """Which of the measured latents are held back: every fourth."""
    return torch.arange(latents) % ONE_IN == ONE_IN - 1


def _mean(values: Tensor) -> float | None:
    return values.mean().item() if len(values) else None
