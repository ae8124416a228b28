"""Layers of a frozen network in the form that computes fastest, for the same images and gradients.

Weights, batch-norm statistics and the truncation of a frozen network never change, and only the gradient of z is
wanted. So, once, when a network is loaded:

- a norm with known statistics is one affine map of each channel, whose gain and shift are affine in the condition
  (`norm_affine`);
- a convolution's bias that meets a norm next only moves that norm's mean: families subtract biases from means, also
  those that travel along skip connections, and no layer here adds any;
- doubling the image by repeating pixels and then convolving with a 3 × 3 kernel is one transposed convolution with a
  4 × 4 kernel and stride 2, at 4/9 of the multiplications (`upsampling_kernel`);
- a 1 × 1 convolution is a product of matrices, which takes a skip connection along as its summand (`Pointwise`).

Activations have the type of the weights that give them, and gains and shifts follow: with convolutions and products of
16 bits (`to_half_precision`) everything between them has 16 bits as well, while latents, conditions and images stay as
they are.

Activations are (N, height, width, channels): with that order in memory, which torch calls `channels_last`, convolutions
compute fastest and products of matrices need no copies.

On a CPU every image is computed by itself, so its bits do not depend on its position in a batch. On a GPU that does not
hold: cuDNN and cuBLAS choose their algorithms by the size of the batch. There the whole batch is one product, and what
lies between convolutions and products runs in Triton kernels, which compute in float32 whatever the type in memory
(`kernels`); `plain` turns both off.
"""

from biggan_discovery.generators.fast.attention import attend, attention_backend
from biggan_discovery.generators.fast.dispatch import plain
from biggan_discovery.generators.fast.folding import conditional_weights, norm_affine, upsampling_kernel
from biggan_discovery.generators.fast.functions import (
    Affine,
    affine_relu,
    affine_relu_and_skip,
    linear_by_row,
    map_of_relu,
    plus_upsampled,
    upsampled,
)
from biggan_discovery.generators.fast.graphs import Recorded
from biggan_discovery.generators.fast.layers import (
    SMALL,
    Attention,
    ByClass,
    Conditional,
    Convolution,
    Embedding,
    Linear,
    Network,
    Pointwise,
    ToImages,
    to_half_precision,
)

__all__ = [
    "SMALL",
    "Affine",
    "Attention",
    "ByClass",
    "Conditional",
    "Convolution",
    "Embedding",
    "Linear",
    "Network",
    "Pointwise",
    "Recorded",
    "ToImages",
    "affine_relu",
    "affine_relu_and_skip",
    "attend",
    "attention_backend",
    "conditional_weights",
    "linear_by_row",
    "map_of_relu",
    "norm_affine",
    "plain",
    "plus_upsampled",
    "to_half_precision",
    "upsampled",
    "upsampling_kernel",
]
