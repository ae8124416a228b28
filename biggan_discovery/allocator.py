"""Keep freed memory in the process, so that the next step does not wait for the system to allocate it again."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from typing import Any

_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
TUNABLES = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {
        # Every search step allocates the same blocks. By default, the system maps each of them again, and the page
        # faults take a CPU about as long as the arithmetic.
        "mmap_threshold": 2**30,
        "trim_threshold": 2**31 - 1,
        # torch's blocks are aligned, and glibc before 2.38 places an aligned block only in a slightly larger one. The
        # slivers cut off at its ends must be merged with it again when it is freed instead of entering the caches of
        # small blocks.
        "tcache_count": 0,
        "mxfast": 0,
    }.items()
)
"""Value of GLIBC_TUNABLES that `keep_freed_memory` sets."""


@functools.cache  # A second call would restart the process again.
def keep_freed_memory() -> bool:
    """Make glibc reuse freed blocks of up to 1 GiB instead of returning them to the system.

    glibc reads most of these settings when a process starts, so this function restarts the process with the same
    command line; call it first. Child processes do not inherit the settings.

    Returns:
        Whether the settings are active. They are not if the allocator is not glibc's, the environment already
        configures it, or torch is already loaded, in which case the process does more than run a command.
    """
    if os.environ.get("GLIBC_TUNABLES") == TUNABLES:
        del os.environ["GLIBC_TUNABLES"]
        return True
    if not any(variable in os.environ for variable in _VARIABLES) and "torch" not in sys.modules and _has_glibc():
        os.environ["GLIBC_TUNABLES"] = TUNABLES
        with contextlib.suppress(OSError):  # The interpreter may be out of reach for the user that it runs as.
            os.execv(sys.executable, sys.orig_argv)
        del os.environ["GLIBC_TUNABLES"]
    return False


_MALLINFO2 = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


def kept_memory() -> int:
    """Bytes that were freed and are kept in the process, where glibc (2.33 or newer) says so; else 0."""
    statistics = _mallinfo2()
    return statistics().fordblks if statistics else 0


@functools.cache
def _mallinfo2() -> Any:
    """The function of that name in glibc; None if there is none."""
    import ctypes  # Imported here, as most commands never ask.

    if not _has_glibc() or not hasattr(ctypes.CDLL(None), "mallinfo2"):
        return None
    function = ctypes.CDLL(None).mallinfo2
    fields = [(name, ctypes.c_size_t) for name in _MALLINFO2]
    function.restype = type("mallinfo2", (ctypes.Structure,), {"_fields_": fields})
    return function


def _has_glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError, OSError):
        return False
