"""`python visualize.py` is the same as `biggan-discovery visualize`."""

import sys

from biggan_discovery.cli import start

if __name__ == "__main__":
    start("visualize", f"python {sys.argv[0]}")
