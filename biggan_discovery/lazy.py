"""Lazy import of public names, so that the command line starts without loading torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def attach(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package that imports public names on first use.

    Args:
        package: `__name__` of the package.
        homes: the submodule that defines each public name.

    Example:
        >>> attach("biggan_discovery", {"UserError": "errors"})("UserError")
        <class 'biggan_discovery.errors.UserError'>
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return find
