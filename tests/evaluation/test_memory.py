"""The Hessian of many directions at many pixels is streamed."""

from __future__ import annotations

import subprocess
import sys

import pytest

# 120 directions at 128 pixels, as in Brock's BigGAN, of a generator that costs next to nothing. All second differences
# of a sample together would be 0.2 GiB here, and 1.3 GiB with all pairs.
JUDGE = """
import resource, torch
from biggan_discovery.evaluation import diagonalness
from biggan_discovery.generators import FunctionGenerator
torch.set_num_threads(1)
inwards, outwards = torch.randn(120, 16), torch.randn(16, 3 * 128 * 128)
generator = FunctionGenerator(lambda z: ((z @ inwards).sin() @ outwards).view(-1, 3, 128, 128), z_dim=120)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
diagonalness(generator, torch.eye(120), samples=2, pairs=1000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is in other units elsewhere")
def test_second_differences_are_not_kept() -> None:
    grown = subprocess.run([sys.executable, "-c", JUDGE], capture_output=True, text=True, check=True).stdout
    assert int(grown) * 1024 < 0.25 * 2**30
