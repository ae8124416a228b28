"""How the annotations of the package are checked in the test run; `conftest.py` puts this around its functions."""

from __future__ import annotations

import builtins
import functools
import inspect
import re
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
        "evaluation.regional_edits",
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
        "rendering.calibration",
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

_CALLS = 20  # of each function in each test; more of them, in the inner loops of solvers, would take half of the time
_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # An int is a valid float.
_jaxtyped = jaxtyping.jaxtyped
_test = 0


def install() -> None:
    """Check the modules that are imported from now on."""
    jaxtyping.jaxtyped = lambda *, typechecker: functools.partial(_checked_at_first, typechecker=typechecker)
    jaxtyping.install_import_hook(MODULES, "tests.typechecker.check_on_return")


def begin_test() -> None:
    """Check the first calls of every function again."""
    global _test
    _test += 1


def _checked_at_first(function: Any, *, typechecker: Any) -> Any:
    """What jaxtyping puts around a function or class, for the first calls in each test."""
    if not inspect.isfunction(function):
        return _jaxtyped(function, typechecker=typechecker)
    if not _mentions_shape(function):
        return function
    checked = _jaxtyped(function, typechecker=typechecker)
    test, calls = -1, 0

    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> Any:
        nonlocal test, calls
        test, calls = _test, calls + 1 if test == _test else 1
        return (checked if calls <= _CALLS else function)(*args, **options)

    return wrapped


def _mentions_shape(function: Callable[..., Any]) -> bool:
    """Whether an annotation, which is text yet, has a type of jaxtyping in it, or another name of one."""
    words = re.findall(r"[A-Za-z_]\w*", " ".join(map(str, function.__annotations__.values())))
    named = (function.__globals__.get(word, getattr(builtins, word, None)) for word in words)
    return any(
        (inspect.isclass(each) and issubclass(each, jaxtyping.AbstractDtype)) or _has_shape(each) for each in named
    )


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
