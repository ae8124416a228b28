"""Samples to judge directions on."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import check_samples
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.mixes import Class
from biggan_discovery.objectives.samples import Samples, draw


def judging_samples(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    classes: list[Class] | None,
    *,
    samples: int,
    seed: int,
    stream: int,
    path_size: float = 1.0,
    probes: int = 0,
) -> Samples:
    """z, y, one-hot w and probes of samples held out from every search; z and y are the same for every Q.

    Raises:
        UserError: for fewer than two samples, or a Q that does not fit the generator.
    """
    check_samples(samples)
    if Q.ndim != 2 or not len(Q) or Q.shape[1] != generator.z_dim:
        raise UserError(f"Q has shape {tuple(Q.shape)}; directions for this generator are (ndirs, {generator.z_dim})")
    return draw(
        generator,
        list(range(generator.num_classes)) if classes is None else classes,
        len(Q),
        count=samples,
        probes=probes,
        path_size=path_size,
        seed=seed,
        stream=stream,
        step=0,
    )
