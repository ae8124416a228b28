"""`python -m biggan_discovery` is the same as the console script."""

from biggan_discovery.installed import packages_required

with packages_required():
    from biggan_discovery.cli import cli, run

    run(cli, "python -m biggan_discovery")
