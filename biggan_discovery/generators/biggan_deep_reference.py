"""The reference implementation of BigGAN-deep: the layers of `pytorch_pretrained_biggan`, which is slow to import."""

from __future__ import annotations

import torch
from pytorch_pretrained_biggan import BigGAN, BigGANConfig
from pytorch_pretrained_biggan.model import GenBlock
from torch import Tensor, nn

from biggan_discovery.generators import fast
from biggan_discovery.generators.biggan_deep_files import Config


class ReferenceNetwork(fast.Network):
    """The package's network.

    Args:
        state: its checked state dict. All rows of statistics must be those of the truncation, as the package
            interpolates them wrongly.
        config: the architecture.
    """

    def __init__(self, state: dict[str, Tensor], config: Config):
        super().__init__()
        # On the meta device nothing is initialised: all weights are in the state dict.
        with torch.device("meta"):
            self.package = BigGAN(
                BigGANConfig(
                    z_dim=config.z_dim,
                    class_embed_dim=config.z_dim,
                    channel_width=config.channel_width,
                    num_classes=config.num_classes,
                    layers=[(block.upsample, block.inputs, block.outputs) for block in config.blocks],
                    attention_layer_position=config.attention_layer_position,
                    eps=config.eps,
                    n_stats=config.n_stats,
                )
            )
        self.package.load_state_dict(state, assign=True)

    def finish(self, *state: Tensor) -> Tensor:
        """Images of z (N, z_dim) or (N, layers that see z, z_dim), and y as `BigGANDeep` takes it."""
        z, y = state
        soft = y if y.is_floating_point() else nn.functional.one_hot(y, self.package.config.num_classes).to(z)
        embedding = self.package.embeddings(soft)
        generator = self.package.generator
        blocks = [layer for layer in generator.layers if isinstance(layer, GenBlock)]
        # The package's own forward takes one z for all layers.
        latents = [z] * (1 + len(blocks)) if z.ndim == 2 else z.unbind(1)
        embeddings = [embedding] * len(latents) if embedding.ndim == 2 else embedding.unbind(1)
        conditions = [torch.cat(pair, dim=1) for pair in zip(latents, embeddings, strict=True)]
        x = generator.gen_z(conditions[0]).view(len(z), 4, 4, 16 * generator.config.channel_width)
        x = x.permute(0, 3, 1, 2).contiguous()
        of_blocks = iter(conditions[1:])
        for layer in generator.layers:
            x = layer(x, next(of_blocks), 1.0) if isinstance(layer, GenBlock) else layer(x)
        return generator.conv_to_rgb(generator.bn(x, 1.0).relu())[:, :3].tanh()
