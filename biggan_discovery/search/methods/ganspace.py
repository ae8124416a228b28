"""GANSpace: principal components of a layer's outputs, mapped back to z (Härkönen et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from biggan_discovery.errors import UserError
from biggan_discovery.progress import Progress
from biggan_discovery.search.method import ClosedForm, Found, Settings, setting
from biggan_discovery.search.settings import ORTHOGONALIZE

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from biggan_discovery.generators import FrozenGenerator
    from biggan_discovery.generators.layer_range import LayerRange

_AT_ONCE = 1000
_ROUNDING = 1e-12  # Relative variances below this are float32 rounding errors.


@dataclass(frozen=True, kw_only=True)
class GANSpaceSettings(Settings):
    """Settings of the method ganspace."""

    samples: int = setting("Number of latents to measure.", default="20,000", least=2, most=10**9)
    orthogonalize: str = setting("Orthonormalization of A to Q.", default="qr", choices=ORTHOGONALIZE)


class GANSpace(ClosedForm):
    """`ganspace` of the first linear layer, or of the outputs through which z conditions the chosen layers.

    These outputs are linear in z. The class adds the same offset for all latents, so it does not change the principal
    components.
    """

    paper = "Härkönen et al. 2020"
    Settings = GANSpaceSettings

    def defaults(self, generator: FrozenGenerator, layers: LayerRange, asked: dict) -> dict:
        """20,000 samples."""
        return super().defaults(generator, layers, asked) | {"samples": 20_000, "orthogonalize": "qr"}

    def find(self, generator: FrozenGenerator, settings: GANSpaceSettings, *, quiet: bool) -> Found:
        """Compute the directions; raise `UserError` if the generator's layers are unknown."""
        import torch

        from biggan_discovery.numerics.arithmetic import in_float64
        from biggan_discovery.numerics.streams import Stream
        from biggan_discovery.objectives.samples import draw

        if generator.space != "z":
            raise UserError("ganspace is the PCA of samples, whose class embeddings do not vary; use sefa or jacobian")
        space = generator.search_space(settings.layers)
        # W = QR with orthonormal columns in Q: the outputs Wz and Rz have the same principal variances and coordinates,
        # and R has no more rows than z has coordinates.
        R = torch.linalg.qr(in_float64(generator.projections(settings.layers)), mode="r").R

        def latents() -> Iterator[Tensor]:
            with Progress(settings.samples, "sampling latents", unit="sample", quiet=quiet) as progress:
                for step in range(-(-settings.samples // _AT_ONCE)):
                    count = min(_AT_ONCE, settings.samples - step * _AT_ONCE)
                    place = {"count": count, "probes": 2, "path_size": 1.0, "seed": settings.seed}
                    drawn = draw(generator, [0], 1, **place, stream=Stream.SEARCH, step=step)
                    yield in_float64(drawn.z[:, space])
                    progress.advance(count)

        return ganspace(lambda z: z @ R.T, latents(), settings.directions)


def ganspace(
    layer: Callable[[Float[Tensor, "N z_dim"]], Float[Tensor, "N features"]],
    latents: Iterable[Float[Tensor, "N z_dim"]],
    ndirs: int | None = None,
) -> Found:
    """Directions of z along the principal components of a layer's outputs (Härkönen et al. 2020, section 2.2).

    PCA of the outputs x gives components vₖ and coordinates cₖ = vₖᵀ(x - mean). Row k is uₖ of the least-squares fit z
    ≈ mean + Σₖ cₖuₖ, scaled to length 1. Only the covariance of outputs and latents is accumulated, in float64, so both
    steps are exact over all samples, and memory is O((features + z_dim)²).

    Args:
        layer: function of z (N, z_dim) that returns a floating-point tensor (N, features).
        latents: batches of z (N, z_dim), at least two samples in total.
        ndirs: number of directions, from 1 to z_dim. Defaults to z_dim. If the outputs vary along fewer components, the
            remaining directions are orthogonal to these and have a variance of 0.

    Returns:
        `A`, (ndirs, z_dim), which is orthogonal only if the layer is linear with orthogonal components in z; `values`
        "explained_variance" and "explained_variance_ratio"; `evaluations` 0, as no images are computed.

    Raises:
        UserError: if outputs or latents have the wrong shape or are not finite, there are fewer than two samples, or
            ndirs is out of range.

    Example:
        >>> ganspace(network.first_layer, torch.randn(10_000, 128).split(1000), ndirs=20).A.shape
        torch.Size([20, 128])
    """
    import torch

    from biggan_discovery.directions.space import check_count
    from biggan_discovery.numerics.covariance import joint_covariance
    from biggan_discovery.numerics.eigenvectors import fixed_signs, strongest

    covariance, features = joint_covariance(layer, latents)
    z_dim = len(covariance) - features
    count = z_dim if ndirs is None else ndirs
    check_count(count, z_dim)
    variances, components = strongest(covariance[:features, :features])
    varied = int((variances > _ROUNDING * variances[0]).sum().clamp(max=count))
    if not varied:
        raise UserError("the layer's outputs are the same for all latents, so they have no principal components")
    # Coordinates are uncorrelated, so uₖ is Cov(z, cₖ) divided by the variance of cₖ, which only changes its length.
    fitted = torch.nn.functional.normalize((covariance[features:, :features] @ components[:, :varied]).T)
    rest = torch.linalg.qr(fitted.T, mode="complete").Q.T[varied:]
    rows = torch.cat((fitted, rest))[:count]
    explained = torch.nn.functional.pad(variances[:varied], (0, count - varied))
    values = {"explained_variance": explained, "explained_variance_ratio": explained / variances.sum()}
    return Found(fixed_signs(rows).float(), {name: value.tolist() for name, value in values.items()}, 0)
