from __future__ import annotations

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """Outputs of reference implementations, beside the clone."""
    folder = Path(__file__).parents[2] / "shared" / "fixtures"
    if not folder.is_dir():
        pytest.skip(f"the reference fixtures are not at {folder}")
    return folder
