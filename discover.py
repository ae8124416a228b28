"""`python discover.py` is the same as `biggan-discovery discover`."""

import sys

from biggan_discovery.cli import start

if __name__ == "__main__":
    start("discover", f"python {sys.argv[0]}")
