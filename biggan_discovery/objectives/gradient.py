"""The gradient of an objective with respect to Q, in micro-batches.

All evaluations of a sample go through the generator together: 2k images for the Hessian Penalty, k + 1 for OroJaR. The
first part of the generator, up to 16 × 16 pixels, processes several samples at once, because most of its memory traffic
is reading weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, reduce
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import Batch
from biggan_discovery.generators.fast import Recorded
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import in_float64
from biggan_discovery.objectives.objective import Objective
from biggan_discovery.objectives.samples import Samples

_BEGUN_AT_ONCE = 12  # Images: 16 make a step 1 % faster and take 70 MiB more.
SCALES = (2.0**12, 2.0**8, 2.0**4, 1.0)
"""Of the loss in the backward pass. In float16 gradients of images vanish without a scale; in wider types powers of two
change no digit."""


class Gradient(NamedTuple):
    """An objective's mean over samples, its gradient with respect to Q, and the scale of the loss that gave it."""

    value: float
    gradient: Tensor
    scale: float


class ObjectiveGradient:
    """The mean of an objective over samples, and its gradient, for the steps of one search.

    The loss is a mean over samples, so gradients of parts add up to that of all: results depend on the micro-batch by
    rounding only. Where one sample's evaluations are more than a micro-batch, their activations are not kept but
    computed again.

    On a GPU the steps of a generator that allows it (`FrozenGenerator.recordable`) are CUDA graphs, recorded at the
    first step of each shape. A search that goes on after an interruption records its own, for which cuDNN may choose
    other algorithms, so results agree to rounding. Graphs keep a micro-batch's memory while this object lives;
    `arithmetic` must not change.

    Args:
        objective: such as `HESSIAN_PENALTY`.
        generator: the frozen network.
        epsilon: finite-difference step in w, above 0.
        layers: which layers of the generator see z + wQ; the others see z.
        batch: images that go through the generator together, halved where memory runs out; see `gradient_batch`.
        recorded: whether to record graphs, which takes three calls' time.

    Example:
        >>> gradient_at = ObjectiveGradient(HESSIAN_PENALTY, generator, 0.1, batch=gradient_batch(generator))
        >>> value, gradient, scale = gradient_at(Q, samples)
    """

    def __init__(
        self,
        objective: Objective,
        generator: FrozenGenerator,
        epsilon: float,
        layers: LayerRange | str = "all",
        *,
        batch: Batch,
        recorded: bool = True,
    ):
        self._objective = objective
        self._generator = generator
        self._epsilon = epsilon
        self._layers = layers
        self._batch = batch
        self._recorded = recorded and generator.recordable
        self._made_for = 0
        self._of_part: Callable[..., tuple[Tensor, ...]]

    def __call__(self, Q: Tensor, samples: Samples, scale: float | None = None) -> Gradient:
        """The value and the gradient.

        Args:
            Q: (ndirs, z_dim) rows, of the generator's type and on its device.
            samples: N of them, at least 1; see `draw`.
            scale: of the loss in the backward pass, one of `SCALES`, where it makes the gradient overflow smaller ones
                are tried. Defaults to the largest.

        Returns:
            The gradient in the shape of Q, and the scale that it was found with.

        Raises:
            MemoryError: the memory is not enough for one image.
        """
        return self._batch.attempt(partial(self._within_range, Q, samples, scale or SCALES[0]))

    def _within_range(self, Q: Tensor, samples: Samples, scale: float, micro_batch: int) -> Gradient:
        if micro_batch != self._made_for:
            # Graphs of another size go, with their memory.
            of_part = partial(
                _part, self._objective, self._generator, self._epsilon, self._layers, micro_batch=micro_batch
            )
            whole = self._objective.passes(len(samples.probes)) <= micro_batch
            self._of_part = Recorded(of_part) if self._recorded and whole else of_part
            self._made_for = micro_batch
        found = Gradient(math.nan, Q, scale)
        for each in SCALES[SCALES.index(scale) :]:
            mean, gradient = self._accumulated(Q, samples, micro_batch, each)
            # Read back together, as the GPU runs dry each time.
            value, finite = torch.stack((mean, gradient.isfinite().all().to(mean))).tolist()
            found = Gradient(value, gradient, each)
            if finite or not math.isfinite(value):
                break
        return found

    def _accumulated(self, Q: Tensor, samples: Samples, micro_batch: int, scale: float) -> tuple[Tensor, Tensor]:
        """Value and gradient; the backward pass computes `scale` times the gradient, a power of two."""
        rows = in_float64(Q.detach())
        weight = torch.full((), scale / len(samples.z), dtype=rows.dtype, device=rows.device)
        evaluations = self._objective.passes(len(samples.probes))
        together = max(1, micro_batch // evaluations)
        parts = samples.split(together * max(1, _BEGUN_AT_ONCE // (together * evaluations)))
        values, gradients = zip(*(self._of_part(rows, weight, *_fields(part)) for part in parts), strict=True)
        total = reduce(torch.add, gradients)
        return in_float64(torch.cat(values)).mean(), (total / scale).to(Q)


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
    """The mean of an objective over samples, and its gradient, once; see `ObjectiveGradient`.

    Raises:
        MemoryError: If there is not enough memory for one image.

    Example:
        >>> samples = draw(generator, [0], 4, count=8, probes=2, path_size=5, seed=0, stream=Stream.SEARCH, step=0)
        >>> value, gradient = objective_gradient(
        ...     HESSIAN_PENALTY, generator, Q, samples, 0.1, batch=gradient_batch(generator)
        ... )  # Q (4, z_dim)
    """
    return ObjectiveGradient(objective, generator, epsilon, layers, batch=batch, recorded=False)(Q, samples)


def _part(
    objective: Objective,
    generator: FrozenGenerator,
    epsilon: float,
    layers: LayerRange | str,
    rows: Tensor,
    weight: Tensor,
    *samples: Tensor,
    micro_batch: int,
) -> tuple[Tensor, Tensor]:
    """Values of some samples, and the gradient of their weighted sum with respect to rows."""
    rows = rows.detach().requires_grad_()
    part = Samples(*samples)
    evaluations = objective.passes(len(part.probes))
    together = max(1, micro_batch // evaluations)
    begun = generator.begin(*objective.latents(generator, rows, part, epsilon, layers))
    values, gradients = [], []
    for rest in zip(*(each.split(together * evaluations) for each in begun), strict=True):
        leaves = [each.detach().requires_grad_(each.requires_grad) for each in rest]
        images = _finished(generator, leaves, micro_batch)
        if not images.requires_grad:
            raise _without_gradient(generator)
        each = objective.of_rows(images, evaluations, epsilon)
        (weight.to(each.dtype) * each.sum()).backward()
        values.append(each.detach())
        gradients.append([leaf.grad for leaf in leaves])
    # Tensors that the images do not depend on have no gradient.
    used = [
        (each, parts)
        for each, parts in zip(begun, zip(*gradients, strict=True), strict=True)
        if each.requires_grad and all(part is not None for part in parts)
    ]
    if not used:
        raise _without_gradient(generator)
    torch.autograd.backward([each for each, _ in used], [torch.cat(parts) for _, parts in used])
    assert rows.grad is not None
    return torch.cat(values), rows.grad


def _without_gradient(generator: FrozenGenerator) -> UserError:
    return UserError(
        f"the images of {generator.name} have no gradient with respect to z: they do not depend on it, or its code "
        "detaches them (torch.no_grad, .detach(), .numpy()); mend that, or use a solver or method without gradients"
    )


def _finished(generator: FrozenGenerator, state: list[Tensor], at_once: int) -> Tensor:
    """Images; if there are more than `at_once`, activations are recomputed in the backward pass."""
    if len(state[0]) <= at_once:
        return generator.finish(*state)
    parts = zip(*(each.split(at_once) for each in state), strict=True)
    images = [checkpoint(generator.finish, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    return torch.cat(images)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _fields(samples: Samples) -> tuple[Tensor, ...]:
    return samples.z, samples.y, samples.w, samples.probes
