"""The settings of a run: what was asked for, filled up with the generator's defaults, checked."""

from __future__ import annotations

import sys
from typing import Any

from biggan_discovery.directions.orthonormalize import METHODS as ORTHOGONALIZE
from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layers import parse_layers

METHODS = ("hessian",)
COLUMNS = ("penalty", "lr")  # of the history, after the step

_WHOLE = {"directions": (1, 10**6), "steps": (0, 10**9), "batch": (1, 10**6), "probes": (2, 10**6)}
_POSITIVE = ("lr", "path_size", "epsilon")


def run_settings(generator: FrozenGenerator, **asked: Any) -> dict[str, Any]:
    """All that decides the result of a run, JSON-able; two runs with equal settings are the same run.

    Args:
        generator: whose `defaults` replace settings that are None.
        asked: classes, method, directions, steps, batch, lr, path_size, epsilon, probes, orthogonalize, init, layers,
            seed.

    Raises:
        UserError: for a value that cannot be, naming it.
    """
    layers = parse_layers(asked["layers"], generator.num_layers).text
    space = generator.search_space(layers)
    defaults = {**generator.defaults(), "directions": space.stop - space.start}
    settings = {key: defaults.get(key) if value is None else value for key, value in asked.items()}
    for key, known in (("method", METHODS), ("orthogonalize", ORTHOGONALIZE)):
        if settings[key] not in known:
            near = near_matches(str(settings[key]), known)
            raise UserError(f"{key} is {settings[key]!r}; it should be one of {', '.join(known)}{near}")
    for key, (least, most) in _WHOLE.items():
        value = settings[key]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise UserError(f"{key} is {value!r}; it should be a whole number from {least} to {most}")
    for key in _POSITIVE:
        value = settings[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
            raise UserError(f"{key} is {value!r}; it should be a positive number")
        settings[key] = float(value)
    seed = settings["seed"]
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise UserError(f"seed is {seed!r}; it should be a whole number from 0 to 2^63 - 1")
    return {
        "generator": generator.name,
        "generator_sha256": generator.sha256,
        "truncation": generator.truncation,
        **settings,
        "layers": layers,
    }
