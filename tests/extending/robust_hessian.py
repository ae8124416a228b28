"""The Hessian Penalty with absolute instead of squared deviations, so that few pixels do not decide alone."""

from __future__ import annotations

import torch
from torch import Tensor

from biggan_discovery.objectives.objective import Objective
from biggan_discovery.objectives.samples import Samples


def evaluations(samples: Samples, epsilon: float) -> Tensor:
    """Both sides of w along each probe: (2 · probes, N, ndirs)."""
    steps = epsilon * samples.probes
    return torch.cat((samples.w + steps, samples.w - steps))


def of_images(images: Tensor, epsilon: float) -> Tensor:
    """(2 · probes, N, C, H, W) to (N,): mean over pixels of the mean absolute deviation over probes."""
    above, below = images.chunk(2)
    seconds = (above + below) / epsilon**2
    return (seconds - seconds.mean(dim=0)).abs().mean(dim=(0, 2, 3, 4))


ROBUST_HESSIAN = Objective(
    title="robust Hessian Penalty",
    description="mean absolute deviation of second derivatives of the image",
    meaning="Off-diagonal second derivatives of every pixel, not squared.",
    paper="",
    evaluations=evaluations,
    of_images=of_images,
)
