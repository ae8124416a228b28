"""How the annotations of the package are checked in the test run; `conftest.py` puts this around its functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype

MODULES = [
    f"biggan_discovery.{name}"
    for name in (
        "directions",
        "evaluation.effects",
        "evaluation.metrics",
        "evaluation.ranges",
        "evaluation.samples",
        "evaluation.suggestions",
        "generators.base",
        "generators.class_space",
        "generators.batching",
        "generators.function",
        "generators.labels",
        "generators.priors",
        "numerics",
        "objectives",
        "rendering.motion",
        "rendering.paths",
        "rendering.reconstruction",
        "search.evidence",
        "search.growth",
        "search.inversion",
        "search.inverting",
        "search.methods",
        "search.unseen",
    )
]
"""All modules with shapes in their annotations lie in these; `test_annotations.py` holds them to it."""

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # An int is a valid float.


def check_on_return(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check arguments and result of functions with shapes in their annotations, after the function has returned.

    jaxtyping asks for two checks of each function: of its arguments before the call, and of its arguments and its
    result, which it passes as "ret0", after the call. The first is left out. A function that is called with a wrong
    shape then either raises its own error, such as a `UserError`, or fails the check when it returns.
    """
    annotations = function.__annotations__.values()
    if "ret0" in inspect.signature(function).parameters and any(map(_has_shape, annotations)):
        return _beartype(function)
    return function


def _has_shape(annotation: Any) -> bool:
    if inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    return any(map(_has_shape, get_args(annotation)))
