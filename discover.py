"""`python discover.py` is the same as `biggan-discovery discover`."""

import sys

from biggan_discovery.cli import run
from biggan_discovery.cli.discover import discover_command

if __name__ == "__main__":
    run(discover_command, f"python {sys.argv[0]}")
