"""Table of objectives by name; a new objective is one line here. Does not import torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from biggan_discovery.objectives.objective import Objective

OBJECTIVES = {
    "hessian": "biggan_discovery.objectives.hessian_penalty:HESSIAN_PENALTY",
    "orojar": "biggan_discovery.objectives.orojar:OROJAR",
}
"""Module and attribute of each objective, by its name in `--method`."""

JACOBIAN_PRODUCTS = "orojar"
"""The objective whose matrices are JᵀJ, which are measured along with all others."""


def objective_named(name: str) -> Objective:
    """Return an objective by its name in the table.

    Raises:
        KeyError: If there is no such objective.

    Example:
        >>> objective_named("orojar").title
        'OroJaR'
    """
    module, attribute = OBJECTIVES[name].split(":")
    return getattr(importlib.import_module(module), attribute)
