"""The sizes of BigGAN-deep (Brock et al. 2018, appendix B, tables 7 to 9; smaller ones by analogy)."""

from __future__ import annotations

from dataclasses import dataclass

from biggan_discovery.errors import UserError
from biggan_discovery.training.architecture import FIRST_SIZE, Architecture

# Blocks of the generator: whether they double height and width, and channels in and out, in units of the width.
_LAYERS: dict[int, tuple[tuple[bool, int, int], ...]] = {
    32: ((False, 16, 8), (True, 8, 8), (False, 8, 4), (True, 4, 4), (False, 4, 2), (True, 2, 1)),
    64: (
        *((False, 16, 16), (True, 16, 8), (False, 8, 8), (True, 8, 4)),
        *((False, 4, 4), (True, 4, 2), (False, 2, 2), (True, 2, 1)),
    ),
    128: (
        *((False, 16, 16), (True, 16, 16), (False, 16, 16), (True, 16, 8), (False, 8, 8)),
        *((True, 8, 4), (False, 4, 4), (True, 4, 2), (False, 2, 2), (True, 2, 1)),
    ),
    256: (
        *((False, 16, 16), (True, 16, 16), (False, 16, 16), (True, 16, 8), (False, 8, 8), (True, 8, 8)),
        *((False, 8, 8), (True, 8, 4), (False, 4, 4), (True, 4, 2), (False, 2, 2), (True, 2, 1)),
    ),
}
_LEAST_WIDTH = 4  # The last block has half of it in its inner convolutions.


@dataclass(frozen=True)
class DeepArchitecture(Architecture):
    """What determines the shapes of BigGAN-deep; see `Architecture`.

    Every layer sees all of z beside a class embedding of the same size, so `shared_dim` is `z_dim` and there are no
    chunks. The discriminator mirrors the generator.
    """

    @property
    def generator_layers(self) -> tuple[tuple[bool, int, int], ...]:
        """Blocks of the generator: whether they double height and width, and widths in and out."""
        return _LAYERS[self.resolution]

    @property
    def blocks(self) -> int:
        """Residual blocks of the generator."""
        return len(self.generator_layers)

    @property
    def layers(self) -> int:
        """Parts that z is cut into: one."""
        return 1

    @property
    def generator_attention(self) -> int | None:
        """Index of the block that attention precedes, the first one whose input is as high as `attention`."""
        heights = [FIRST_SIZE]
        for upsample, *_ in self.generator_layers:
            heights.append(heights[-1] * (1 + upsample))
        return heights.index(self.attention) if self.attention in heights[:-1] else None

    @property
    def discriminator_layers(self) -> tuple[tuple[bool, int, int], ...]:
        """Blocks of the discriminator: whether they halve height and width, and widths in and out."""
        return tuple((change, outputs, inputs) for change, inputs, outputs in reversed(self.generator_layers))

    @property
    def discriminator_attention(self) -> int | None:
        """Index of the block of the discriminator that attention follows."""
        heights, height = [], self.resolution
        for halve, *_ in self.discriminator_layers:
            height //= 1 + halve
            heights.append(height)
        return heights.index(self.attention) if self.attention in heights else None

    def check(self) -> None:
        """Check what is valid value by value but not together.

        Raises:
            UserError: too small a width, chunks, an embedding of another size, or attention at no block's size.
        """
        if self.chunks:
            raise UserError("in biggan-deep every layer sees all of z, so it has no chunks; leave out chunks")
        if self.shared_dim != self.z_dim:
            raise UserError(
                f"shared_dim is {self.shared_dim}; in biggan-deep the class embedding is as large as z, {self.z_dim}"
            )
        if self.width < _LEAST_WIDTH:
            raise UserError(f"width is {self.width}; for biggan-deep it should be at least {_LEAST_WIDTH}")
        if self.attention and self.generator_attention is None:
            sizes = [str(size) for size in (8, 16, 32, 64, 128) if size < self.resolution]
            raise UserError(f"attention is {self.attention}; it should be 0 or one of {', '.join(sizes)}")
        if self.generator_attention is not None:
            channels = self.width * self.generator_layers[self.generator_attention][1]
            if channels % 8:
                raise UserError(
                    f"attention at {self.attention} has {channels} channels; choose a width that gives a multiple of 8"
                )
