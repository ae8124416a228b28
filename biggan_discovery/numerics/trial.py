"""A user's own network is tried before work begins: does one z always give one image, in the range that is shown?"""

from __future__ import annotations

import logging
import os
from weakref import WeakSet

import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.generators import load_generator
from biggan_discovery.generators.base import FrozenGenerator
from biggan_discovery.generators.batching import Batch
from biggan_discovery.generators.function import FunctionGenerator
from biggan_discovery.numerics.arithmetic import arithmetic

_log = logging.getLogger(__name__)
_tried: WeakSet[FrozenGenerator] = WeakSet()

_SAMPLES = 4
_GOLDEN = (5**0.5 - 1) / 2  # Its multiples are spread evenly over (0, 1).
_ROUNDING = 1e-4  # Share of the range of values; batched convolutions in float32 differ by up to 1e-5.
_OF_EPS = 64  # Roundings in half precision.
_BEYOND = 1.05


def loaded(generator: FrozenGenerator | str | os.PathLike[str]) -> FrozenGenerator:
    """The generator, loaded if it is only named, after `try_out`.

    Raises:
        UserError: as `load_generator` and `try_out`.
    """
    network = generator if isinstance(generator, FrozenGenerator) else load_generator(generator)
    try_out(network)
    return network


@torch.no_grad()
@arithmetic("float32")
def try_out(generator: FrozenGenerator) -> None:
    """Warn of a user's own network that gives different images for one z, or images of another range.

    Asks for a few images once per generator; families of this package are trusted.

    Raises:
        UserError: images are not finite.
    """
    if _is_trusted(generator) or generator in _tried:
        return
    _tried.add(generator)
    if isinstance(generator, FunctionGenerator) and generator.in_train_mode:
        _log.warning(
            "%s calls a network in train mode; it is put in eval mode for each call and back after it, as a frozen "
            "generator needs; call .eval() on it",
            generator.name,
        )
    spread = torch.arange(1, _SAMPLES * generator.latent_size + 1, dtype=torch.float64) * _GOLDEN % 1
    z = generator.latents(spread.view(_SAMPLES, generator.latent_size))
    y = torch.arange(_SAMPLES, device=generator.device) % generator.num_classes
    batch = Batch(_SAMPLES)
    first, again, together = (torch.cat(list(batch.map(generator, z[:n], y[:n]))) for n in (1, 1, _SAMPLES))
    if not together.isfinite().all():
        sample = int((~together.isfinite().flatten(1).all(dim=1)).nonzero()[0])
        raise UserError(f"{generator.name} returns images that are not finite, for sample {sample} of its prior")
    _warn_of_differences(generator.name, first, again, together[:1])
    _warn_of_range(generator.name, together)


def _is_trusted(generator: FrozenGenerator) -> bool:
    """Whether the network is of a family of this package, not a user's function or subclass."""
    ours = type(generator).__module__.partition(".")[0] == __name__.partition(".")[0]
    return ours and not isinstance(generator, FunctionGenerator)


def _warn_of_differences(name: str, first: Tensor, again: Tensor, in_company: Tensor) -> None:
    size = max(float(first.abs().max()), 1e-30)
    limit = size * min(max(_ROUNDING, _OF_EPS * torch.finfo(first.dtype).eps), 0.1)
    if (apart := float((first - again).abs().max())) > limit:
        _log.warning(
            "%s gives another image for the same z when asked twice (by up to %.2g): noise or dropout, whose "
            "derivatives would be measured; keep its noise constant",
            name,
            apart,
        )
    elif (apart := float((first - in_company).abs().max())) > limit:
        _log.warning(
            "%s gives another image for the same z if others are beside it (by up to %.2g): its images depend on the "
            "batch, as those of batch norm in train mode do; call .eval() on the network",
            name,
            apart,
        )


def _warn_of_range(name: str, images: Tensor) -> None:
    low, high = float(images.min()), float(images.max())
    if low == high:
        _log.warning("%s gives constant images (%.3g everywhere)", name, low)
    elif low >= 0 and high > 0:
        scale = "[0, 1]" if high <= _BEYOND else "[0, 255]"
        map_back = "2 * images - 1" if high <= _BEYOND else "images / 127.5 - 1"
        _log.warning(
            "%s gives images from %.3g to %.3g, probably of %s; pictures show [-1, 1]: return %s",
            name,
            low,
            high,
            scale,
            map_back,
        )
    elif max(-low, high) > _BEYOND:
        _log.warning(
            "%s gives images from %.3g to %.3g; pictures show [-1, 1], and what is beyond is cut off", name, low, high
        )
