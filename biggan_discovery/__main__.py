"""`python -m biggan_discovery` is the same as the console script."""

import sys

from biggan_discovery.cli import start
from biggan_discovery.installed import as_typed

start(None, f"{as_typed(sys.executable)} -m biggan_discovery")
