"""What a search step costs elsewhere: the authors' networks and their way to compute the loss."""

from __future__ import annotations

import torch
from torch import Tensor

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.samples import Samples


def reference_step(generator: FrozenGenerator, Q: Tensor, samples: Samples, epsilon: float) -> tuple[float, Tensor]:
    """The Hessian Penalty of a whole batch and its gradient as published (Peebles et al. 2020, eq. 5).

    The second derivative along each of k probes takes G(w), G(w + εv) and G(w - εv), the first computed once: 2k + 1
    passes of the batch, all kept for the backward pass.

    Args:
        generator: what `FrozenGenerator.reference` gives.
        Q: (ndirs, z_dim) rows.
        samples: the batch.
        epsilon: finite-difference step in w.

    Returns:
        The value, and its gradient with respect to Q.
    """
    rows = Q.detach().requires_grad_()

    def images(w: Tensor) -> Tensor:
        return generator(samples.z + w @ rows, samples.y)

    centre = images(samples.w)
    seconds = []
    for probe in samples.probes:
        step = epsilon * probe
        seconds.append((images(samples.w + step) - 2 * centre + images(samples.w - step)) / epsilon**2)
    penalty = torch.stack(seconds).var(dim=0, unbiased=True).mean()
    penalty.backward()
    assert rows.grad is not None
    return penalty.item(), rows.grad
