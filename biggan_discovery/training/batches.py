"""Random batches of the training images, in memory that stays where it is, so that a recorded step reads them."""

from __future__ import annotations

import torch
from torch import Tensor

from biggan_discovery.training.data import Images

_ROOM = 0.5  # share of a GPU's free memory that images may take


class Batches:
    """The images and classes of one step, drawn with replacement.

    All images lie on the device as uint8 if half of its free memory holds them; otherwise they stay in the computer's
    memory, and each step's are copied.

    Args:
        images: all images.
        count: images per discriminator step, of this process.
        d_steps: discriminator steps per step.
        device: of the networks.

    Attributes:
        real: (d_steps, count, R, R, 3) uint8.
        y_real: (d_steps, count), their classes.
        y_fake: (d_steps + 1, count), classes for generated images, as frequent as in the data; the last are for the
            generator's step.
    """

    def __init__(self, images: Images, count: int, d_steps: int, device: torch.device):
        self._shape = (d_steps, count)
        place = device if _fits(images.pixels, device) else torch.device("cpu")
        self._pixels, self._labels = images.pixels.to(place), images.labels.to(place)
        self._generator = torch.Generator(place)
        self.real = torch.empty(*self._shape, *images.pixels.shape[1:], dtype=torch.uint8, device=device)
        self.y_real = torch.empty(self._shape, dtype=torch.int64, device=device)
        self.y_fake = torch.empty(d_steps + 1, count, dtype=torch.int64, device=device)

    def draw(self, seed: int) -> None:
        """Replace the batch by the one of a seed."""
        d_steps, count = self._shape
        self._generator.manual_seed(seed)
        chosen = torch.randint(
            len(self._pixels), ((2 * d_steps + 1) * count,), device=self._pixels.device, generator=self._generator
        )
        of_real, of_fake = chosen.split((d_steps * count, (d_steps + 1) * count))
        self.real.copy_(self._pixels[of_real].view_as(self.real), non_blocking=True)
        self.y_real.copy_(self._labels[of_real].view_as(self.y_real), non_blocking=True)
        self.y_fake.copy_(self._labels[of_fake].view_as(self.y_fake), non_blocking=True)


def to_images(pixels: Tensor, *, flip: bool, generator: torch.Generator) -> Tensor:
    """Pixels (N, R, R, 3) uint8 as images (N, 3, R, R) float32 in [-1, 1].

    Each value is uniform within its step of 1/127.5, so that a discriminator cannot tell images by their few levels.

    Args:
        pixels: on any device.
        flip: mirror each with probability one half.
        generator: random numbers, on the same device.
    """
    images = pixels.permute(0, 3, 1, 2).float()
    noise = torch.rand(images.shape, device=images.device, generator=generator)
    images = (images + noise - 0.5) / 127.5 - 1
    if not flip:
        return images
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device, generator=generator) < 0.5
    return torch.where(mirrored, images.flip(3), images)


def _fits(pixels: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return pixels.numel() <= _ROOM * free
