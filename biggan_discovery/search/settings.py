"""The settings of a run: what was asked for, filled up with defaults, checked."""

from __future__ import annotations

import sys
from typing import Any

from biggan_discovery.directions.orthonormalize import METHODS as ORTHOGONALIZE
from biggan_discovery.directions.space import check_count
from biggan_discovery.directions.start import STARTS, directions_of_start
from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import parse_layers
from biggan_discovery.search.closed_forms import CLOSED_FORMS
from biggan_discovery.search.joint_diagonalization import EXACT_DIMENSIONS, SKETCHES
from biggan_discovery.search.precision import AUTO, PRECISIONS

SEARCHED = ("hessian", "orojar")
METHODS = (*SEARCHED, *CLOSED_FORMS)
ADAM, JOINT_DIAGONALIZATION = SOLVERS = ("adam", "joint-diagonalization")

_ALWAYS = ("classes", "method", "solver", "directions", "layers", "seed")
_ADAM = ("steps", "batch", "lr", "path_size", "epsilon", "probes", "orthogonalize", "init", "precision")
_USED = {
    ("hessian", ADAM): _ADAM,
    ("orojar", ADAM): _ADAM,
    ("hessian", JOINT_DIAGONALIZATION): ("samples", "sketches", "path_size", "epsilon", "init"),
    ("orojar", JOINT_DIAGONALIZATION): ("samples", "path_size", "init"),
    ("ganspace", None): ("samples", "orthogonalize"),
    ("jacobian", None): ("samples",),
}
_OF_ADAM_ALONE = ("steps", "batch", "lr", "probes", "orthogonalize", "precision")
_OROJAR = {"batch": 32, "path_size": 0.0}  # as its authors search (Wei et al. 2021)

_WHOLE = {
    "directions": (1, 10**6),
    "steps": (0, 10**9),
    "batch": (1, 10**6),
    "probes": (2, 10**6),
    "samples": (1, 10**9),
    "sketches": (0, 10**6),
}
_POSITIVE = ("lr", "path_size", "epsilon")


def run_settings(generator: FrozenGenerator, **asked: Any) -> dict[str, Any]:
    """All that decides the result of a run, JSON-able; two runs with equal settings are the same run.

    Args:
        generator: whose `defaults` replace settings that are None.
        asked: classes, method, solver, directions, steps, batch, lr, path_size, epsilon, probes, samples, sketches,
            orthogonalize, init, precision, layers, seed. Those that the method does not use must be None.

    Raises:
        UserError: for a value that cannot be, or one that the method does not use, naming it.
    """
    method, solver = _one_of("method", asked["method"], METHODS), asked["solver"]
    if method in SEARCHED:
        of_adam = asked["init"] == JOINT_DIAGONALIZATION or any(asked[key] is not None for key in _OF_ADAM_ALONE)
        solver = _one_of("solver", solver or (ADAM if of_adam else JOINT_DIAGONALIZATION), SOLVERS)
    elif solver is not None:
        raise UserError(f"solver is {solver!r}; {method} is computed without one")
    used = _USED.get((method, solver), ())
    for key, value in asked.items():
        if value is not None and key not in (*_ALWAYS, *used):
            names = ", ".join(used) or "none of its own"
            by = f"{method} by {solver}" if solver else method
            raise UserError(f"{key} is {value!r}, but {by} does not use it; its settings are {names}")

    layers = str(parse_layers(asked["layers"], generator.num_layers))
    defaults = {**generator.defaults(), **_defaults(generator, method, solver, layers, asked["init"])}
    settings: dict[str, Any] = {"solver": solver} | {
        key: defaults.get(key) if value is None else value
        for key, value in asked.items()
        if key in (*_ALWAYS, *used) and key != "solver"
    }
    if settings.get("init") == JOINT_DIAGONALIZATION and solver != ADAM:
        raise UserError(f"init is {JOINT_DIAGONALIZATION!r}; that is a start for the solver {ADAM}")
    for key, known in (("orthogonalize", ORTHOGONALIZE), ("precision", (AUTO, *PRECISIONS))):
        if key in settings:
            _one_of(key, settings[key], known)
    for key, limits in _WHOLE.items():
        if key in settings:
            _check_whole(key, settings[key], *limits)
    if solver == JOINT_DIAGONALIZATION:
        _check_span(settings["init"], settings["directions"], generator.search_space(layers))
    for key in _POSITIVE:
        if key in settings:
            settings[key] = _positive(key, settings[key], or_zero=method == "orojar" and key == "path_size")
    _check_whole("seed", settings["seed"], 0, 2**63 - 1)
    return {
        "generator": generator.name,
        "generator_sha256": generator.sha256,
        "truncation": generator.truncation,
        **settings,
        "layers": layers,
    }


def _defaults(
    generator: FrozenGenerator, method: str, solver: str | None, layers: str, init: str | None
) -> dict[str, object]:
    """Defaults that are not the generator's own."""
    space = generator.search_space(layers)
    by_axes = solver == JOINT_DIAGONALIZATION
    width = span(init or "coordinates", space) if by_axes else space.stop - space.start
    defaults: dict[str, object] = {
        "directions": width,
        "init": "coordinates" if by_axes else "random",
        "orthogonalize": "qr",
        "precision": AUTO,
        "sketches": 0 if width <= EXACT_DIMENSIONS else SKETCHES,
        "samples": _samples(method, width),
    }
    if method == "orojar":
        batch = generator.defaults()["batch"]
        defaults |= {"path_size": _OROJAR["path_size"], "batch": min(int(str(batch)), _OROJAR["batch"])}
    return defaults


def _samples(method: str, width: int) -> int:
    """Latents to look at: fewer where all pixels tell of each."""
    if method == "hessian":
        return 16 if width <= EXACT_DIMENSIONS else 96
    return 20_000 if method == "ganspace" else 32


def span(init: str, space: slice) -> int:
    """Rows of the start of a joint diagonalization: all of a file's, or as many as the space has coordinates."""
    return space.stop - space.start if init in (*STARTS, JOINT_DIAGONALIZATION) else len(directions_of_start(init))


def _check_span(init: str, directions: int, space: slice) -> None:
    rows = span(init, space)
    if init in STARTS:
        check_count(directions, rows)
    elif directions > rows:
        raise UserError(f"{init} has {rows} directions; in their span there are at most as many, not {directions}")


def _one_of(key: str, value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        near = near_matches(str(value), known)
        raise UserError(f"{key} is {value!r}; it should be one of {', '.join(known)}{near}")
    return str(value)


def _check_whole(key: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UserError(f"{key} is {value!r}; it should be a whole number from {least} to {most}")


def _positive(key: str, value: object, *, or_zero: bool) -> float:
    smallest = 0 if or_zero else sys.float_info.min
    if isinstance(value, bool) or not isinstance(value, int | float) or not smallest <= value <= sys.float_info.max:
        raise UserError(f"{key} is {value!r}; it should be a positive number{' or 0' if or_zero else ''}")
    return float(value)
