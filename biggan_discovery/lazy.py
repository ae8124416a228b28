"""Public names that are imported when they are first used, so that the command line starts without loading torch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """A package whose public names are not hidden by submodules of the same name, whichever is imported first."""

    _homes: Mapping[str, str]

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system sets every submodule that it imports as an attribute of its package.
        if not (isinstance(value, ModuleType) and name in self._homes):
            super().__setattr__(name, value)


def attach(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__`.

    Args:
        package: its `__name__`.
        homes: for each public name the module of the package that has it.
    """
    module = sys.modules[package]
    module.__class__ = _Package
    module._homes = homes  # pyright: ignore[reportAttributeAccessIssue]

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return find
