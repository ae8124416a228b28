"""An objective of directions: what it is for the coefficients w of G(z + wQ, y)."""

from __future__ import annotations

from torch import Tensor

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.hessian_penalty import hessian_penalty
from biggan_discovery.objectives.orojar import orojar
from biggan_discovery.objectives.samples import Samples

_PIXELS_AT_ONCE = 16 * 64 * 64


def micro_batch(generator: FrozenGenerator) -> int:
    """Samples that go through the generator together, so that memory does not grow with the batch."""
    return max(1, _PIXELS_AT_ONCE // generator.resolution**2)


def penalty_of_directions(
    generator: FrozenGenerator, Q: Tensor, samples: Samples, epsilon: float, layers: str = "all"
) -> Tensor:
    """Hessian Penalty of the image with respect to w of G(z + wQ, y) (Peebles et al. 2020, section 4.3).

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows; gradients flow to them.
        samples: where to evaluate, see `draw`.
        epsilon: finite-difference step in w.
        layers: which layers of the generator see z + wQ; the others see z.

    Returns:
        (N,): for each sample, the mean over channels and pixels of the unbiased variance over the probes.
    """

    def images(w: Tensor) -> Tensor:
        return generator(generator.shift(samples.z, w @ Q, layers), samples.y)

    def mean_of_each(variances: Tensor) -> Tensor:
        return variances.flatten(1).mean(dim=1)

    penalty = hessian_penalty(images, samples.w, epsilon=epsilon, reduction=mean_of_each, probes=samples.probes)
    assert isinstance(penalty, Tensor)  # one activation, one value
    return penalty


def orojar_of_directions(
    generator: FrozenGenerator, Q: Tensor, samples: Samples, epsilon: float, layers: str = "all"
) -> Tensor:
    """OroJaR of the image with respect to w of G(z + wQ, y) (Wei et al. 2021, section 3); see `orojar`.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows; gradients flow to them.
        samples: where to evaluate, see `draw`.
        epsilon: finite-difference step in w.
        layers: which layers of the generator see z + wQ; the others see z.

    Returns:
        (N,): for each sample, the unbiased variance over the probes of the squared norm of the image's derivative.
    """

    def images(w: Tensor) -> Tensor:
        return generator(generator.shift(samples.z, w @ Q, layers), samples.y)

    penalty = orojar(images, samples.w, epsilon=epsilon, reduction=lambda each: each, probes=samples.probes)
    assert isinstance(penalty, Tensor)  # one activation, one value
    return penalty
