"""SeFa: directions that the first weights amplify most (Shen & Zhou 2021)."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from biggan_discovery.directions.eigenvectors import strongest
from biggan_discovery.directions.space import check_count
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.search.closed_form import ClosedForm, fixed_signs


def sefa(weight: Tensor, ndirs: int | None = None) -> ClosedForm:
    """Eigenvectors of WᵀW (Shen & Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs", section 3).

    As in the authors' code each output of the layer counts alike: its weights, a row here and a column of their W, are
    first scaled to length 1. (The paper does not say so.)

    Args:
        weight: (rows, z_dim) floating and finite: the weights from z to the outputs of a layer, or those of several
            layers below each other. With one row at least.
        ndirs: number of directions, 1 to z_dim; z_dim where None.

    Returns:
        `A` orthonormal; `values` "eigenvalues" of the scaled WᵀW, which add up to the number of rows. No evaluations.

    Raises:
        UserError: another weight, or ndirs out of range.
    """
    if weight.ndim != 2 or not weight.numel() or not weight.is_floating_point() or not weight.isfinite().all():
        raise UserError(f"weight is a {weight.dtype} tensor {tuple(weight.shape)}; give a finite matrix (rows, z_dim)")
    count = weight.shape[1] if ndirs is None else ndirs
    check_count(count, weight.shape[1])
    rows = F.normalize(weight.double())
    values, vectors = strongest(rows.T @ rows)
    return ClosedForm(
        fixed_signs(vectors.T[:count]).float().cpu(), {"eigenvalues": values[:count].clamp(min=0).tolist()}, 0
    )


def sefa_directions(generator: FrozenGenerator, ndirs: int | None = None, *, layers: str = "all") -> ClosedForm:
    """`sefa` of a generator's first projections of z.

    The norms' weights of chosen layers are the network's own: scaled to length 1, those of the scales would be the same
    with batch-norm statistics worked in, and those of the offsets would be mixed with them.

    Args:
        generator: one whose layers are known.
        ndirs: number of directions; as many as coordinates of the search space where None.
        layers: whose weights; see `FrozenGenerator.projections`.

    Raises:
        UserError: ndirs out of range, no such layers, or a generator whose layers are not known.
    """
    return sefa(generator.projections(layers), ndirs)
