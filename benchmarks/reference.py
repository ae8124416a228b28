"""The reference search step: the authors' networks and their computation of the loss."""

from __future__ import annotations

import torch
from torch import Tensor

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.samples import Samples


def reference_step(generator: FrozenGenerator, Q: Tensor, samples: Samples, epsilon: float) -> tuple[float, Tensor]:
    """The Hessian Penalty of a whole batch and its gradient, as published (Peebles et al. 2020, eq. 5).

    The second derivative along each of k probes takes G(w), G(w + εv) and G(w - εv), with G(w) computed once: 2k + 1
    forward passes of the batch, all kept for the backward pass.

    Args:
        generator: the result of `FrozenGenerator.reference`.
        Q: (ndirs, z_dim), orthonormal rows.
        samples: the batch.
        epsilon: finite-difference step in w.

    Returns:
        The penalty, and its gradient with respect to Q.
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
