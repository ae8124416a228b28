"""The objectives by name: a new one is one line here. Needs no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from biggan_discovery.objectives.objective import Objective

OBJECTIVES = {
    "hessian": "biggan_discovery.objectives.hessian_penalty:HESSIAN_PENALTY",
    "orojar": "biggan_discovery.objectives.orojar:OROJAR",
}
"""Where each objective is found, by the name that `--method` takes."""


def objective_named(name: str) -> Objective:
    """The objective of a name in the table.

    Raises:
        KeyError: there is none.
    """
    module, attribute = OBJECTIVES[name].split(":")
    return getattr(importlib.import_module(module), attribute)
