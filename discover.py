"""`python discover.py` is the same as `biggan-discovery discover`."""

import sys

from biggan_discovery.installed import packages_required

if __name__ == "__main__":
    with packages_required():
        from biggan_discovery.cli import run
        from biggan_discovery.cli.discover import discover_command

        run(discover_command, f"python {sys.argv[0]}")
