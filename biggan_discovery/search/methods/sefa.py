"""SeFa: directions that the first weights amplify most (Shen & Zhou 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biggan_discovery.errors import UserError
from biggan_discovery.search.method import ClosedForm, Found, Settings

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from biggan_discovery.generators import FrozenGenerator


class SeFa(ClosedForm):
    """`sefa` of a generator's first projections of z.

    The norms' weights of chosen layers are the network's own: scaled to length 1, those of the scales would be the same
    with batch-norm statistics worked in, and those of the offsets would be mixed with them.
    """

    paper = "Shen & Zhou 2021"
    Settings = Settings

    def find(self, generator: FrozenGenerator, settings: Settings, *, quiet: bool) -> Found:
        """The directions; a `UserError` where the generator's layers are not known."""
        return sefa(generator.projections(settings.layers), settings.directions)


def sefa(weight: Float[Tensor, "rows z_dim"], ndirs: int | None = None) -> Found:
    """Eigenvectors of WᵀW (Shen & Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs", section 3).

    As in the authors' code each output of the layer counts alike: its weights, a row here and a column of their W, are
    first scaled to length 1. (The paper does not say so.)

    Args:
        weight: (rows, z_dim) floating and finite: the weights from z to the outputs of a layer, or those of several
            layers below each other. With one row at least.
        ndirs: number of directions, 1 to z_dim. Defaults to z_dim.

    Returns:
        `A` orthonormal; `values` "eigenvalues" of the scaled WᵀW, which add up to the number of rows. No evaluations.

    Raises:
        UserError: another weight, or ndirs out of range.

    Example:
        >>> sefa(torch.tensor([[3.0, 0.0], [2.0, 0.0], [0.0, 1.0]])).values
        {'eigenvalues': [2.0, 1.0]}
    """
    import torch

    from biggan_discovery.directions.space import check_count
    from biggan_discovery.numerics.eigenvectors import fixed_signs, strongest

    if weight.ndim != 2 or not weight.numel() or not weight.is_floating_point() or not weight.isfinite().all():
        raise UserError(f"weight is a {weight.dtype} tensor {tuple(weight.shape)}; give a finite matrix (rows, z_dim)")
    count = weight.shape[1] if ndirs is None else ndirs
    check_count(count, weight.shape[1])
    rows = torch.nn.functional.normalize(weight.double())
    values, vectors = strongest(rows.T @ rows)
    A = fixed_signs(vectors.T[:count]).float().cpu()
    return Found(A, {"eigenvalues": values[:count].clamp(min=0).tolist()}, 0)
