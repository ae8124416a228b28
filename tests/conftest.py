from __future__ import annotations

import builtins
import os
import warnings
from pathlib import Path
from unittest import mock

import jaxtyping
import pytest
import torch

import tests.typechecker  # noqa: F401 - imported by the hook by its name

# The shapes in annotations are checked in the test run only, in everything that is imported from here on; users pay
# nothing. Annotations say what is right, also for what users pass: a function that refuses wrong input by a `UserError`
# is seen to do so, because arguments are checked when it returns.
jaxtyping.install_import_hook("biggan_discovery", "tests.typechecker.check_on_return")

# These start without torch and name Tensor for static type checkers only; the hook has to find it while they load.
with mock.patch.object(builtins, "Tensor", torch.Tensor, create=True):
    import biggan_discovery.search.methods.ganspace
    import biggan_discovery.search.methods.jacobian
    import biggan_discovery.search.methods.sefa  # noqa: F401

torch.set_num_threads(1)

# Without a GPU, Triton's kernels are tested in its interpreter. Triton reads this when it is first imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# torch loads this at the first forward-mode derivative of a process, and it uses what torch itself calls deprecated.
# Loaded here, no test's outcome depends on which ran before it.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    import torch._decomp.decompositions_for_jvp


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """Outputs of reference implementations, in a folder beside the clone."""
    folder = Path(__file__).parents[2] / "shared" / "fixtures"
    if not folder.is_dir():
        pytest.skip(f"the reference fixtures are not at {folder}")
    return folder
