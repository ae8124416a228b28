"""SeFa: directions that the first layer's weights amplify most (Shen & Zhou 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Float

from biggan_discovery.errors import UserError
from biggan_discovery.search.method import ClosedForm, Found, Settings

if TYPE_CHECKING:
    from torch import Tensor

    from biggan_discovery.generators import FrozenGenerator


class SeFa(ClosedForm):
    """`sefa` of the generator's first projections of z.

    For chosen layers, these are the unfolded weights of their conditional batch norms. Folding in the statistics would
    not change the scale weights, which are normalized, but would mix the offset weights with them.
    """

    paper = "Shen & Zhou 2021"
    Settings = Settings

    def find(self, generator: FrozenGenerator, settings: Settings, *, quiet: bool) -> Found:
        """Compute the directions; raise `UserError` if the generator's layers are unknown."""
        return sefa(generator.projections(settings.layers), settings.directions)


def sefa(weight: Float[Tensor, "rows z_dim"], ndirs: int | None = None) -> Found:
    """Eigenvectors of WᵀW (Shen & Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs", section 3).

    As in the authors' code, but not in the paper, the weights of each output (a row here, a column of their W) are
    first normalized to length 1.

    Args:
        weight: (rows, z_dim), floating point and finite, at least one row: the weights from z to the outputs of a
            layer, or those of several layers, concatenated.
        ndirs: number of directions, from 1 to z_dim. Defaults to z_dim.

    Returns:
        `A`, (ndirs, z_dim), orthonormal; `values` "eigenvalues" of the normalized WᵀW, whose sum over all directions is
        the number of rows; `evaluations` 0.

    Raises:
        UserError: if weight is invalid or ndirs is out of range.

    Example:
        >>> sefa(torch.tensor([[3.0, 0.0], [2.0, 0.0], [0.0, 1.0]])).values
        {'eigenvalues': [2.0, 1.0]}
    """
    import torch

    from biggan_discovery.directions.space import check_count
    from biggan_discovery.numerics.arithmetic import in_float64
    from biggan_discovery.numerics.eigenvectors import fixed_signs, strongest

    if weight.ndim != 2 or not weight.numel() or not weight.is_floating_point() or not weight.isfinite().all():
        about = f"a {weight.dtype} tensor {tuple(weight.shape)}"
        raise UserError(f"weight is {about}; it should be a finite floating-point matrix (rows, z_dim)")
    count = weight.shape[1] if ndirs is None else ndirs
    check_count(count, weight.shape[1])
    rows = torch.nn.functional.normalize(in_float64(weight))
    values, vectors = strongest(rows.T @ rows)
    A = fixed_signs(vectors.T[:count]).float().cpu()
    return Found(A, {"eigenvalues": values[:count].clamp(min=0).tolist()}, 0)
