"""The sizes of generator and discriminator, as in BigGAN-PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from biggan_discovery.errors import UserError

FIRST_SIZE = 4
IMAGE = "image"
# Channels into every block and out of the last, in units of the width (BigGAN, tables 4 to 8; 32 px: BigGAN-PyTorch).
_OF_GENERATOR = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
# Channels out of every block, and how many of the blocks halve height and width.
_OF_DISCRIMINATOR = {
    32: ((4, 4, 4, 4), 2),
    64: ((1, 2, 4, 8, 16), 4),
    128: ((1, 2, 4, 8, 16, 16), 5),
    256: ((1, 2, 4, 8, 8, 16, 16), 6),
}


@dataclass(frozen=True)
class Architecture:
    """What determines the shapes of generator and discriminator.

    Attributes:
        resolution: 32, 64, 128 or 256.
        width: unit of the numbers of channels, `ch` in BigGAN-PyTorch.
        z_dim: size of z; a multiple of `layers` if there are chunks.
        classes: number of classes.
        shared_dim: size of the class embedding that all blocks share; 0 for a gain and bias of each class in each norm.
        chunks: whether the linear layer and every block see a chunk of z each; otherwise the linear layer sees all.
        attention: height of the activations that attention follows; 0 for none.
    """

    resolution: int
    width: int
    z_dim: int
    classes: int
    shared_dim: int
    chunks: bool
    attention: int

    @property
    def generator_widths(self) -> tuple[int, ...]:
        """Channels into every block of the generator, then out of the last."""
        return tuple(self.width * factor for factor in _OF_GENERATOR[self.resolution])

    @property
    def discriminator_widths(self) -> tuple[int, ...]:
        """Channels of images, then out of every block of the discriminator."""
        return (3, *(self.width * factor for factor in _OF_DISCRIMINATOR[self.resolution][0]))

    @property
    def halved(self) -> int:
        """How many blocks of the discriminator, the first ones, halve height and width."""
        return _OF_DISCRIMINATOR[self.resolution][1]

    @property
    def blocks(self) -> int:
        """Residual blocks of the generator."""
        return len(self.generator_widths) - 1

    @property
    def activations(self) -> tuple[str, ...]:
        """Names of the activations of the generator: "linear", "block0" and so on, "image"."""
        return ("linear", *(f"block{index}" for index in range(self.blocks)), IMAGE)

    @property
    def generator_attention(self) -> int | None:
        """Index of the block of the generator that attention follows."""
        sizes = [FIRST_SIZE * 2 ** (block + 1) for block in range(self.blocks)]
        return sizes.index(self.attention) if self.attention in sizes else None

    @property
    def discriminator_attention(self) -> int | None:
        """Index of the block of the discriminator that attention follows; none at the height of the images."""
        sizes = [self.resolution // 2 ** (block + 1) for block in range(self.halved)]
        return sizes.index(self.attention) if self.attention in sizes else None

    @property
    def layers(self) -> int:
        """Layers of the generator that see z."""
        return 1 + self.blocks * self.chunks

    def check(self) -> None:
        """Check what is valid value by value but not together.

        Raises:
            UserError: z cannot be cut into chunks, chunks have no shared embedding, or attention is at no block's size.
        """
        if self.z_dim % self.layers:
            near = " or ".join(str(size * self.layers) for size in _around(self.z_dim / self.layers))
            raise UserError(
                f"z_dim is {self.z_dim}; for {self.layers} chunks (one per layer) it should be a multiple of "
                f"{self.layers}, such as {near}"
            )
        if self.chunks and not self.shared_dim:
            raise UserError("chunks of z join the shared class embedding, and shared_dim is 0; set one, or no chunks")
        if not self.attention:
            return
        block, other = self.generator_attention, self.discriminator_attention
        if block is None:
            sizes = [str(FIRST_SIZE * 2 ** (block + 1)) for block in range(self.blocks)]
            raise UserError(f"attention is {self.attention}; it should be 0 or one of {', '.join(sizes)}")
        channels = [self.generator_widths[block + 1]]
        if other is not None:
            channels.append(self.discriminator_widths[other + 1])
        if wrong := next((each for each in channels if each % 8), None):
            raise UserError(
                f"attention at {self.attention} has {wrong} channels; choose a width that gives a multiple of 8"
            )


def _around(value: float) -> list[int]:
    below = int(value)
    return [size for size in (below, below + 1) if size > 0]
