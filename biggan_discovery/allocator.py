"""Memory that was freed stays with the process, so that the next step does not wait for the system to give it again."""

from __future__ import annotations

import os
import sys

_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
TUNABLES = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {
        # A search step allocates the same blocks every time. By default each of them comes fresh from the system, page
        # fault by page fault, which takes a CPU about as long as the arithmetic.
        "mmap_threshold": 2**30,
        "trim_threshold": 2**31 - 1,
        # torch's blocks are aligned, and glibc before 2.38 finds room for such a block only in one a little larger. The
        # slivers cut off at its ends have to join it again when it is freed, and not wait in caches of small blocks.
        "tcache_count": 0,
        "mxfast": 0,
    }.items()
)
"""What `keep_freed_memory` sets, for GLIBC_TUNABLES."""


def keep_freed_memory() -> bool:
    """Have glibc reuse freed blocks of up to 1 GiB instead of returning them to the system.

    glibc reads most of these settings when a process starts, so this process starts anew, by the command that it was
    started with; call it first. Processes that it starts in turn do not inherit the settings.

    Returns:
        Whether it is done: not where the allocator is another, the environment has settings of its own, or torch is
        loaded already, as then the process has other work than a command.
    """
    if os.environ.get("GLIBC_TUNABLES") == TUNABLES:
        del os.environ["GLIBC_TUNABLES"]
        return True
    if not any(variable in os.environ for variable in _VARIABLES) and "torch" not in sys.modules and _has_glibc():
        os.environ["GLIBC_TUNABLES"] = TUNABLES
        os.execv(sys.executable, sys.orig_argv)
    return False


def _has_glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError, OSError):
        return False
