"""How well directions match known true ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import Estimate
from biggan_discovery.evaluation.metric import Figure, Metric, Need, View, no_images
from biggan_discovery.evaluation.metrics.factors import true_directions


class Recovery(NamedTuple):
    """For each true direction, in order: which found direction is its partner, and the cosine between them."""

    partners: list[int]
    cosines: list[float]

    @property
    def mean(self) -> float:
        """Mean |cos| over the true directions; 1 where all are found."""
        return sum(map(abs, self.cosines)) / len(self.cosines)


def recovery(Q: Float[Tensor, "ndirs z_dim"], true_directions: Float[Tensor, "n z_dim"]) -> Recovery:
    """Match each true direction to a found one, one to one, such that the sum of |cos| is largest (Hungarian method).

    Args:
        Q: (ndirs, z_dim) found directions, of any length; ndirs ≥ n.
        true_directions: (n, z_dim), of any length.

    Raises:
        UserError: if there are fewer found than true directions, or their z_dim differs.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, and only some generators have true directions

    if Q.shape[1] != true_directions.shape[1] or len(Q) < len(true_directions):
        found, true = tuple(Q.shape), tuple(true_directions.shape)
        raise UserError(f"directions {found} cannot be matched to true directions {true}: one each is needed")
    cosines = torch.nn.functional.normalize(true_directions.double()) @ torch.nn.functional.normalize(Q.double()).T
    rows, partners = linear_sum_assignment(cosines.abs().numpy(), maximize=True)
    return Recovery(partners.tolist(), cosines[rows, partners].tolist())


MEAN = Figure("recovery", "recovery", "Mean |cos| of each true direction with its partner, matched one to one.", "↑")


def _measure(view: View) -> dict[Figure, Estimate]:
    truth = true_directions(view.generator)
    return {MEAN: Estimate(recovery(view.Q, truth).mean)} if len(truth) <= len(view.Q) else {}


RECOVERY = Metric(
    "recovery",
    figures=(MEAN,),
    presets={"quick": {}, "full": {}},
    cost=no_images,
    measure=_measure,
    needs=frozenset({Need.TRUE_DIRECTIONS, Need.ALL_LAYERS}),
    length=lambda _: (1, "step"),
)
