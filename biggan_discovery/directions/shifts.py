"""Images as a function of shifts of their latents, and first derivatives of them without ever forming the Jacobian."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from tqdm import tqdm

from biggan_discovery.directions.space import pad
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator

Images = Callable[[Tensor], Tensor]


def shifted_images(generator: FrozenGenerator, z: Tensor, y: Tensor, layers: str = "all") -> tuple[Images, Tensor]:
    """Images as a function of shifts (N, coordinates of the search space) of z, and shifts of 0."""
    space = generator.search_space(layers)

    def images(delta: Tensor) -> Tensor:
        return generator(generator.shift(z, pad(delta, space, generator.z_dim), layers), y)

    return images, z.new_zeros(len(z), space.stop - space.start)


class Derivative:
    """Directional derivatives by forward mode, or by central differences where a user's own network does not know it.

    Costs two evaluations a row either way. Not differentiable itself.
    """

    def __init__(self) -> None:
        self._has_forward_mode = True

    @torch.no_grad()
    def __call__(self, G: Images, x: Tensor, vectors: Tensor) -> Tensor:
        """G's derivative at every row of x (N, n) along its row of vectors (N, n), in the shape of G(x)."""
        if self._has_forward_mode:
            try:
                with forward_ad.dual_level(), warnings.catch_warnings():
                    # The first dual makes torch register what it does in deprecated ways of its own.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    tangent = forward_ad.unpack_dual(G(forward_ad.make_dual(x, vectors))).tangent
                if tangent is not None:
                    return tangent
                reason = "the output has no tangent"
            except (NotImplementedError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:120]
            self._has_forward_mode = False
            tqdm.write(f"central differences replace forward-mode derivatives: {reason}", file=sys.stderr)
        step = torch.finfo(x.dtype).eps ** (1 / 3)  # balances rounding and curvature
        return (G(x + step * vectors) - G(x - step * vectors)) / (2 * step)


class Products:
    """Products with JᵀJ, and what they cost.

    Attributes:
        evaluations: so far; a forward pass, a backward pass and a forward-mode tangent of one image count 1 each.
    """

    def __init__(self) -> None:
        self.evaluations = 0
        self._derivative = Derivative()

    def __call__(self, G: Images, z: Tensor, columns: Tensor) -> Tensor:
        """JᵀJ of every row of z times its own vectors, one vector after the other.

        Args:
            G: from (N, dim) to (N, ...); row n of its output depends on row n of its input alone.
            z: (N, dim), where to take J.
            columns: (N, dim, b), of lengths about 1.

        Returns:
            (N, dim, b) float64, on the CPU.

        Raises:
            UserError: where G's output does not depend on z differentiably.
        """
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            output = G(z)
        if not output.requires_grad:
            raise UserError("the output of G does not depend on z differentiably; has it been detached?")
        self.evaluations += len(z)
        products = []
        for vectors in columns.to(z).unbind(-1):
            derivative = self._derivative(G, z, vectors)
            products.append(torch.autograd.grad(output, z, derivative, retain_graph=True)[0].cpu().double())
            self.evaluations += 3 * len(z)
        return torch.stack(products, dim=-1)
