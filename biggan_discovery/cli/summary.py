"""What `discover` prints about directions that it has found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biggan_discovery.search.settings import WIDE

if TYPE_CHECKING:
    from biggan_discovery.directions import Directions

_MATRICES = {"hessian": "second derivatives", "orojar": "products of first derivatives"}
_OTHERS = {"before": "start", "random": "another random frame", "jacobian": "JᵀJ's eigenvectors", "sefa": "SeFa"}
_SHOWN = 8


def summary(found: Directions) -> list[str]:
    """The cost and quality of the result, a few lines. A file may have been written by others."""
    metadata = found.metadata
    evaluations = metadata.get("generator_evaluations")
    cost = "an unknown number of evaluations" if evaluations is None else f"{evaluations:,} generator evaluations"
    number = f"{len(found)} direction{'s' * (len(found) != 1)}"
    lines = [f"found {number} with {cost}", *_unseen(metadata), *_advice(metadata)]
    if metadata.keys() & {"target_cosine", "score_rises"}:
        lines += [f"{name}: {note}" for name, note in zip(found.names, found.notes, strict=True)]
    if "region_share" in metadata:
        shares = metadata["region_share"]
        shown = ", ".join(f"{share:.2f}" for share in shares[:_SHOWN]) + ", ..." * (len(shares) > _SHOWN)
        random = metadata.get("random_share")
        chance = f" (random directions {random:.2f})" if isinstance(random, float) else ""
        lines.append(f"share of the change in the region at other latents: {shown}{chance}")
    penalties = metadata.get("held_out_penalty", {})
    if "held_out_ratio" in metadata and penalties.get("random", [0])[0]:
        ratio, error = metadata["held_out_ratio"]
        shown = _by_stage({name: f"{mean:.4g}" for name, (mean, _) in penalties.items()})
        lines.append(f"held-out Hessian Penalty: {ratio:.2f} ± {error:.1g} of random ({shown})")
    if "recovery" in metadata:
        shown = _by_stage({name: f"{value:.3f}" for name, value in metadata["recovery"].items()})
        lines.append(f"recovery of the known factors (mean |cos|): {shown}")
    return lines


def _unseen(metadata: dict[str, Any]) -> list[str]:
    """How the directions do at latents that they were not fitted to, for every kind of matrices."""
    unseen, lines = metadata.get("unseen", {}), []
    for kind, figures in unseen.items():
        found = figures.get("found", {})
        if found.get("unseen") is None:
            continue
        error = found.get("standard_error")
        value = f"{found['unseen']:.3g}" + (f" ± {error:.2g}" if error is not None else "")
        others = [
            f"{words} {figures[key]['unseen']:.3g}"
            for key, words in _OTHERS.items()
            if figures.get(key, {}).get("unseen") is not None
        ]
        own = [] if found.get("own") is None else [f"own latents {found['own']:.3g}"]
        where = f"off-diagonal {_MATRICES.get(kind, kind)} at {unseen['latents']['unseen']} unseen latents"
        lines.append(f"{where}: {value} of random ({', '.join(others + own)})")
    return lines


def _advice(metadata: dict[str, Any]) -> list[str]:
    """How far the directions are determined, and what would determine them better."""
    from biggan_discovery.directions.metadata import DETERMINED
    from biggan_discovery.search.growth import enough

    lines = []
    rounds = metadata.get("rounds")
    if "determined" in metadata:
        count = metadata["determined"]
        are = "1 direction is" if count == 1 else f"{count} directions are"
        first = "comes" if count == 1 else "come"
        lines.append(f"{are} determined within {DETERMINED:.0f}° by these latents and {first} first")
    if rounds and rounds[-1]["unseen"] is None and rounds[-1]["own"] is not None:
        lines.append("too few latents to hold any back; --samples 16 would tell how good the directions are")
    elif rounds and (rounds[-1]["gap"] or 0) > WIDE:
        lines.append(
            f"the directions fit their own latents better than unseen ones, by {rounds[-1]['gap']:.2f} of random; "
            f"twice as many latents halve that: --samples {2 * rounds[-1]['latents']} goes on from these"
        )
    elif rounds and rounds[-1]["gain"] is not None and not enough(rounds):
        lines.append(
            f"more latents may give better directions: --samples {2 * rounds[-1]['latents']} goes on from these"
        )
    return lines


def _by_stage(shown: dict[str, str]) -> str:
    """The values for the result, for Adam's start if there is one, and for random directions."""
    stages = {"after": "after", "before": "before", "random": "random directions"}
    return ", ".join(f"{shown[key]} {words}" for key, words in stages.items() if key in shown)
