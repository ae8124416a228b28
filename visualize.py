"""`python visualize.py` is the same as `biggan-discovery visualize`."""

import sys

from biggan_discovery.cli import start
from biggan_discovery.installed import as_typed

if __name__ == "__main__":
    start("visualize", f"{as_typed(sys.executable)} {sys.argv[0]}")
