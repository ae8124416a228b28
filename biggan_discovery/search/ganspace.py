"""GANSpace: principal components of a layer's output, and what goes with them in z (Härkönen et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from biggan_discovery.directions.eigenvectors import strongest
from biggan_discovery.directions.space import check_count
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.samples import Purpose, draw
from biggan_discovery.progress import Progress
from biggan_discovery.search.closed_form import ClosedForm, fixed_signs

_AT_ONCE = 1000
_ROUNDING = 1e-12  # Variances below this share of the largest are what rounding to float32 leaves.


def ganspace(layer: Callable[[Tensor], Tensor], latents: Iterable[Tensor], ndirs: int | None = None) -> ClosedForm:
    """Directions of z that move along the principal components of a layer's output (Härkönen et al. 2020, section 2.2).

    PCA of the outputs x gives components vₖ and coordinates cₖ = vₖᵀ(x - mean); row k is then uₖ of the least-squares
    fit z ≈ mean + Σₖ cₖuₖ, scaled to length 1. Only the covariance of outputs and latents is kept, summed up in
    float64, so that both steps are exact for all samples and memory is (features + z_dim)².

    Args:
        layer: layer(z) -> (N, features), floating.
        latents: z (N, z_dim), batch by batch; in all more than one.
        ndirs: number of directions, 1 to z_dim; z_dim where None. Where the outputs vary along fewer, the rest are
            directions that are orthogonal to those, with a variance of 0.

    Returns:
        `A`, which is not orthogonal unless the layer is linear with orthogonal components in z; `values`
        "explained_variance" and "explained_variance_ratio". No evaluations: there are no images.

    Raises:
        UserError: outputs or latents of another shape or not finite, fewer than two samples, or ndirs out of range.
    """
    covariance, features = _joint_covariance(layer, latents)
    z_dim = len(covariance) - features
    count = z_dim if ndirs is None else ndirs
    check_count(count, z_dim)
    variances, components = strongest(covariance[:features, :features])
    varied = int((variances > _ROUNDING * variances[0]).sum().clamp(max=count))
    if not varied:
        raise UserError("the layer's outputs are the same for all latents; they have no principal components")
    # Coordinates are uncorrelated, so that uₖ is Cov(z, cₖ) over the variance of cₖ, which is a matter of length alone.
    fitted = (covariance[features:, :features] @ components[:, :varied]).T
    rows = _completed(torch.nn.functional.normalize(fitted), count)
    explained = torch.nn.functional.pad(variances[:varied], (0, count - varied))
    values = {"explained_variance": explained, "explained_variance_ratio": explained / variances.sum()}
    return ClosedForm(fixed_signs(rows).float(), {name: value.tolist() for name, value in values.items()}, 0)


def ganspace_directions(
    generator: FrozenGenerator,
    ndirs: int | None = None,
    *,
    layers: str = "all",
    seed: int = 0,
    samples: int = 20_000,
    quiet: bool = False,
) -> ClosedForm:
    """`ganspace` of the first linear layer, or of the outputs by which z conditions some layers.

    Those outputs are linear in z. What the class adds to them is the same for all latents, so it changes no component.

    Args:
        generator: one whose layers are known.
        ndirs: number of directions; as many as coordinates of the search space where None.
        layers: whose outputs; see `FrozenGenerator.projections`.
        seed: of the latents.
        samples: how many latents, 2 or more.
        quiet: no progress.

    Raises:
        UserError: ndirs or samples out of range, no such layers, or a generator whose layers are not known.
    """
    if samples < 2:
        raise UserError(f"samples is {samples}; principal components need 2 or more")
    space = generator.search_space(layers)
    # W = QR with orthonormal columns in Q: outputs Wz and Rz have the same variances and go with the same z, and R has
    # no more rows than z has coordinates.
    R = torch.linalg.qr(generator.projections(layers).double(), mode="r").R

    def latents() -> Iterator[Tensor]:
        with Progress(samples, "sampling latents", unit="sample", quiet=quiet) as progress:
            for step in range(-(-samples // _AT_ONCE)):
                count = min(_AT_ONCE, samples - step * _AT_ONCE)
                place = {"count": count, "probes": 2, "path_size": 1.0, "seed": seed, "purpose": Purpose.SEARCH}
                yield draw(generator, [0], 1, **place, step=step).z[:, space].double()
                progress.advance(count)

    return ganspace(lambda z: z @ R.T, latents(), ndirs)


def _joint_covariance(layer: Callable[[Tensor], Tensor], latents: Iterable[Tensor]) -> tuple[Tensor, int]:
    """The covariance of outputs and latents, (features + z_dim) squared, float64 on the CPU; and how many features."""
    count, features, total, products, near = 0, 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
    for z in latents:
        with torch.no_grad():
            outputs = layer(z)
        _check(z, outputs)
        joint = torch.cat((outputs.double(), z.double()), dim=1).cpu()
        if not count:
            # Sums of squares around a point near the mean lose nothing to rounding where the mean is large.
            features, near = outputs.shape[1], joint.mean(dim=0)
        if joint.shape[1] != len(near) or not joint.isfinite().all():
            raise UserError("outputs and latents should be finite, and as wide in every batch as in the first")
        joint = joint - near
        count, total, products = count + len(joint), total + joint.sum(dim=0), products + joint.T @ joint
    if count < 2:
        raise UserError(f"{count} latents given; principal components need 2 or more")
    return (products - torch.outer(total, total) / count) / (count - 1), features


def _check(z: Tensor, outputs: Tensor) -> None:
    if z.ndim != 2 or outputs.ndim != 2 or len(outputs) != len(z) or not outputs.is_floating_point():
        shapes = f"{tuple(z.shape)} gave {outputs.dtype} outputs {tuple(outputs.shape)}"
        raise UserError(f"latents {shapes}; they should be (N, z_dim) and floating (N, features)")


def _completed(rows: Tensor, count: int) -> Tensor:
    """Rows, and below them an orthonormal basis of what is orthogonal to them, up to `count`."""
    rest = torch.linalg.qr(rows.T, mode="complete").Q.T[len(rows) :]
    return torch.cat((rows, rest))[:count]
