"""The methods and solvers by name; adding one takes one line here. Needs no torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from biggan_discovery.errors import UserError
from biggan_discovery.objectives.table import OBJECTIVES, objective_named
from biggan_discovery.search.method import Settings, one_of
from biggan_discovery.search.settings import (
    ADAM,
    JOINT_DIAGONALIZATION,
    STARTS,
    AdamSettings,
    JointDiagonalizationSettings,
)

if TYPE_CHECKING:
    from biggan_discovery.search.method import Method

CLOSED_FORMS = {
    "sefa": "biggan_discovery.search.methods.sefa:SeFa",
    "ganspace": "biggan_discovery.search.methods.ganspace:GANSpace",
    "jacobian": "biggan_discovery.search.methods.jacobian:Jacobian",
    "region": "biggan_discovery.search.methods.region:ReSeFa",
    "avoid": "biggan_discovery.search.methods.avoid:Avoid",
    "score": "biggan_discovery.search.methods.score:Score",
    "target": "biggan_discovery.search.methods.target:Target",
    "random": "biggan_discovery.search.methods.baselines:Random",
    "coordinates": "biggan_discovery.search.methods.baselines:Coordinates",
}
"""The location of each closed-form method. The other methods are objectives, see `objectives.table`."""

IMPLIED = {"target": "target", "score": "score", "avoid": "avoid", "region": "region", "mask": "region"}
"""Settings that say which method is meant, in order of precedence."""

COMBINED = "combined"
"""The method that diagonalizes Hessians and JᵀJ together, by joint diagonalization."""

SOLVERS: dict[str, tuple[str, type[Settings]]] = {
    JOINT_DIAGONALIZATION: (
        "biggan_discovery.search.joint_diagonalization:JointDiagonalization",
        JointDiagonalizationSettings,
    ),
    ADAM: ("biggan_discovery.search.adam:Adam", AdamSettings),
}
"""The location of each solver of objectives, and its settings."""


def method_names() -> tuple[str, ...]:
    """The names of all methods."""
    return (COMBINED, *OBJECTIVES, *CLOSED_FORMS)


def find_method(name: str, solver: str | None, asked: Mapping[str, Any]) -> tuple[Method, str | None]:
    """A method by its name, and the name of its solver, if it needs one.

    Args:
        name: one of `method_names`.
        solver: one of `SOLVERS`. Defaults to Adam if a setting that only Adam has is given or the objective declares no
            matrices, otherwise to joint diagonalization.
        asked: the given settings.

    Raises:
        UserError: for an unknown method or solver, or a solver that does not support the objective.
    """
    one_of("method", name, method_names())
    if solver is not None:
        one_of("solver", solver, tuple(SOLVERS))
    if name in CLOSED_FORMS:
        if solver is not None:
            raise UserError(f"solver is {solver!r}, but {name} is computed without a solver")
        return _imported(CLOSED_FORMS[name])(), None
    if name == COMBINED:
        if solver not in (None, JOINT_DIAGONALIZATION) or (solver is None and _asks_for_adam(asked)):
            raise UserError(f"{COMBINED} is computed by {JOINT_DIAGONALIZATION} only; Adam minimizes hessian or orojar")
        return _imported(SOLVERS[JOINT_DIAGONALIZATION][0])(
            name, objective_named("hessian"), kind="hessian", with_products=True
        ), JOINT_DIAGONALIZATION
    objective = objective_named(name)
    if solver is None:
        adam = objective.matrices is None or _asks_for_adam(asked)
        solver = ADAM if adam else JOINT_DIAGONALIZATION
    return _imported(SOLVERS[solver][0])(name, objective), solver


def method_or_default(method: str | None, solver: str | None, asked: Mapping[str, Any]) -> str:
    """The method, by default the one that a setting implies, else that of joint diagonalization or of Adam.

    Adam's method is taken if Adam or one of its settings is asked for.
    """
    if method is not None:
        return method
    for name, implied in IMPLIED.items():
        if solver is None and asked.get(name) is not None:
            return implied
    return "hessian" if solver == ADAM or (solver is None and _asks_for_adam(asked)) else COMBINED


def check_request(method: str, solver: str | None, asked: Mapping[str, Any]) -> tuple[Method, str | None]:
    """Check names before anything is loaded or downloaded, see `find_method`.

    Raises:
        UserError: for an unknown method, solver, start, or choice of a setting, with near matches.
    """
    found, solver = find_method(method, solver, asked)
    for name, field in found.Settings.own().items():
        value = asked.get(name)
        if value is not None and field.metadata["choices"]:
            one_of(name, value, field.metadata["choices"])
    init = asked.get("init")
    if "init" in found.Settings.own() and init is not None and init not in (*STARTS, JOINT_DIAGONALIZATION):
        from biggan_discovery.directions import directions_of_start

        directions_of_start(init)
    return found, solver


def settings_by_user() -> dict[str, type[Settings]]:
    """The settings classes of the solvers and methods that have settings, by name."""
    methods = {name: _imported(place).Settings for name, place in CLOSED_FORMS.items()}
    solvers = {name: settings for name, (_, settings) in SOLVERS.items()}
    return {name: settings for name, settings in (solvers | methods).items() if settings.own()}


def _asks_for_adam(asked: Mapping[str, Any]) -> bool:
    only = AdamSettings.own().keys() - JointDiagonalizationSettings.own().keys()
    return asked.get("init") == JOINT_DIAGONALIZATION or any(asked.get(key) is not None for key in only)


def _imported(place: str) -> Any:
    module, attribute = place.split(":")
    return getattr(importlib.import_module(module), attribute)
