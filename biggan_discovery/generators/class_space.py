"""Directions among class embeddings: a BigGAN whose latents have the class embedding's shift as further coordinates.

Wang & Ponce 2021 search there: between classes, and away from all of them, lie images that no class has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.generators.base import FrozenGenerator, Labels
from biggan_discovery.generators.biggan import BigGANBase
from biggan_discovery.generators.layer_range import ALL, LayerRange, to_layer_range
from biggan_discovery.generators.spaces import BOTH, CLASS, check_space


class ClassSpace(FrozenGenerator):
    """A BigGAN with latents (N, z_dim + size of the embedding): z, then c, for the class embedding e(y) + s·c.

    s is the standard deviation of the embeddings about their mean over classes, so that a unit of c is about as far as
    a unit of z. Latents of the prior have c = 0: the images are those of the generator.

    Args:
        inner: the generator.
        space: "class" for directions of c, "both" for directions of z and c.

    Raises:
        UserError: a generator without a class embedding, or fewer than two classes.

    Example:
        >>> generator = in_space(load_generator("scenes-64"), "class")
        >>> generator.z_dim, generator.search_space()
        (32, slice(16, 32, None))
    """

    def __init__(self, inner: BigGANBase, space: str):
        if check_space(space) not in (CLASS, BOTH):
            raise UserError(f"space is {space!r}; z itself needs no class space")
        table = inner.class_table()
        if table is None:
            raise UserError(f"{inner.name} has no class embedding that its layers share; search in the space z")
        if len(table) < 2:
            raise UserError(f"{inner.name} has one class, so its class space has no scale; search in the space z")
        known, names = inner.true_directions, inner.factor_names
        if known is not None and space == BOTH:
            known = nn.functional.pad(known, (0, table.shape[1]))
        else:
            known, names = None, ()
        super().__init__(
            inner,
            name=inner.name,
            z_dim=inner.z_dim + table.shape[1],
            num_layers=inner.num_layers,
            resolution=inner.resolution,
            channels=inner.channels,
            class_names=inner.class_names,
            truncation=inner.truncation,
            sha256=inner.sha256,
            true_directions=known,
            factor_names=names,
        )
        self._settings = inner.defaults()  # pyright: ignore[reportAttributeAccessIssue]
        self._space = space
        self.latent_size = inner.latent_size
        self.scale = float(table.cpu().double().var(dim=0, correction=0).mean().sqrt())

    @property
    def inner(self) -> BigGANBase:
        """The generator of z alone."""
        return cast(BigGANBase, self.network)

    @property
    def space(self) -> str:
        """See `FrozenGenerator.space`."""
        return self._space

    @property
    def recordable(self) -> bool:
        """See `FrozenGenerator.recordable`."""
        return self.inner.recordable

    def search_space(self, layers: LayerRange | str = ALL) -> slice:
        """The coordinates of c, or of z and c; all of them, whatever the layers see of z."""
        to_layer_range(layers, self.num_layers)
        return slice(0 if self._space == BOTH else self.inner.z_dim, self.z_dim)

    def reference(self) -> FrozenGenerator:
        """See `FrozenGenerator.reference`."""
        raise UserError(f"{self.name} has no reference implementation in the space {self._space}")

    def half_precision(self, dtype: torch.dtype) -> FrozenGenerator:
        """See `FrozenGenerator.half_precision`."""
        return ClassSpace(cast(BigGANBase, self.inner.half_precision(dtype)), self._space)

    def factor_predictor(self) -> Callable[[Tensor], Tensor] | None:
        """See `FrozenGenerator.factor_predictor`."""
        return self.inner.factor_predictor() if self.factor_names else None

    def projections(self, layers: LayerRange | str = ALL) -> Float[Tensor, "rows coordinates"]:
        """The weights that meet c, times the scale; with "both", those of the first layers that meet z and c."""
        of_z, of_class = self.inner.condition_weights(to_layer_range(layers, self.num_layers))
        of_c = self.scale * of_class
        return of_c if self._space == CLASS else torch.cat((of_z, of_c), dim=1)

    def _from_uniform(self, uniform: Float64[Tensor, "N latent_size"]) -> Float[Tensor, "N z_dim"]:
        z = self.inner.latents(uniform)
        return nn.functional.pad(z, (0, self.z_dim - self.inner.z_dim))

    def _begin(self, z: Tensor, y: Labels) -> tuple[Tensor, ...]:
        own, c = z.split([self.inner.z_dim, self.z_dim - self.inner.z_dim], dim=-1)
        return self.inner.begin_shifted(own, y, self.scale * c)

    def _finish(self, *state: Tensor) -> Tensor:
        return self.inner.finish(*state)


def in_space(generator: FrozenGenerator, space: str | None) -> FrozenGenerator:
    """A generator whose latents reach into a space: "z", its own; "class", its class embeddings; "both".

    Args:
        generator: the generator.
        space: the space; None for that of z.

    Raises:
        UserError: no such space, or a generator without class embeddings.
    """
    if (space or "z") == generator.space:
        return generator
    inner = generator.inner if isinstance(generator, ClassSpace) else generator
    if check_space(space or "z") == "z":
        return inner
    if not isinstance(inner, BigGANBase):
        raise UserError(f"{generator.name} has no class embedding that is known; search in the space z")
    return ClassSpace(inner, str(space))
