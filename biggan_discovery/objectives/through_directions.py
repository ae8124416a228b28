"""An objective of directions: what it is for the coefficients w of G(z + wQ, y).

All evaluations of a sample go through the generator together: 2k images for the Hessian Penalty, k + 1 for OroJaR. Its
first part, up to 16 pixels, takes several samples at once, as its weights are most of what it reads.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

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
_BEGUN_AT_ONCE = 12  # Images: 16 make a step 1 % faster and take 70 MiB more.
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


@dataclass(frozen=True)
class Objective:
    """What is evaluated around each sample, and what the images say: `penalty_of_directions`, `orojar_of_directions`.

    Attributes:
        evaluations: from samples and ε to coefficients (M, N, ndirs).
        of_images: from images (M, N, C, H, W) and ε to values (N,).
    """

    evaluations: Callable[[Samples, float], Tensor]
    of_images: Callable[[Tensor, float], Tensor]

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
        """The objective of the image with respect to w of G(z + wQ, y).

        Args:
            generator: the frozen network.
            Q: (ndirs, z_dim) rows; gradients flow to them.
            samples: where to evaluate, see `draw`.
            epsilon: finite-difference step in w.
            layers: which layers of the generator see z + wQ; the others see z.
            at_once: images that go through the generator together. Where None all of them, or as many as
                `micro_batch` says where no gradient is needed.

        Returns:
            (N,), the objective at each sample.
        """
        z, y = self.latents(generator, Q, samples, epsilon, layers)
        if at_once is None:
            at_once = len(z) if torch.is_grad_enabled() and z.requires_grad else micro_batch(generator)
        parts = zip(z.split(at_once), y.split(at_once), strict=True)
        return self.of_rows(torch.cat([generator(*part) for part in parts]), len(z) // len(samples.z), epsilon)

    def latents(
        self, generator: FrozenGenerator, Q: Tensor, samples: Samples, epsilon: float, layers: str
    ) -> tuple[Tensor, Tensor]:
        """z and y of all evaluations, those of a sample one after the other; arguments as above."""
        w = self.evaluations(samples, epsilon).transpose(0, 1)
        z, y = (each.repeat_interleave(w.shape[1], dim=0) for each in (samples.z, samples.y))
        # Gradients of evaluations nearly cancel: summed in float64, they do not show how samples were split.
        shifts = (w.flatten(0, 1).double() @ Q.double()).to(z.dtype)
        return generator.shift(z, shifts, layers), y

    def of_rows(self, images: Tensor, evaluations: int, epsilon: float) -> Tensor:
        """Values (N,) from images in the order of `latents`, so many for each sample."""
        return self.of_images(images.unflatten(0, (-1, evaluations)).transpose(0, 1), epsilon)


def _both_sides(samples: Samples, epsilon: float) -> Tensor:
    steps = epsilon * samples.probes
    return torch.cat((samples.w + steps, samples.w - steps))


def _variance_of_curvature(images: Tensor, epsilon: float) -> Tensor:
    above, below = images.chunk(2)
    return variance_over_probes(above + below, epsilon).flatten(1).mean(dim=1)


penalty_of_directions = Objective(_both_sides, _variance_of_curvature)
"""Hessian Penalty (Peebles et al. 2020, section 4.3): for each sample, the mean over channels and pixels of the
unbiased variance over the probes."""


def _centre_and_one_side(samples: Samples, epsilon: float) -> Tensor:
    return torch.cat((samples.w[None], samples.w + epsilon * samples.probes))


def _variance_of_slope(images: Tensor, epsilon: float) -> Tensor:
    derivatives = (images[1:] - images[:1]) / epsilon
    return squared_norm(derivatives.flatten(0, 1)).view(derivatives.shape[:2]).var(dim=0, unbiased=True)


orojar_of_directions = Objective(_centre_and_one_side, _variance_of_slope)
"""OroJaR (Wei et al. 2021, section 3), see `orojar`: for each sample, the unbiased variance over the probes of the
squared norm of the image's derivative."""


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
    objective: Objective = penalty_of_directions,
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
        objective: `penalty_of_directions` or `orojar_of_directions`.

    Returns:
        The value, the gradient in the shape of Q, and the micro-batch to give next time.

    Raises:
        MemoryError: the memory is not enough for one image.
    """
    accumulated = partial(_accumulated, generator, Q, samples, epsilon, layers, objective)
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
    rows = Q.detach().double().requires_grad_()
    values = []
    pairs = 2 * len(samples.probes)
    together = max(1, micro_batch // pairs)
    for part in samples.split(together * max(1, _BEGUN_AT_ONCE // (together * pairs))):
        z, y = objective.latents(generator, rows, part, epsilon, layers)
        evaluations = len(z) // len(part.z)
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


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; on a CPU torch raises a plain RuntimeError that says so."""
    on_cpu = ("DefaultCPUAllocator: can't allocate memory", "bad_alloc")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in on_cpu)


def _finished(generator: FrozenGenerator, state: list[Tensor], at_once: int) -> Tensor:
    """Images; where there are more than go at once, what the backward pass needs is computed again."""
    if len(state[0]) <= at_once:
        return generator.finish(*state)
    parts = zip(*(each.split(at_once) for each in state), strict=True)
    images = [checkpoint(generator.finish, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    return torch.cat(images)  # pyright: ignore[reportArgumentType, reportCallIssue]
