from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch

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
