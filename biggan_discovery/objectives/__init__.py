"""What a search minimises: one file per objective, the portable function and its `Objective` together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biggan_discovery.lazy import attach

if TYPE_CHECKING:
    from biggan_discovery.objectives.hessian_penalty import hessian_penalty
    from biggan_discovery.objectives.hessian_penalty_numpy import hessian_penalty_numpy
    from biggan_discovery.objectives.objective import Objective
    from biggan_discovery.objectives.orojar import orojar
    from biggan_discovery.objectives.table import objective_named

_HOMES = {
    "Objective": "objective",
    "hessian_penalty": "hessian_penalty",
    "hessian_penalty_numpy": "hessian_penalty_numpy",
    "objective_named": "table",
    "orojar": "orojar",
}
__all__ = ["Objective", "hessian_penalty", "hessian_penalty_numpy", "objective_named", "orojar"]
__getattr__ = attach(__name__, _HOMES)
