"""Memory: which errors mean that it ran out, how much is free, and refusing what cannot fit. Needs no torch."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.abc
import importlib.machinery
import mmap
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from biggan_discovery.allocator import kept_memory

try:
    import resource
except ImportError:  # Windows
    resource = None

_TEXTS = (
    "out of memory",
    "out_of_memory",
    "not enough memory",
    "annot allocate memory",
    "an't allocate memory",
    "failed to allocate",
    "memory allocation failed",
    "bad_alloc",
    "alloc_failed",
    "failed to map segment",
    "can't start new thread",
    "resource temporarily unavailable",
    "could not create a primitive",  # oneDNN's text for every failure; with networks that ran before, it is memory.
    "could not create a memory",
    "unable to mmap",
    "insufficient resources",
)
_CHAIN = 10  # Causes of an error that are looked at.
_ASKED = re.compile(
    r"(?:tried to allocate|unable to allocate|unable to mmap) (\d+(?:\.\d+)?) ?(bytes|[KMGTPE]iB)", re.IGNORECASE
)
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_MIB = 2**20


class OutOfMemoryError(MemoryError):
    """Memory ran out, or would. The message is one line: what was needed and what to lower. Commands exit with 1."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or an error that it was raised from, means out of memory.

    Libraries say so in many ways: PyTorch raises a plain RuntimeError on a CPU; a library that cannot be mapped is an
    ImportError; readers take a file that they cannot hold for a damaged one.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
        True
    """
    for _ in range(_CHAIN):
        if error is None:
            return False
        if _says_so(error):
            return True
        error = error.__cause__
    return False


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    if isinstance(error, AttributeError):
        return _is_half_loaded(error.obj)
    if not isinstance(error, RuntimeError | ImportError | OSError | SystemError) and not _is_foreign(error):
        return False
    text = str(error).lower()
    return any(each in text for each in _TEXTS)


def _is_half_loaded(holder: object) -> bool:
    """Whether what lacks a part is a library's, under a limit of memory: it ran out while the library was loaded."""
    if resource is None or resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return False
    name = holder.__name__ if isinstance(holder, ModuleType) else getattr(holder, "__module__", None)
    if not isinstance(holder, ModuleType | type) or not isinstance(name, str):
        return False
    return name.partition(".")[0] != __name__.partition(".")[0]


def _is_foreign(error: BaseException) -> bool:
    """Whether an error belongs to a compiled reader, whose errors pass on the system's text."""
    return type(error).__module__.partition(".")[0] in ("safetensors", "safetensors_rust", "_pickle", "pickle")


@contextlib.contextmanager
def memory_errors_pass() -> Iterator[None]:
    """Context manager or decorator that raises an `OutOfMemoryError` in place of every error that memory caused.

    Put it around readers, which take what they cannot read for damaged.

    Raises:
        OutOfMemoryError: memory is not enough.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(out_of_memory(error)) from error


def out_of_memory(error: BaseException, lower: str = "close other programs, or raise the limit") -> str:
    """One line for an error that means out of memory: how much could not be had, and what to do.

    Args:
        error: the error.
        lower: what to do.
    """
    return f"out of memory{asked(error)}; {lower}"


def asked(error: BaseException | None) -> str:
    """How much an error says that could not be had, for the middle of a message; "" if it does not say.

    Example:
        >>> asked(RuntimeError("you tried to allocate 4294967296 bytes"))
        ' (another 4 GiB could not be had)'
    """
    for _ in range(_CHAIN):
        if error is None:
            break
        if found := _ASKED.search(str(error)):
            unit = _UNITS.index(found[2] if found[2] in _UNITS else "bytes")
            return f" (another {in_units(float(found[1]) * 1024**unit)} could not be had)"
        error = error.__cause__
    return ""


def in_units(size: float) -> str:
    """A number of bytes in words.

    Example:
        >>> in_units(3 * 2**29)
        '1.5 GiB'
    """
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"


def check_room(needed: float, what: str, lower: str) -> None:
    """Refuse work that cannot fit in memory, before it begins.

    Args:
        needed: bytes that it takes at least.
        what: what takes them, such as "the matrices of 100 latents".
        lower: what to do, such as "lower --samples".

    Raises:
        OutOfMemoryError: it takes more than is free; states both.
    """
    if needed < _MIB:
        return
    free = free_memory()
    if needed > free:
        room = f"{in_units(needed)} of memory, of which {in_units(free)} are free"
        raise OutOfMemoryError(f"{what} would take at least {room}; {lower}")


def can_take(size: int) -> bool:
    """Whether this process can take so many bytes. The machine is asked once a second, the process's limit each time.

    Example:
        >>> can_take(2**20), can_take(2**60)
        (True, False)
    """
    more = size - kept_memory()
    return more <= 0 or (can_map(more) and size <= _free_now(int(time.monotonic())))


@functools.lru_cache(maxsize=1)
def _free_now(_second: int) -> int:
    return free_memory()


def free_memory() -> int:
    """Bytes that this process can still take: of the machine's memory and swap space, of its control group's limit,
    and of its own limits (`ulimit -v`), with what it has freed and kept."""
    import psutil  # Imported here, as most commands never ask.

    bounds = [psutil.virtual_memory().available + psutil.swap_memory().free]
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            bounds.append(soft - psutil.Process().memory_info().vms)
    bounds += _left_in_groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return kept_memory() + max(0, min(bounds))


def _left_in_groups(membership: Path, root: Path) -> list[int]:
    """Bytes left in each limited control group (version 2) that the process is in."""
    try:
        [group] = [line[3:] for line in membership.read_text().splitlines() if line.startswith("0::")]
    except (OSError, ValueError):
        return []
    left, folder = [], root / group.lstrip("/")
    for each in (folder, *folder.parents):
        if not each.is_relative_to(root):
            break
        with contextlib.suppress(OSError, ValueError):
            limit = int((each / "memory.max").read_text())  # "max" where there is none.
            used = int((each / "memory.current").read_text())
            cache = re.search(r"^inactive_file (\d+)$", (each / "memory.stat").read_text(), re.MULTILINE)
            left.append(limit - used + (int(cache[1]) if cache else 0))
    return left


class RoomForLibraries(importlib.abc.MetaPathFinder):
    """Refuses to import large compiled libraries that cannot be mapped; half-loaded, some of them end the process."""

    _OWN: ClassVar = {"torch": 208 * _MIB, "scipy": 64 * _MIB, "sklearn": 96 * _MIB, "matplotlib": 64 * _MIB}
    """Address space that they, and what is imported soon after, take beside the files of torch."""

    @classmethod
    def install(cls) -> None:
        """Look before every import from now on."""
        if not any(isinstance(each, cls) for each in sys.meta_path):
            sys.meta_path.insert(0, cls())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find nothing.

        Raises:
            OutOfMemoryError: there is no room for the library.
        """
        if fullname in self._OWN:
            needed = self._OWN[fullname] + _libraries(fullname)
            if not can_map(needed):
                raise OutOfMemoryError(
                    f"out of memory: loading {fullname} takes {in_units(needed)} of address space, which this process "
                    "is not allowed; raise the limit (ulimit -v)"
                )
        return None


def _libraries(package: str) -> int:
    """Bytes of the shared libraries that a package loads when it is imported."""
    spec = importlib.machinery.PathFinder.find_spec(package)
    places = list(spec.submodule_search_locations or []) if spec else []
    files = (each for place in places for each in Path(place, "lib").glob("*") if re.search(r"\.(so|dylib)", each.name))
    return sum(each.stat().st_size for each in files)


def can_map(size: int) -> bool:
    """Whether this process may map so many bytes. They are only mapped for reading, so that none is committed."""
    if sys.platform == "win32":
        return True
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ).close()
    except (OSError, MemoryError, ValueError):
        return False
    return True
