"""How straight the path of the image is along each direction."""

from __future__ import annotations

from typing import Any

import torch

from biggan_discovery.directions.shifts import along_directions
from biggan_discovery.evaluation.estimates import estimate, estimates
from biggan_discovery.evaluation.metric import Figure, Kind, Metric, View
from biggan_discovery.evaluation.samples import judging_samples

STREAM = 1000  # random numbers of its own; any number from 1,000 on that no other metric has

OF_SET = Figure("straightness", "straightness", "Mean straightness over directions.", "↑")
OF_DIRECTION = Figure(
    "straightness",
    "straightness",
    "Distance between the images at both ends of the direction over the length of the path between them; 1: a line.",
    "↑",
    Kind.DIRECTION,
)


def measure(view: View) -> dict[Figure, Any]:
    """A number for each direction, and one for the set."""
    samples, places = view.sizes["samples"], view.sizes["places"]
    drawn = judging_samples(view.generator, view.Q, view.classes, samples=samples, seed=view.seed, stream=STREAM)
    amounts = torch.linspace(-view.path_size, view.path_size, places)
    found = torch.zeros(samples, len(view.Q), dtype=torch.float64)
    for index, (z, y) in enumerate(zip(drawn.z, drawn.y, strict=True)):
        for direction, images in enumerate(along_directions(view.generator, view.Q, z, y, amounts, view.layers)):
            path = images.flatten(1).double()
            straight, length = (path[-1] - path[0]).norm(), path.diff(dim=0).norm(dim=1).sum()
            found[index, direction] = (straight / length).nan_to_num(1.0)  # where nothing changes
        if view.progress is not None:
            view.progress.advance(places * len(view.Q))
    return {OF_SET: estimate(found.mean(dim=1)), OF_DIRECTION: estimates(found)}


STRAIGHTNESS = Metric(
    "straightness",
    figures=(OF_SET, OF_DIRECTION),
    presets={"quick": {"samples": 4, "places": 9}, "full": {"samples": 64, "places": 17}},
    cost=lambda view: view.sizes["samples"] * view.sizes["places"] * len(view.Q),
    measure=measure,
)
