"""Right-singular vectors of a generator's Jacobian, by Jacobian products (Ramesh et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biggan_discovery.errors import UserError
from biggan_discovery.progress import Progress
from biggan_discovery.search.method import MICRO_BATCH, ClosedForm, Found, Settings, setting

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from biggan_discovery.generators import FrozenGenerator
    from biggan_discovery.generators.batching import Batch
    from biggan_discovery.generators.layer_range import LayerRange
    from biggan_discovery.numerics.derivatives import Images


@dataclass(frozen=True, kw_only=True)
class JacobianSettings(Settings):
    """Settings of the method jacobian."""

    samples: int = setting("Number of latents to measure.", default="32", least=1, most=10**9)
    micro_batch: int | None = setting(**MICRO_BATCH)


class Jacobian(ClosedForm):
    """`jacobian` of images with respect to a shift of z in the chosen layers, averaged over latents and classes."""

    paper = "Ramesh et al. 2018"
    Settings = JacobianSettings

    def defaults(self, generator: FrozenGenerator, layers: LayerRange, asked: dict) -> dict:
        """32 samples."""
        return super().defaults(generator, layers, asked) | {"samples": 32}

    def check(self, generator: FrozenGenerator, settings: JacobianSettings) -> None:
        """Check that the latents fit in memory."""
        from biggan_discovery.objectives.samples import check_room_for_samples

        super().check(generator, settings)
        check_room_for_samples(generator, settings.samples, 2, 1, "--samples")

    def find(self, generator: FrozenGenerator, settings: JacobianSettings, *, quiet: bool) -> Found:
        """Compute the directions; raise `UserError` if images are not differentiable in z."""
        from biggan_discovery.directions.shifts import shifted_images
        from biggan_discovery.generators.batching import gradient_batch
        from biggan_discovery.numerics.streams import Stream
        from biggan_discovery.objectives.samples import draw

        count = settings.samples
        place = {"count": count, "probes": 2, "path_size": 1.0, "seed": settings.seed, "stream": Stream.SEARCH}
        drawn = draw(generator, settings.classes, 1, **place, step=0)
        space = generator.search_space(settings.layers)
        dim = space.stop - space.start
        origin = drawn.z.new_zeros(count, dim)

        def around(z: Tensor, y: Tensor) -> Images:
            return shifted_images(generator, z, y, settings.layers)[0]

        batch = gradient_batch(generator, settings.micro_batch)
        with Progress(count * dim, "multiplying", unit="product", quiet=quiet) as progress:
            return _of_mean(around, (drawn.z, drawn.y), origin, settings.directions, settings.seed, batch, progress)


def jacobian(
    G: Callable[..., Float[Tensor, "N ..."]],
    z: Float[Tensor, "N dim"],
    ndirs: int | None = None,
    *,
    seed: int = 0,
    **G_kwargs: Any,
) -> Found:
    """Leading right-singular vectors of the Jacobian J of G, or of the mean of JᵀJ over several z.

    They are the directions along which the output changes fastest (Ramesh, Choi & LeCun 2018, "A Spectral Regularizer
    for Unsupervised Disentanglement", section 2). Neither J nor JᵀJ is formed, only Jacobian-vector products (forward
    mode) and vector-Jacobian products (reverse mode).

    Args:
        G: called as G(z, **G_kwargs); row n of its output (N, ...) depends only on row n of z.
        z: (N, dim), floating point.
        ndirs: number of directions, from 1 to dim. Defaults to dim.
        seed: random seed of the eigensolver's start.
        G_kwargs: keyword arguments of G.

    Returns:
        `A`, (ndirs, dim), orthonormal; `values` "singular_values", those of J for a single z, otherwise the square
        roots of the eigenvalues of the mean JᵀJ; `evaluations`, 3 per vector and z, plus 1 per z. If G does not support
        forward mode, a warning is logged, and central differences are used at the same cost.

    Raises:
        UserError: for an invalid z, an ndirs out of range, or an output that is not differentiable in z.

    Example:
        >>> jacobian(lambda z: z * torch.tensor([1.0, 3.0]), torch.zeros(1, 2)).values
        {'singular_values': [3.0, 1.0]}
    """
    import torch

    from biggan_discovery.generators.batching import Batch
    from biggan_discovery.numerics.arithmetic import arithmetic

    if not isinstance(z, torch.Tensor) or z.ndim != 2 or not z.numel() or not z.is_floating_point():
        raise UserError("z should be a non-empty floating-point tensor (N, dim)")
    with arithmetic("float32"):
        return _of_mean(lambda: lambda each: G(each, **G_kwargs), (), z, ndirs, seed, Batch(len(z)), None)


def _of_mean(
    around: Callable[..., Images],
    samples: tuple[Tensor, ...],
    points: Float[Tensor, "N dim"],
    ndirs: int | None,
    seed: int,
    batch: Batch,
    progress: Progress | None,
) -> Found:
    """`jacobian` at points (N, dim), of the functions that `around` returns for parts of the samples."""
    import torch

    from biggan_discovery.directions.space import check_count
    from biggan_discovery.numerics.derivatives import Products
    from biggan_discovery.numerics.eigenvectors import fixed_signs, leading_eigenvectors

    count, dim = points.shape
    number = dim if ndirs is None else ndirs
    check_count(number, dim)
    products, left = Products(), count * dim

    def multiply(columns: Tensor) -> Tensor:
        nonlocal left
        result = torch.zeros_like(columns)

        def of_part(at: Tensor, *part: Tensor) -> Tensor:
            return products(around(*part), at, columns.expand(len(at), -1, -1))

        for each in batch.map(of_part, points, *samples):
            result += each.sum(dim=0)
            done = len(each) * columns.shape[1]
            left -= done
            if progress is not None:
                progress.advance(done)
        if not result.isfinite().all():
            raise UserError("the generator's derivatives are not finite at one of the latents; try another --seed")
        return result / count

    start = torch.randn(dim, number, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values, vectors = leading_eigenvectors(multiply, start, number)
    if progress is not None:
        progress.advance(left)  # The solver converged with fewer products.
    return Found(fixed_signs(vectors.T).float(), {"singular_values": values.sqrt().tolist()}, products.evaluations)
