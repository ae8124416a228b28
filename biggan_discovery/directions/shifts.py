"""Images as a function of shifts of latents."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from biggan_discovery.directions.space import pad
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.base import Label, Labels
from biggan_discovery.generators.batching import forward_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import in_float64

_STEP = 0.1  # between the images of a central difference


def shifted_images(
    generator: FrozenGenerator,
    z: Float[Tensor, "N z_dim"],
    y: Labels,
    layers: LayerRange | str = "all",
) -> tuple[Callable[[Float[Tensor, "N n"]], Float[Tensor, "N C H W"]], Float[Tensor, "N n"]]:
    """Images as a function of shifts of z.

    Args:
        generator: the frozen network.
        z: (N, z_dim) latents.
        y: (N,) int64 class indices, or class weights; see `FrozenGenerator.forward`.
        layers: layers of the generator that see the shift.

    Returns:
        A function from shifts (N, n) to images (N, C, H, W), where n is the number of coordinates of the search space;
        and shifts of 0, (N, n).

    Example:
        >>> images, origin = shifted_images(generator, z, y)
        >>> torch.equal(images(origin), generator(z, y))
        True
    """
    space = generator.search_space(layers)

    def images(delta: Tensor) -> Tensor:
        return generator(generator.shift(z, pad(delta, space, generator.z_dim), layers), y)

    return images, z.new_zeros(len(z), space.stop - space.start)


def images_near(
    generator: FrozenGenerator, z: Float[Tensor, " z_dim"], y: Label, layers: LayerRange | str = "all"
) -> tuple[Callable[[Float[Tensor, "N n"]], Float[Tensor, "N P"]], Float[Tensor, "n n"]]:
    """Flattened images as a function of shifts of one latent, as the functions of `numerics.derivatives` take them.

    Args:
        generator: the frozen network.
        z: (z_dim,) latent.
        y: () int64 class index, or class weights (num_classes,).
        layers: layers of the generator that see the shift.

    Returns:
        A function from shifts (N, n) to images (N, P), where n is the number of coordinates of the search space; and
        the axes of the search space, (n, n).

    Example:
        >>> images, axes = images_near(generator, z[0], y[0])
        >>> rows, cost = jacobian_rows(images, axes, gradient_batch(generator), Derivative())
    """
    space = generator.search_space(layers)

    def images(delta: Tensor) -> Tensor:
        many = z.expand(len(delta), -1)
        moved = generator.shift(many, pad(delta, space, generator.z_dim), layers)
        return generator(moved, y.expand(len(delta), *y.shape)).flatten(1)

    return images, torch.eye(space.stop - space.start, dtype=z.dtype, device=z.device)


@torch.no_grad()
def moved_images(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    z: Float[Tensor, " z_dim"],
    y: Label,
    w: Float[Tensor, "M ndirs"],
    layers: LayerRange | str = "all",
) -> Iterator[Float[Tensor, "batch C H W"]]:
    """Generate G(z + wQ, y) for one sample and many w, in batches.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim), directions in rows.
        z: (z_dim,) latent.
        y: () int64 class index, or class weights (num_classes,).
        w: (M, ndirs) coefficients.
        layers: layers of the generator that see the shift.

    Yields:
        (batch, C, H, W) images, in the order of w.

    Example:
        >>> w = torch.linspace(-3, 3, 7)[:, None]
        >>> torch.cat(list(moved_images(generator, Q[:1], z[0], y[0], w))).shape
        torch.Size([7, 3, 64, 64])
    """
    Q = Q.to(generator.device, generator.dtype)

    def images(part: Tensor) -> Tensor:
        moved = generator.shift(z.expand(len(part), -1), part @ Q, layers)
        return generator(moved, y.expand(len(part), *y.shape))

    yield from forward_batch(generator).map(images, w.to(Q))


def along_directions(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    z: Float[Tensor, " z_dim"],
    y: Label,
    amounts: Float[Tensor, " A"] | Float[Tensor, "ndirs A"],
    layers: LayerRange | str = "all",
) -> Iterator[Float[Tensor, "A C H W"]]:
    """Generate images of one sample at several amounts along each direction, direction by direction.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim), directions in rows.
        z: (z_dim,) latent.
        y: () int64 class index, or class weights (num_classes,).
        amounts: (A,) for all directions, or (ndirs, A).
        layers: layers of the generator that see the shift.

    Yields:
        (A, C, H, W) images for each direction. Batches are filled across directions.

    Example:
        >>> amounts = torch.linspace(-3, 3, 7)
        >>> [images.shape for images in along_directions(generator, Q[:2], z[0], y[0], amounts)]
        [torch.Size([7, 3, 64, 64]), torch.Size([7, 3, 64, 64])]
    """
    amounts = amounts.expand(len(Q), -1)
    count = amounts.shape[1]
    w = torch.zeros(len(Q), count, len(Q), dtype=amounts.dtype, device=amounts.device)
    w.diagonal(dim1=0, dim2=2).copy_(amounts.T)
    pending: list[Tensor] = []
    for images in moved_images(generator, Q, z, y, w.flatten(0, 1), layers):
        pending.extend(images)
        while len(pending) >= count:
            yield torch.stack(pending[:count])
            pending = pending[count:]


def changes_along(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    z: Float[Tensor, " z_dim"],
    y: Label,
    layers: LayerRange | str = "all",
) -> Iterator[Float64[Tensor, "C H W"]]:
    """Change of the image of one sample per unit step along each direction, direction by direction.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim), directions in rows. Changes are those of rows scaled to length 1.
        z: (z_dim,) latent.
        y: () int64 class index, or class weights (num_classes,).
        layers: layers of the generator that see the shift.

    Yields:
        (C, H, W) central differences at steps of 0.05 to either side, on the device of the generator where it has
        float64.

    Example:
        >>> strengths = [change.square().mean() for change in changes_along(generator, Q, z[0], y[0])]
    """
    sides = torch.tensor([-_STEP / 2, _STEP / 2], device=z.device, dtype=z.dtype)
    for images in along_directions(generator, normalize(Q.double(), dim=1), z, y, sides, layers):
        yield (in_float64(images[1]) - in_float64(images[0])).div(_STEP)
