"""Images around a latent, as a function of a shift along given rows."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from biggan_discovery.directions import pad
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.derivatives import Images
from biggan_discovery.objectives.samples import Samples


def images_around(
    generator: FrozenGenerator,
    rows: Float[Tensor, "n coordinates"],
    sample: Samples,
    layers: LayerRange,
    *,
    jitter: float = 0.0,
) -> Images:
    """A function from shifts (N, n) along rows to images (N, C, H, W), around the point of one sample.

    The point is one that a search by gradient descent visits: z plus a path step along one direction. From there, the
    Hessian Penalty takes finite differences of ±ε along all directions at once.

    Args:
        generator: the frozen network.
        rows: (n, coordinates of the search space of the layers), on its device.
        sample: a single sample; its w has n entries.
        layers: layers that the shift reaches.
        jitter: step along the first probe that is part of the point. Sketches are measured along the axes and not along
            probes, so they take ε.
    """
    centre = sample.w + jitter * sample.probes[0]
    space = generator.search_space(layers)

    def images(shifts: Tensor) -> Tensor:
        delta = pad((centre + shifts) @ rows, space, generator.z_dim)
        z, y = sample.z.expand(len(shifts), -1), sample.y.expand(len(shifts), *sample.y.shape[1:])
        return generator(generator.shift(z, delta, layers), y)

    return images
