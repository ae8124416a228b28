"""VP: accuracy of a classifier that guesses the moved direction from an image pair, few training pairs."""

from __future__ import annotations

import torch

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import Estimate
from biggan_discovery.evaluation.metric import Figure, Metric, Need, no_images
from biggan_discovery.evaluation.metrics.shift_pairs import PAIRS, ShiftPairs
from biggan_discovery.evaluation.shift_network import shares, test, train
from biggan_discovery.progress import Progress

_TRAIN, _SELECT, _TEST = 0.25, 0.125, 0.625
_LEAST_PAIRS = 16


def variation_predictability(
    pairs: ShiftPairs, *, epochs: int = 30, repeats: int = 3, seed: int = 0, progress: Progress | None = None
) -> Estimate:
    """Accuracy with which a network guesses the direction from a pair of images (Zhu et al. 2020, section 4.1).

    A small network learns from a quarter of the pairs, its best epoch is chosen on an eighth, and the accuracy is
    that on the rest, which neither has seen; few examples make simple, consistent changes score higher. 1/ndirs is
    chance. Published code chooses by the accuracy on the test pairs themselves.

    Args:
        pairs: see `shift_pairs`; at least 16.
        epochs: passes over the pairs to learn from.
        repeats: networks, each with its own weights and shares of the pairs; at least 2.
        seed: of the first network and its shares.
        progress: advanced by one for each epoch of each network.

    Returns:
        Mean over networks, and a standard error that holds both their spread and the finite number of test pairs.

    Raises:
        UserError: for fewer than 16 pairs or 2 repeats.
    """
    check_pairs(pairs)
    if repeats < 2:
        raise UserError(f"repeats is {repeats}; a standard error needs 2 networks or more")
    accuracies = []
    for repeat in range(seed, seed + repeats):
        learn, select, rest = shares(pairs, _TRAIN, _SELECT, _TEST, seed=repeat)
        network = train(pairs, learn, select, epochs=epochs, shift_weight=0.0, seed=repeat, progress=progress)
        accuracies.append(test(network, pairs, rest)[0].mean())
    of_networks = torch.stack(accuracies)
    mean = of_networks.mean().item()
    sampling = mean * (1 - mean) / (_TEST * len(pairs))
    return Estimate(mean, (of_networks.var().item() / repeats + sampling) ** 0.5)


def check_pairs(pairs: ShiftPairs) -> None:
    """Refuse too few pairs to learn from and be tested on.

    Raises:
        UserError: for fewer than 16.
    """
    if len(pairs) < _LEAST_PAIRS:
        raise UserError(f"{len(pairs)} pairs are too few to learn from; give at least {_LEAST_PAIRS}")


ACCURACY = Figure(
    "VP",
    "variation predictability (VP)",
    "Accuracy of a classifier that guesses the moved direction from an image pair, few training pairs; chance is "
    "1/directions.",
    "↑",
    paper="Zhu et al. 2020",
)
VARIATION_PREDICTABILITY = Metric(
    "variation predictability",
    figures=(ACCURACY,),
    presets={"quick": {"epochs": 25, "repeats": 3}, "full": {"epochs": 40, "repeats": 5}},
    cost=no_images,
    measure=lambda view: {
        ACCURACY: variation_predictability(view.found[PAIRS], **view.sizes, seed=view.seed, progress=view.progress)
    },
    needs=frozenset({Need.TWO_DIRECTIONS}),
    after=("image-pairs",),
    length=lambda view: (view.sizes["epochs"] * view.sizes["repeats"], "epoch"),
)
