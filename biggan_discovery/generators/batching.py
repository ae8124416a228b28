"""How many images go through a generator at once, and what happens when memory runs out.

The number is a property of a generator on a device. On a CPU it depends on the generator alone, as more images make no
pass faster; on a GPU it depends on the free memory, as small batches leave most of the GPU idle.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from biggan_discovery.generators.base import FrozenGenerator
from biggan_discovery.memory import OutOfMemoryError, asked, can_take, free_memory, in_units, is_out_of_memory

_CPU_PIXELS = 16 * 64**2  # More make no pass faster on a CPU.
_CPU_SAMPLE, _CPU_MOST_BYTES = 4, 2 * 2**30  # A sample's images with the papers' two probes, and bytes they may take.
_GPU_PIXELS = 256 * 128**2  # Enough to fill every GPU.
_GPU_SHARE = 0.4  # Of free memory; as much again is needed while images go through, and other programs want some.

_PLENTY_BYTES = 8 * 2**30  # If as much is free, no CPU batch needs to be measured.
_SPARE_BYTES = 32 * 2**20  # Left to layers and libraries for themselves.
_TAKEN = {"forward": 2, "gradient": 3}  # Times the bytes kept for a backward pass; up to 1.5 and 2.3 were measured.

T = TypeVar("T")
_log = logging.getLogger(__name__)
_known: WeakKeyDictionary[FrozenGenerator, dict[tuple[str, torch.device, torch.dtype], Batch]] = WeakKeyDictionary()


class Batch:
    """Calls work on as many images at once as memory has room for.

    Args:
        size: images at once, at least 1; see `forward_batch` and `gradient_batch`.
        each: bytes of the CPU's memory that an image takes. If so much is not free, fewer images are tried at once.
            Defaults to not looking: compiled layers that get no memory for themselves may end the process.

    Example:
        >>> batch = Batch(4)
        >>> [images.shape for images in batch.map(generator, z, y)]  # z (6, z_dim), y (6,)
        [torch.Size([4, 3, 64, 64]), torch.Size([2, 3, 64, 64])]
    """

    def __init__(self, size: int, each: int = 0):
        self.size, self._each = size, each

    def map(self, function: Callable[..., T], *rows: Shaped[Tensor, "N ..."], per_row: int = 1) -> Iterator[T]:
        """The function's values for consecutive parts of some tensors.

        Args:
            function: called with a part of each of `rows`.
            rows: tensors of the same length.
            per_row: images that the function makes for each row.

        Raises:
            OutOfMemoryError: memory is not enough for one row.
        """
        start = 0
        while start < len(rows[0]):
            value, count = self.attempt(
                lambda count, start=start: (function(*(each[start : start + count] for each in rows)), count),
                per_row,
                len(rows[0]) - start,
            )
            start += count
            yield value

    def attempt(self, work: Callable[[int], T], per_row: int = 1, rows: int | None = None) -> T:
        """The value of `work(rows at once)`, tried again with half as many each time memory runs out.

        Args:
            work: called with the number of rows.
            per_row: images that it makes for each row.
            rows: rows that there are. Defaults to more than fit.

        Raises:
            OutOfMemoryError: memory is not enough for one row.
        """
        while True:
            count = max(1, self.size // per_row)
            if rows is not None:
                count = min(count, rows)
            try:
                if self._each:
                    self._check_room(count * per_row)
                return work(count)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if count == 1 and self.size <= 1:
                    raise _not_even_one(error) from None
            # Outside of the handler, whose traceback would hold on to the activations.
            self.size = max(1, min(self.size, count * per_row) // 2)
            _log.warning("out of memory: continuing with %d image%s at once", self.size, "s" * (self.size > 1))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _check_room(self, images: int) -> None:
        if not can_take(_SPARE_BYTES + self._each * images):
            one = "one image" if images == 1 else f"{images} images"
            raise OutOfMemoryError(
                f"out of memory: {one} of this generator at once would take about "
                f"{in_units(_SPARE_BYTES + self._each * images)}, of which {in_units(free_memory())} are free; close "
                "other programs, raise the limit, or take a smaller generator"
            )


def forward_batch(generator: FrozenGenerator, size: int | None = None) -> Batch:
    """Images at once without gradients.

    On a GPU, as many as saturate it, within 40 % of its free memory, by the measured memory per image. The number is
    determined once per generator and device. After an out-of-memory error, all users of the generator continue with the
    reduced number.

    Args:
        generator: the frozen network.
        size: images at once, for this caller only. Defaults to the determined number.
    """
    return _batch("forward", generator, size, _forward_size)


def gradient_batch(generator: FrozenGenerator, size: int | None = None) -> Batch:
    """Images at once to differentiate, see `gradient_size`. Cached like `forward_batch`, with the same arguments."""
    return _batch("gradient", generator, size, gradient_size)


def gradient_size(generator: FrozenGenerator, budget: int | None = None) -> int:
    """How many images to differentiate at once, by the memory per image, which is measured on one image.

    Args:
        generator: the frozen network.
        budget: bytes for the tensors kept for the backward pass, excluding weights. Defaults to 40 % of the free memory
            on a GPU. On a CPU, the default does not depend on memory: as many images as without gradients, but at least
            the four images of one sample with two probes if they take at most 2 GiB.
    """
    each = bytes_per_image(generator)
    if budget is None and generator.device.type == "cuda":
        budget = _gpu_budget(generator.device)
    if budget is not None:
        return max(1, budget // each)
    return max(_forward_size(generator), min(_CPU_SAMPLE, _CPU_MOST_BYTES // each))


def _not_even_one(error: Exception) -> OutOfMemoryError:
    if isinstance(error, OutOfMemoryError):  # Of a batch within this one.
        return OutOfMemoryError(str(error))
    return OutOfMemoryError(
        f"out of memory: it is not enough for one image of this generator{asked(error)}; close other programs, raise "
        "the limit, or take a smaller generator"
    )


def _batch(kind: str, generator: FrozenGenerator, size: int | None, measure: Callable[[FrozenGenerator], int]) -> Batch:
    if size is not None:
        return Batch(size, _bytes_if_short(kind, generator))
    known = _known.setdefault(generator, {})
    key = (kind, generator.device, generator.dtype)
    if key not in known:
        known[key] = Batch(measure(generator), _bytes_if_short(kind, generator))
    return known[key]


def _bytes_if_short(kind: str, generator: FrozenGenerator) -> int:
    """Bytes that an image takes at most, with what layers take for themselves; 0 on a GPU, or if there are plenty."""
    if generator.device.type != "cpu" or can_take(_PLENTY_BYTES):
        return 0
    return _TAKEN[kind] * bytes_per_image(generator)


def _forward_size(generator: FrozenGenerator) -> int:
    if generator.device.type != "cuda":
        return max(1, _CPU_PIXELS // generator.resolution**2)
    device = generator.device
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with torch.no_grad():
        generator(*_one_sample(generator))
    each = max(1, torch.cuda.max_memory_allocated(device) - before)
    return max(1, min(_gpu_budget(device) // each, _GPU_PIXELS // generator.resolution**2))


def bytes_per_image(generator: FrozenGenerator) -> int:
    """Bytes that autograd keeps for the backward pass through the generator to one z, weights not counted.

    Raises:
        OutOfMemoryError: memory is not enough for one image.
    """
    weights = {t.untyped_storage().data_ptr() for t in (*generator.parameters(), *generator.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    z, y = _one_sample(generator)
    try:
        with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
            images = generator(z.requires_grad_(), y)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise _not_even_one(error) from None
    return sum(kept.values()) + images.nbytes


def _one_sample(generator: FrozenGenerator) -> tuple[Float[Tensor, "1 z_dim"], Int64[Tensor, " 1"]]:
    z = torch.zeros(1, generator.z_dim, dtype=generator.dtype, device=generator.device)
    return z, torch.zeros(1, dtype=torch.int64, device=generator.device)


def _gpu_budget(device: torch.device) -> int:
    torch.cuda.empty_cache()  # What torch keeps for reuse would count as taken.
    return int(_GPU_SHARE * torch.cuda.mem_get_info(device)[0])
