"""How this was installed and started: packages that are missing, and what to call a program. Imports no packages."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterator

from biggan_discovery.output import tolerant


@contextlib.contextmanager
def packages_required() -> Iterator[None]:
    """Context manager: a package that is missing ends the process with one line that says what to do, and code 2.

    Too little memory for the first imports ends it with one line and code 1.

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
    except (MemoryError, ImportError, OSError) as error:  # A folder of modules that cannot be listed is an OSError.
        if isinstance(error, ImportError) and "map segment" not in str(error):
            raise
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise
        tolerant(sys.stderr).line("error: out of memory while loading; raise the limit (ulimit -v)")
        raise SystemExit(1) from error


def version() -> str:
    """The version that is installed; empty where this runs from a clone and is not."""
    import importlib.metadata

    try:
        return importlib.metadata.version("biggan-discovery")
    except importlib.metadata.PackageNotFoundError:
        return ""


def as_typed(program: str) -> str:
    """What a user types here for a program: its name if the shell finds it by that, else its path.

    Example:
        >>> as_typed("/usr/bin/env"), as_typed(".venv/bin/python")
        ('env', '.venv/bin/python')
    """
    path = os.path.abspath(program)  # noqa: PTH100  The Python of an environment is a link, and is not resolved.
    found = shutil.which(os.path.basename(path))  # noqa: PTH119
    if found is not None and os.path.abspath(found) == path:  # noqa: PTH100
        return os.path.basename(path)  # noqa: PTH119
    relative = os.path.relpath(path) if os.name == "posix" else ".."  # Drives differ on Windows.
    return path if relative.startswith("..") else relative
