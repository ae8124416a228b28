"""How far the change along each direction stays in a region of the image."""

from __future__ import annotations

from typing import Any

import torch

from biggan_discovery.directions.change_maps import best_f1, change_maps, change_maps_cost, inside_shares
from biggan_discovery.evaluation.estimates import Estimate, estimates
from biggan_discovery.evaluation.metric import Figure, Kind, Metric, Need, View
from biggan_discovery.evaluation.samples import judging_samples
from biggan_discovery.numerics.streams import Stream

SHARE = Figure(
    "region share",
    "share in region",
    "Share of the squared change of the image along the direction that lies inside the region.",
    kind=Kind.DIRECTION,
    paper="Zhu et al. 2022",
)
F1 = Figure(
    "region F1",
    "F1 of region",
    "F1 of the pixels that change most as a detector of the region, at the best threshold; 1: the changed pixels are "
    "the region.",
    kind=Kind.DIRECTION,
)
LARGEST = Figure("largest region share", "largest share in region", "Largest share in the region of any direction.")


def _measure(view: View) -> dict[Figure, Any]:
    assert view.region is not None  # Need.REGION
    weights = view.region.weights
    drawn = judging_samples(
        view.generator, view.Q, view.classes, samples=view.sizes["samples"], seed=view.seed, stream=Stream.LOCALIZATION
    )
    maps = change_maps(view.generator, view.Q, drawn.z, drawn.y, layers=view.layers, progress=view.progress)
    pairs = [(inside_shares(each, weights), best_f1(each, weights)) for each in maps]
    shares, f1 = (torch.stack(column) for column in zip(*pairs, strict=True))
    of_each = estimates(shares)
    best = max(of_each, key=lambda each: each.mean)
    return {SHARE: of_each, F1: estimates(f1), LARGEST: Estimate(*best)}


LOCALIZATION = Metric(
    "localization",
    figures=(LARGEST, SHARE, F1),
    presets={"quick": {"samples": 8}, "full": {"samples": 64}},
    cost=lambda view: change_maps_cost(len(view.Q), samples=view.sizes["samples"]),
    measure=_measure,
    needs=frozenset({Need.REGION}),
)
