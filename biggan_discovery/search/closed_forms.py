"""Methods that compute directions instead of searching for them, by name."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from biggan_discovery.directions import initial_matrix
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.search.closed_form import ClosedForm
from biggan_discovery.search.ganspace import ganspace_directions
from biggan_discovery.search.jacobian import jacobian_directions
from biggan_discovery.search.run_folder import State
from biggan_discovery.search.sefa import sefa_directions
from biggan_discovery.search.session import Session

CLOSED_FORMS = ("sefa", "ganspace", "jacobian", "random", "coordinates")


def fresh_state(settings: dict[str, Any], _: Tensor) -> State:
    """Nothing but the settings, so that a folder is known to hold this run."""
    return State(settings, {}, (), 0)


def search(_: FrozenGenerator, state: State, session: Session) -> None:
    """Nothing to search."""
    session.begin(state)


def result(generator: FrozenGenerator, state: State, *, quiet: bool) -> ClosedForm:
    """The directions of a method that needs no search."""
    settings = state.settings
    ndirs, layers, seed = settings["directions"], settings["layers"], settings["seed"]
    match settings["method"]:
        case "sefa":
            return sefa_directions(generator, ndirs, layers=layers)
        case "ganspace":
            return ganspace_directions(
                generator, ndirs, layers=layers, seed=seed, samples=settings["samples"], quiet=quiet
            )
        case "jacobian":
            return jacobian_directions(
                generator,
                ndirs,
                classes=settings["classes"],
                layers=layers,
                seed=seed,
                samples=settings["samples"],
                quiet=quiet,
            )
        case start:
            space = generator.search_space(layers)
            return ClosedForm(initial_matrix(start, ndirs, generator.z_dim, seed, space), {}, 0)
