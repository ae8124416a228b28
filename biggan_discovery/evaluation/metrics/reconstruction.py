"""RCA: accuracy of a reconstructor that guesses the moved direction and the amount from an image pair."""

from __future__ import annotations

from typing import NamedTuple

from biggan_discovery.evaluation.estimates import Estimate, estimate
from biggan_discovery.evaluation.metric import Figure, Metric, Need, View, no_images
from biggan_discovery.evaluation.metrics.shift_pairs import PAIRS, ShiftPairs
from biggan_discovery.evaluation.metrics.variation_predictability import check_pairs
from biggan_discovery.evaluation.shift_network import shares, test, train
from biggan_discovery.progress import Progress

_TRAIN, _SELECT, _TEST = 0.625, 0.125, 0.25
_SHIFT_WEIGHT = 0.25  # of Voynov and Babenko


class Reconstruction(NamedTuple):
    """Accuracy of the direction, and mean absolute error of the amount in units of the path size."""

    accuracy: Estimate
    shift_error: Estimate


def reconstruction(
    pairs: ShiftPairs, *, epochs: int = 30, seed: int = 0, progress: Progress | None = None
) -> Reconstruction:
    """Reconstructor Classification Accuracy (Voynov and Babenko 2020, section 4.2): directions frozen, network trained.

    The network learns direction and amount from five eighths of the pairs, its best epoch is chosen on an eighth, and
    the figures are those on the last quarter. Chance is 1/ndirs, and about half the path size for the shift error.

    Args:
        pairs: see `shift_pairs`; at least 16.
        epochs: passes over the pairs to learn from.
        seed: of the network and the shares.
        progress: advanced by one for each epoch.

    Returns:
        Means and standard errors over the test pairs.

    Raises:
        UserError: for fewer than 16 pairs.
    """
    check_pairs(pairs)
    learn, select, rest = shares(pairs, _TRAIN, _SELECT, _TEST, seed=seed)
    network = train(pairs, learn, select, epochs=epochs, shift_weight=_SHIFT_WEIGHT, seed=seed, progress=progress)
    right, error = test(network, pairs, rest)
    return Reconstruction(estimate(right), estimate(error))


ACCURACY = Figure(
    "RCA",
    "reconstructor classification accuracy (RCA)",
    "Accuracy of a network that guesses the moved direction from an image pair, many training pairs; chance is "
    "1/directions.",
    "↑",
    paper="Voynov & Babenko 2020",
)
SHIFT_ERROR = Figure(
    "RCA shift error",
    "reconstructor's error of the amount",
    "Mean error of the same network's estimate of the amount, in units of the path size; about 0.5 by chance.",
    "↓",
    paper="Voynov & Babenko 2020",
)


def _measure(view: View) -> dict[Figure, Estimate]:
    found = reconstruction(view.found[PAIRS], **view.sizes, seed=view.seed, progress=view.progress)
    return {ACCURACY: found.accuracy, SHIFT_ERROR: found.shift_error}


RECONSTRUCTION = Metric(
    "reconstructor classification accuracy",
    figures=(ACCURACY, SHIFT_ERROR),
    presets={"quick": {"epochs": 25}, "full": {"epochs": 40}},
    cost=no_images,
    measure=_measure,
    needs=frozenset({Need.TWO_DIRECTIONS}),
    after=("image-pairs",),
    length=lambda view: (view.sizes["epochs"], "epoch"),
)
