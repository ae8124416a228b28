"""`python -m biggan_discovery` is the same as the console script."""

from biggan_discovery.cli import start

start(None, "python -m biggan_discovery")
