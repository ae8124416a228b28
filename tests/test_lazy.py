"""Public names are what they say, whichever of name and submodule is imported first."""

from __future__ import annotations

import subprocess
import sys

import pytest

FIRST = [
    "from biggan_discovery.search import discover",
    "from biggan_discovery import discover",
    "import biggan_discovery.search.discover",
    "from biggan_discovery.search.discover import discover",
    "import biggan_discovery.objectives.orojar, biggan_discovery.objectives.hessian_penalty",
]
THEN = (
    "from biggan_discovery import discover, orojar; from biggan_discovery.search import discover as again; "
    "from biggan_discovery.objectives import hessian_penalty; import types; "
    "assert not any(isinstance(each, types.ModuleType) for each in (discover, again, orojar, hessian_penalty))"
)


@pytest.mark.parametrize("first", FIRST)
def test_a_public_name_is_no_module_of_the_same_name(first: str) -> None:
    assert subprocess.run([sys.executable, "-c", f"{first}\n{THEN}"]).returncode == 0
