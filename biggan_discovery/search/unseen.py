"""Frames on latents that were held back: what is stored with directions."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.search.evidence import Evidence
from biggan_discovery.search.methods.sefa import sefa


def baselines(
    generator: FrozenGenerator, layers: LayerRange, start: Float64[Tensor, "n coordinates"], evidence: Evidence
) -> dict[str, Float[Tensor, "n n"]]:
    """Frames that cost no more, along the rows of the start: the mean JᵀJ's eigenvectors, and SeFa's if known."""
    frames = {"jacobian": torch.linalg.eigh(evidence.gram).eigenvectors.T}
    if len(start) == start.shape[1]:
        with contextlib.suppress(UserError):  # The first layer of the generator may not be known.
            frames["sefa"] = sefa(generator.projections(layers)).A.double() @ start.T
    return frames


def unseen_figures(evidence: Evidence, candidates: Mapping[str, Float[Tensor, "n n"]]) -> dict[str, Any]:
    """Own and unseen values of frames for every kind of matrices, and the numbers of latents."""
    scores = {name: evidence.score(frame) for name, frame in candidates.items()} if len(evidence.gram) > 1 else {}
    held = int(evidence.held.sum())
    return {
        "latents": {"own": len(evidence.held) - held, "unseen": held},
        **{kind: {name: each[kind].figures() for name, each in scores.items()} for kind in evidence.kinds},
    }
