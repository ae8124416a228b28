"""`python visualize.py` is the same as `biggan-discovery visualize`."""

import sys

from biggan_discovery.installed import packages_required

if __name__ == "__main__":
    with packages_required():
        from biggan_discovery.cli import run
        from biggan_discovery.cli.visualize import visualize_command

        run(visualize_command, f"python {sys.argv[0]}")
