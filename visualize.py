"""`python visualize.py` is the same as `biggan-discovery visualize`."""

import sys

from biggan_discovery.cli import run
from biggan_discovery.cli.visualize import visualize_command

if __name__ == "__main__":
    run(visualize_command, f"python {sys.argv[0]}")
