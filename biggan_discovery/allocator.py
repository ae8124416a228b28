"""Memory that was freed stays with the process, so that the next step does not wait for the system to give it again."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Have glibc reuse freed blocks of up to 1 GiB instead of returning them to the system.

    A search step allocates the same blocks every time. By default each of them comes fresh from the system, page fault
    by page fault, which takes a CPU about as long as the arithmetic.

    Returns:
        Whether it was done: not where the allocator is another, or the environment has settings of its own.
    """
    if any(variable in os.environ for variable in _VARIABLES):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc; TypeError is how Windows says so
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 2**30) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
