"""The gradient of an objective with respect to Q, in micro-batches.

All evaluations of a sample go through the generator together: 2k images for the Hessian Penalty, k + 1 for OroJaR. The
generator's first part, up to 16 pixels, takes several samples at once, as its weights are most of what it reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import Batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import in_float64
from biggan_discovery.objectives.objective import Objective
from biggan_discovery.objectives.samples import Samples

_BEGUN_AT_ONCE = 12  # Images: 16 make a step 1 % faster and take 70 MiB more.
_SCALES = (2.0**12, 2.0**8, 2.0**4, 1.0)


class Gradient(NamedTuple):
    """An objective's mean over samples, and its gradient with respect to Q."""

    value: float
    gradient: Tensor


def objective_gradient(
    objective: Objective,
    generator: FrozenGenerator,
    Q: Tensor,
    samples: Samples,
    epsilon: float,
    layers: LayerRange | str = "all",
    *,
    batch: Batch,
) -> Gradient:
    """The mean of an objective over samples, and its gradient.

    The loss is a mean over samples, so gradients of parts add up to that of all: results depend on the micro-batch by
    rounding only. Where one sample's evaluations are more than a micro-batch, their activations are not kept but
    computed again.

    Args:
        objective: such as `HESSIAN_PENALTY`.
        generator: the frozen network.
        Q: (ndirs, z_dim) rows, of the generator's type and on its device.
        samples: N of them, at least 1; see `draw`.
        epsilon: finite-difference step in w, above 0.
        layers: which layers of the generator see z + wQ; the others see z.
        batch: images that go through the generator together, halved where memory runs out; see `gradient_batch`.

    Returns:
        The value, and the gradient in the shape of Q.

    Raises:
        MemoryError: the memory is not enough for one image.
    """
    accumulated = partial(_accumulated, objective, generator, Q, samples, epsilon, layers)
    return Gradient(*batch.attempt(lambda micro_batch: _within_range(partial(accumulated, micro_batch))))


def _within_range(accumulated: Callable[[float], tuple[float, Tensor]]) -> tuple[float, Tensor]:
    """Value and gradient at the first of some falling scales at which nothing in the backward pass overflows.

    In float16 gradients of images vanish without a scale. In wider types powers of two change no digit.
    """
    value, gradient = math.nan, torch.empty(0)
    for scale in _SCALES:
        value, gradient = accumulated(scale)
        if gradient.isfinite().all() or not math.isfinite(value):
            break
    return value, gradient


def _accumulated(
    objective: Objective,
    generator: FrozenGenerator,
    Q: Tensor,
    samples: Samples,
    epsilon: float,
    layers: LayerRange | str,
    micro_batch: int,
    scale: float,
) -> tuple[float, Tensor]:
    """Value and gradient; the backward pass computes `scale` times the gradient, a power of two."""
    rows = in_float64(Q.detach()).requires_grad_()
    values = []
    evaluations = objective.passes(len(samples.probes))
    together = max(1, micro_batch // evaluations)
    for part in samples.split(together * max(1, _BEGUN_AT_ONCE // (together * evaluations))):
        z, y = objective.latents(generator, rows, part, epsilon, layers)
        begun = generator.begin(z, y)
        gradients = []
        for rest in zip(*(each.split(together * evaluations) for each in begun), strict=True):
            leaves = [each.detach().requires_grad_(each.requires_grad) for each in rest]
            each = objective.of_rows(_finished(generator, leaves, micro_batch), evaluations, epsilon)
            (scale / len(samples.z) * each.sum()).backward()
            values.append(each.detach())
            gradients.append([leaf.grad for leaf in leaves])
        used = [
            (each, parts) for each, parts in zip(begun, zip(*gradients, strict=True), strict=True) if each.requires_grad
        ]
        torch.autograd.backward([each for each, _ in used], [torch.cat(parts) for _, parts in used])
    assert rows.grad is not None
    return in_float64(torch.cat(values)).mean().item(), (rows.grad / scale).to(Q)


def _finished(generator: FrozenGenerator, state: list[Tensor], at_once: int) -> Tensor:
    """Images; where there are more than go at once, what the backward pass needs is computed again."""
    if len(state[0]) <= at_once:
        return generator.finish(*state)
    parts = zip(*(each.split(at_once) for each in state), strict=True)
    images = [checkpoint(generator.finish, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    return torch.cat(images)  # pyright: ignore[reportArgumentType, reportCallIssue]
