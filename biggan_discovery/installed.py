"""One line, instead of a traceback, for a Python without the packages that this one needs. Imports none of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from biggan_discovery.output import tolerant


@contextlib.contextmanager
def packages_required() -> Iterator[None]:
    """Context manager: a package that is missing ends the process with one line that says what to do, and code 2.

    Example:
        >>> with packages_required():
        ...     from biggan_discovery.cli.group import cli
    """
    try:
        yield
    except ModuleNotFoundError as error:
        tolerant(sys.stderr).line(
            f"error: {sys.executable} has no package {error.name!r}; in the clone run `make demo` once, then `source "
            ".venv/bin/activate`, or install it with `pip install .`"
        )
        raise SystemExit(2) from error
