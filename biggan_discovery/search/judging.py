"""How the directions of a search do at samples that it has not seen, for their file and for what `discover` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from biggan_discovery.directions import Directions, orthonormalize, pad
from biggan_discovery.evaluation import HELD_OUT_SAMPLES, held_out_values, random_frames, recovery
from biggan_discovery.evaluation.estimates import estimate, paired_ratio
from biggan_discovery.evaluation.metrics.off_diagonal import unseen_cost, unseen_matrices
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
from biggan_discovery.progress import Progress
from biggan_discovery.search.evidence import Score
from biggan_discovery.search.method import Method
from biggan_discovery.search.settings import ADAM

_UNSEEN_SAMPLES = 12  # at which Adam is judged as joint diagonalization is


def judge_found(
    found: Directions,
    generator: FrozenGenerator,
    method: Method,
    settings: Any,
    solver: str | None,
    start: Tensor,
    *,
    quiet: bool,
) -> None:
    """Record held-out penalties of the result, the start and random directions, and recovery of known factors.

    Args:
        found: the result; its metadata gets "held_out_penalty", "held_out_ratio", that of the result over random
            directions, and where they apply "objective_value", "unseen" and "recovery".
        generator: the frozen network.
        method: the method that found them.
        settings: its settings.
        solver: name of its solver; None for a closed form.
        start: (n, coordinates of the search space), the rows that the search started from.
        quiet: show no progress.
    """
    known, layers = found.metadata, settings.layers
    of_penalty = getattr(method, "objective", None) is HESSIAN_PENALTY
    taken = {**generator.defaults(), **(known["settings"] if of_penalty else {})}
    space = generator.search_space(layers)
    [random] = random_frames(generator, len(found), layers=layers, count=1, seed=settings.seed)
    candidates = {"random": random}
    if solver == ADAM:
        before = orthonormalize(start, known["settings"]["orthogonalize"])
        candidates["before"] = pad(before, space, generator.z_dim)
    candidates["after"] = found.Q
    with Progress(len(candidates) * HELD_OUT_SAMPLES, "judging", unit="sample", quiet=quiet) as progress:
        values = {
            name: held_out_values(
                generator,
                Q,
                classes=settings.classes,
                path_size=taken["path_size"],
                epsilon=taken["epsilon"],
                layers=layers,
                progress=progress,
            )
            for name, Q in candidates.items()
        }
    known["held_out_penalty"] = {name: list(estimate(each)) for name, each in values.items()}
    known["held_out_ratio"] = list(paired_ratio(values["after"], values["random"]))
    if of_penalty:
        known["objective_value"] = known["held_out_penalty"]["after"][0]
    if solver == ADAM:
        known["unseen"] = _unseen(generator, candidates, settings, taken, quiet=quiet)
    truth = generator.true_directions
    if truth is not None and len(truth) <= len(found):
        known["recovery"] = {name: recovery(Q, truth).mean for name, Q in candidates.items()}


def _unseen(
    generator: FrozenGenerator,
    candidates: Mapping[str, Tensor],
    settings: Any,
    taken: Mapping[str, Any],
    *,
    quiet: bool,
) -> dict[str, Any]:
    """Off-diagonal sums of squares of frames at latents of their own, in the form of joint diagonalization's."""
    sizes = {"samples": _UNSEEN_SAMPLES, "sketches": 1}
    cost = unseen_cost(generator, layers=settings.layers, **sizes)
    with Progress(cost, "judging at unseen latents", unit="evaluation", quiet=quiet) as progress:
        matrices = unseen_matrices(
            generator,
            classes=settings.classes,
            path_size=taken["path_size"],
            epsilon=taken["epsilon"],
            layers=settings.layers,
            progress=progress,
            **sizes,
        )
    figures: dict[str, Any] = {"latents": {"unseen": _UNSEEN_SAMPLES}}
    for name, Q in candidates.items():
        for kind, ratios in matrices.ratios(Q).items():
            known = ratios[~ratios.isnan()]
            figures.setdefault(kind, {})["found" if name == "after" else name] = Score(known[:0], known).figures()
    return figures


def held_out_figures(found: Directions) -> dict[str, float]:
    """Held-out penalties and recovery of a result, by names for trackers."""
    penalties = found.metadata.get("held_out_penalty", {})
    means = {f"held-out penalty/{key}": mean for key, (mean, _) in penalties.items()}
    recovered = {f"recovery/{key}": value for key, value in found.metadata.get("recovery", {}).items()}
    return means | recovered
