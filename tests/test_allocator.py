from __future__ import annotations

import os
import subprocess
import sys

import pytest

from biggan_discovery import allocator

_PROGRAM = """
import os, resource, sys
import numpy as np
from biggan_discovery.allocator import keep_freed_memory
kept = keep_freed_memory() and keep_freed_memory() if sys.argv[1] == "keep" else False
for turn in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(2**21) for _ in range(4)]
    del blocks
assert "GLIBC_TUNABLES" not in os.environ
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(mode: str, **variables: str) -> tuple[bool, int]:
    """Whether memory is reported as kept, and the page faults of writing 64 MiB for the fifth time."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, mode],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    kept, faults = run.stdout.split()
    return bool(int(kept)), int(faults)


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="needs glibc")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    kept, faults = _faults("keep")
    _, faults_by_default = _faults("default")
    assert kept
    assert faults_by_default > 1000
    assert faults < faults_by_default / 20


def test_settings_of_the_environment_are_left_alone() -> None:
    kept, _ = _faults("keep", MALLOC_TRIM_THRESHOLD_="100000")
    assert not kept


def test_an_interpreter_that_cannot_be_started_again_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    allocator.keep_freed_memory.cache_clear()
    for variable in allocator._VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(allocator.os, "execv", refused)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert not allocator.keep_freed_memory()
    assert "GLIBC_TUNABLES" not in os.environ
