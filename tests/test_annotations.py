"""Shapes in annotations mean something, and they are checked."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jaxtyping
import pytest
import torch

import biggan_discovery
from biggan_discovery import jacobian, orthonormalize
from biggan_discovery.directions import pad
from biggan_discovery.errors import UserError
from biggan_discovery.numerics.eigenvectors import fixed_signs
from biggan_discovery.objectives.samples import Samples


def _annotated() -> list[str]:
    names = [each.name for each in pkgutil.walk_packages(biggan_discovery.__path__, "biggan_discovery.")]
    sources = {name: importlib.util.find_spec(name).loader.get_source(name) for name in names}
    return [name for name, source in sources.items() if "from jaxtyping import" in source]


def _functions(space: Any, module: ModuleType) -> Iterator[Callable[..., Any]]:
    for value in vars(space).values():
        value = value.fget if isinstance(value, property) else value
        if getattr(value, "__module__", None) == module.__name__:
            if inspect.isclass(value):
                yield from _functions(value, module)
            elif inspect.isfunction(value):
                yield value


@pytest.mark.parametrize("name", _annotated())
def test_annotations_can_be_evaluated(name: str) -> None:
    """The hook checks nothing where an annotation cannot be evaluated, such as one with a mistake in its shape."""
    module = importlib.import_module(name)
    shapes = [
        text
        for function in _functions(module, module)
        for text in function.__annotations__.values()
        if isinstance(text, str) and "[Tensor, " in text
    ]
    assert shapes
    for text in shapes:
        eval(text, {**vars(module), "Tensor": torch.Tensor})


def test_wrong_arguments_are_reported() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match=r"space\.pad"):
        pad(torch.ones(4), slice(2, 6), 8)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"Samples\.__init__"):
        Samples(torch.ones(3, 8), torch.zeros(3).long(), torch.ones(3, 2), torch.ones(3, 2, 2))


def test_wrong_results_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "sign", lambda values: values[None])
    with pytest.raises(jaxtyping.TypeCheckError, match=r"return value of .*fixed_signs"):
        fixed_signs(torch.ones(3, 2))


def test_functions_that_start_without_torch_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biggan_discovery.search.methods.jacobian._of_mean", lambda *_: None)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"return value of .*jacobian"):
        jacobian(torch.sin, torch.ones(1, 2))


def test_a_function_raises_its_own_errors() -> None:
    with pytest.raises(UserError, match="expected a floating-point matrix"):
        orthonormalize(torch.ones(3))
