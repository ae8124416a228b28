"""GANSpace: principal components of a layer's output, and what goes with them in z (Härkönen et al. 2020)."""

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
_ROUNDING = 1e-12  # Variances below this share of the largest are what rounding to float32 leaves.


@dataclass(frozen=True, kw_only=True)
class GANSpaceSettings(Settings):
    """Settings of the method ganspace."""

    samples: int = setting("Latents to measure.", default="20,000", least=2, most=10**9)
    orthogonalize: str = setting("How A becomes Q.", default="qr", choices=ORTHOGONALIZE)


class GANSpace(ClosedForm):
    """`ganspace` of the first linear layer, or of the outputs by which z conditions some layers.

    Those outputs are linear in z. What the class adds to them is the same for all latents, so it changes no component.
    """

    paper = "Härkönen et al. 2020"
    Settings = GANSpaceSettings

    def defaults(self, generator: FrozenGenerator, layers: LayerRange, asked: dict) -> dict:
        """20,000 samples."""
        return super().defaults(generator, layers, asked) | {"samples": 20_000, "orthogonalize": "qr"}

    def find(self, generator: FrozenGenerator, settings: GANSpaceSettings, *, quiet: bool) -> Found:
        """The directions; a `UserError` where the generator's layers are not known."""
        import torch

        from biggan_discovery.numerics.streams import Stream
        from biggan_discovery.objectives.samples import draw

        space = generator.search_space(settings.layers)
        # W = QR with orthonormal columns in Q: outputs Wz and Rz have the same variances and go with the same z, and R
        # has no more rows than z has coordinates.
        R = torch.linalg.qr(generator.projections(settings.layers).double(), mode="r").R

        def latents() -> Iterator[Tensor]:
            with Progress(settings.samples, "sampling latents", unit="sample", quiet=quiet) as progress:
                for step in range(-(-settings.samples // _AT_ONCE)):
                    count = min(_AT_ONCE, settings.samples - step * _AT_ONCE)
                    place = {"count": count, "probes": 2, "path_size": 1.0, "seed": settings.seed}
                    yield draw(generator, [0], 1, **place, stream=Stream.SEARCH, step=step).z[:, space].double()
                    progress.advance(count)

        return ganspace(lambda z: z @ R.T, latents(), settings.directions)


def ganspace(
    layer: Callable[[Float[Tensor, "N z_dim"]], Float[Tensor, "N features"]],
    latents: Iterable[Float[Tensor, "N z_dim"]],
    ndirs: int | None = None,
) -> Found:
    """Directions of z that move along the principal components of a layer's output (Härkönen et al. 2020, section 2.2).

    PCA of the outputs x gives components vₖ and coordinates cₖ = vₖᵀ(x - mean); row k is then uₖ of the least-squares
    fit z ≈ mean + Σₖ cₖuₖ, scaled to length 1. Only the covariance of outputs and latents is kept, summed up in
    float64, so that both steps are exact for all samples and memory is (features + z_dim)².

    Args:
        layer: layer(z) -> (N, features), floating.
        latents: z (N, z_dim), batch by batch; in all more than one.
        ndirs: number of directions, 1 to z_dim. Defaults to z_dim. Where the outputs vary along fewer, the rest are
            directions that are orthogonal to those, with a variance of 0.

    Returns:
        `A`, which is not orthogonal unless the layer is linear with orthogonal components in z; `values`
        "explained_variance" and "explained_variance_ratio". No evaluations: there are no images.

    Raises:
        UserError: outputs or latents of another shape or not finite, fewer than two samples, or ndirs out of range.

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
        raise UserError("the layer's outputs are the same for all latents; they have no principal components")
    # Coordinates are uncorrelated, so that uₖ is Cov(z, cₖ) over the variance of cₖ, which is a matter of length alone.
    fitted = torch.nn.functional.normalize((covariance[features:, :features] @ components[:, :varied]).T)
    rest = torch.linalg.qr(fitted.T, mode="complete").Q.T[varied:]
    rows = torch.cat((fitted, rest))[:count]
    explained = torch.nn.functional.pad(variances[:varied], (0, count - varied))
    values = {"explained_variance": explained, "explained_variance_ratio": explained / variances.sum()}
    return Found(fixed_signs(rows).float(), {name: value.tolist() for name, value in values.items()}, 0)
