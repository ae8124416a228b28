"""The gradient of an objective with respect to Q, in micro-batches.

All evaluations of a sample go through the generator together: 2k images for the Hessian Penalty, k + 1 for OroJaR. The
first part of the generator, up to 16 × 16 pixels, processes several samples at once, because most of its memory traffic
is reading weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import Batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.objectives.objective import Objective
from biggan_discovery.objectives.samples import Samples

_BEGUN_AT_ONCE = 12  # Images. With 16, a step is 1 % faster and needs 70 MiB more.
_SCALES = (2.0**12, 2.0**8, 2.0**4, 1.0)


class Gradient(NamedTuple):
    """Mean of an objective over samples, and its gradient with respect to Q, (ndirs, z_dim)."""

    value: float
    gradient: Float[Tensor, "ndirs z_dim"]


def objective_gradient(
    objective: Objective,
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    samples: Samples,
    epsilon: float,
    layers: LayerRange | str = "all",
    *,
    batch: Batch,
) -> Gradient:
    """Mean of an objective over samples, and its gradient.

    The loss is a mean over samples, so the gradients of parts add up: results depend on the micro-batch only through
    rounding. If the evaluations of one sample exceed a micro-batch, activations are recomputed in the backward pass
    instead of stored (checkpointing).

    Args:
        objective: such as `HESSIAN_PENALTY`.
        generator: the frozen network.
        Q: (ndirs, z_dim), with the dtype and device of the generator.
        samples: at least one sample; see `draw`.
        epsilon: finite-difference step in w, above 0.
        layers: layers of the generator that see z + wQ; the others see z.
        batch: images that go through the generator together, halved if memory runs out; see `gradient_batch`.

    Returns:
        The value, and the gradient in the shape of Q.

    Raises:
        MemoryError: If there is not enough memory for one image.

    Example:
        >>> samples = draw(generator, [0], 4, count=8, probes=2, path_size=5, seed=0, stream=Stream.SEARCH, step=0)
        >>> value, gradient = objective_gradient(
        ...     HESSIAN_PENALTY, generator, Q, samples, 0.1, batch=gradient_batch(generator)
        ... )  # Q (4, z_dim)
    """
    accumulated = partial(_accumulated, objective, generator, Q, samples, epsilon, layers)
    return Gradient(*batch.attempt(lambda micro_batch: _within_range(partial(accumulated, micro_batch))))


def _within_range(accumulated: Callable[[float], tuple[float, Tensor]]) -> tuple[float, Tensor]:
    """Value and gradient at the largest loss scale at which the backward pass does not overflow.

    In float16, gradients of images underflow without loss scaling. In wider types, scaling by a power of two is exact.
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
    Q: Float[Tensor, "ndirs z_dim"],
    samples: Samples,
    epsilon: float,
    layers: LayerRange | str,
    micro_batch: int,
    scale: float,
) -> tuple[float, Float[Tensor, "ndirs z_dim"]]:
    """Value and gradient; the backward pass computes `scale`, a power of two, times the gradient."""
    rows = Q.detach().double().requires_grad_()
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
    return torch.cat(values).double().mean().item(), (rows.grad / scale).to(Q.dtype)


def _finished(generator: FrozenGenerator, state: list[Tensor], at_once: int) -> Tensor:
    """Images; if there are more than `at_once`, activations are recomputed in the backward pass."""
    if len(state[0]) <= at_once:
        return generator.finish(*state)
    parts = zip(*(each.split(at_once) for each in state), strict=True)
    images = [checkpoint(generator.finish, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    return torch.cat(images)  # pyright: ignore[reportArgumentType, reportCallIssue]
