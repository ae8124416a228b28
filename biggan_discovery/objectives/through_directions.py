"""An objective of directions: what it is for the coefficients w of G(z + wQ, y).

All evaluations of a sample go through the generator together: 2k images for the Hessian Penalty, k + 1 for OroJaR.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint
from tqdm import tqdm

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.hessian_penalty import variance_over_probes
from biggan_discovery.objectives.orojar import squared_norm
from biggan_discovery.objectives.samples import Samples

_PIXELS_AT_ONCE = 16 * 64 * 64  # More makes no pass faster on a CPU.
_CPU_SAMPLE, _CPU_MOST = 4, 2 * 2**30  # A sample's images with the papers' two probes, and bytes they may take.
_SCALES = (2.0**12, 2.0**8, 2.0**4, 1.0)
_GPU_SHARE = 0.4  # Of free memory; as much again is needed while images go through, and other programs want some.


def micro_batch(generator: FrozenGenerator) -> int:
    """Images that go through the generator together where no gradient is needed, so that memory does not grow."""
    return max(1, _PIXELS_AT_ONCE // generator.resolution**2)


def choose_micro_batch(generator: FrozenGenerator, budget: int | None = None) -> int:
    """How many images at once to differentiate, by the memory that one needs, which is measured on one image.

    Args:
        generator: the frozen network.
        budget: bytes for what the backward pass needs, the weights not counted. Where None 40 % of what is free on a
            GPU. On a CPU more than `micro_batch` images are no faster, but the four of one sample with two probes
            should be kept, up to 2 GiB; the choice then depends on the generator alone.

    Returns:
        At least 1; see `penalty_gradient`.
    """
    each = bytes_per_image(generator)
    if budget is None and generator.device.type == "cuda":
        budget = int(_GPU_SHARE * torch.cuda.mem_get_info(generator.device)[0])
    if budget is not None:
        return max(1, budget // each)
    return max(micro_batch(generator), min(_CPU_SAMPLE, _CPU_MOST // each))


def bytes_per_image(generator: FrozenGenerator) -> int:
    """Bytes that autograd keeps for the backward pass through the generator to one z, weights not counted."""
    weights = {t.untyped_storage().data_ptr() for t in (*generator.parameters(), *generator.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    z = torch.zeros(1, generator.z_dim, dtype=generator.dtype, device=generator.device, requires_grad=True)
    with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
        images = generator(z, torch.zeros(1, dtype=torch.int64, device=generator.device))
    return sum(kept.values()) + images.nbytes


class Objective(Protocol):
    """`penalty_of_directions` or `orojar_of_directions`."""

    def __call__(
        self,
        generator: FrozenGenerator,
        Q: Tensor,
        samples: Samples,
        epsilon: float,
        layers: str = "all",
        *,
        at_once: int | None = None,
    ) -> Tensor:
        """(N,), the objective at each sample."""
        ...


class Gradient(NamedTuple):
    """An objective's mean over samples, its gradient with respect to Q, and the micro-batch that fitted in memory."""

    value: float
    gradient: Tensor
    micro_batch: int


def penalty_gradient(
    generator: FrozenGenerator,
    Q: Tensor,
    samples: Samples,
    epsilon: float,
    layers: str = "all",
    *,
    micro_batch: int,
    objective: Objective | None = None,
) -> Gradient:
    """The mean of an objective over samples, and its gradient, in micro-batches.

    The loss is a mean over samples, so gradients of parts add up to that of all: results depend on the micro-batch by
    rounding only. Where one sample's evaluations are more than a micro-batch, their activations are not kept but
    computed again. When memory runs out, the micro-batch is halved, which is said in one line on stderr.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows, of the generator's type and on its device.
        samples: N of them, at least 1; see `draw`.
        epsilon: finite-difference step in w, above 0.
        layers: which layers of the generator see z + wQ; the others see z.
        micro_batch: images that go through the generator together, at least 1; see `choose_micro_batch`.
        objective: `penalty_of_directions` where None, or `orojar_of_directions`.

    Returns:
        The value, the gradient in the shape of Q, and the micro-batch to give next time.

    Raises:
        MemoryError: the memory is not enough for one image.
    """
    accumulated = partial(_accumulated, generator, Q, samples, epsilon, layers, objective or penalty_of_directions)
    while True:
        try:
            return Gradient(*_within_range(partial(accumulated, micro_batch)), micro_batch)
        except RuntimeError as error:  # torch.OutOfMemoryError is one too
            if not _is_out_of_memory(error):
                raise
            if micro_batch == 1:
                raise MemoryError("the memory is not enough to differentiate one image of this generator") from None
        # Outside of the handler, whose traceback would hold on to the activations.
        micro_batch = max(1, micro_batch // 2)
        tqdm.write(f"out of memory: going on with a micro-batch of {micro_batch}", file=sys.stderr)
        if generator.device.type == "cuda":
            torch.cuda.empty_cache()


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
    generator: FrozenGenerator,
    Q: Tensor,
    samples: Samples,
    epsilon: float,
    layers: str,
    objective: Objective,
    micro_batch: int,
    scale: float,
) -> tuple[float, Tensor]:
    """Value and gradient; the backward pass computes `scale` times the gradient, a power of two."""
    rows = Q.detach().requires_grad_()
    values = []
    evaluations = 2 * len(samples.probes)
    for part in samples.split(max(1, micro_batch // evaluations)):
        each = objective(generator, rows, part, epsilon, layers, at_once=micro_batch)
        (scale / len(samples.z) * each.sum()).backward()
        values.append(each.detach())
    assert rows.grad is not None
    return torch.cat(values).double().mean().item(), rows.grad / scale


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; on a CPU torch raises a plain RuntimeError that says so."""
    on_cpu = ("DefaultCPUAllocator: can't allocate memory", "bad_alloc")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in on_cpu)


def penalty_of_directions(
    generator: FrozenGenerator,
    Q: Tensor,
    samples: Samples,
    epsilon: float,
    layers: str = "all",
    *,
    at_once: int | None = None,
) -> Tensor:
    """Hessian Penalty of the image with respect to w of G(z + wQ, y) (Peebles et al. 2020, section 4.3).

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows; gradients flow to them.
        samples: where to evaluate, see `draw`.
        epsilon: finite-difference step in w.
        layers: which layers of the generator see z + wQ; the others see z.
        at_once: images that go through the generator together; where there are more, what the backward pass needs is
            computed again. Where None all of them, or as many as `micro_batch` says where no gradient is needed.

    Returns:
        (N,): for each sample, the mean over channels and pixels of the unbiased variance over the probes.
    """
    steps = epsilon * samples.probes
    images = _images(generator, Q, samples, torch.cat((samples.w + steps, samples.w - steps)), layers, at_once)
    above, below = images.chunk(2)
    return variance_over_probes(above + below, epsilon).flatten(1).mean(dim=1)


def orojar_of_directions(
    generator: FrozenGenerator,
    Q: Tensor,
    samples: Samples,
    epsilon: float,
    layers: str = "all",
    *,
    at_once: int | None = None,
) -> Tensor:
    """OroJaR of the image with respect to w of G(z + wQ, y) (Wei et al. 2021, section 3); see `orojar`.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows; gradients flow to them.
        samples: where to evaluate, see `draw`.
        epsilon: finite-difference step in w.
        layers: which layers of the generator see z + wQ; the others see z.
        at_once: see `penalty_of_directions`.

    Returns:
        (N,): for each sample, the unbiased variance over the probes of the squared norm of the image's derivative.
    """
    w = torch.cat((samples.w[None], samples.w + epsilon * samples.probes))
    images = _images(generator, Q, samples, w, layers, at_once)
    derivatives = (images[1:] - images[:1]) / epsilon
    return squared_norm(derivatives.flatten(0, 1)).view(derivatives.shape[:2]).var(dim=0, unbiased=True)


def _images(
    generator: FrozenGenerator, Q: Tensor, samples: Samples, w: Tensor, layers: str, at_once: int | None
) -> Tensor:
    """Images (M, N, C, H, W) of z + wQ for w (M, N, ndirs), in one call of the generator where they fit."""
    z, y = samples.z.repeat(len(w), 1), samples.y.repeat(len(w))
    z = generator.shift(z, w.flatten(0, 1) @ Q, layers)
    with_gradient = torch.is_grad_enabled() and z.requires_grad
    if at_once is None:
        at_once = len(z) if with_gradient else micro_batch(generator)
    if len(z) <= at_once:
        images = generator(z, y)
    else:
        parts = zip(z.split(at_once), y.split(at_once), strict=True)
        images = torch.cat([_recomputed(generator, *part) if with_gradient else generator(*part) for part in parts])
    return images.unflatten(0, w.shape[:2])


def _recomputed(generator: FrozenGenerator, z: Tensor, y: Tensor) -> Tensor:
    """Images whose activations are computed again in the backward pass instead of being kept."""
    images = checkpoint(generator, z, y, use_reentrant=False, preserve_rng_state=False)
    assert isinstance(images, Tensor)
    return images
