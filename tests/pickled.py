"""Objects whose pickles call a function when they are read, to show that readers never do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Call:
    """Unpickling this calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any):
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments
