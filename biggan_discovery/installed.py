"""One line, instead of a traceback, for a Python without the packages that this one needs. Imports none of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def packages_required() -> Iterator[None]:
    """Context manager: a package that is missing ends the process with one line that says what to do, and code 2.

    Example:
        >>> with packages_required():
        ...     from biggan_discovery.cli import cli
    """
    try:
        yield
    except ModuleNotFoundError as error:
        print(
            f"error: {sys.executable} has no package {error.name!r}; in the clone run `make demo` once, then `source "
            ".venv/bin/activate`, or install it with `pip install .`",
            file=sys.stderr,
        )
        raise SystemExit(2) from error
