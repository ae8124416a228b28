"""`biggan-discovery classes`: list the classes of a generator."""

from __future__ import annotations

import click

from biggan_discovery import output
from biggan_discovery.cli.options import Grouped

_EXAMPLES = """
\b
Examples:
  COMMAND
  COMMAND retriever
  COMMAND --generator biggan-deep-256
"""


@click.command("classes", cls=Grouped, epilog=_EXAMPLES)
@click.argument("query", required=False)
@click.option(
    "--generator",
    metavar="NAME|PATH|CODE",
    help="Name, path, or Python code (my_gan.py:G).  [default: the bundled one; with QUERY, ImageNet's too]",
)
def classes_command(query: str | None, generator: str | None) -> None:
    """List the classes of a generator, by index and name.

    With QUERY, list only classes whose name contains it, ignoring case, spaces, underscores and hyphens. ImageNet
    classes are listed with, and also found by, WordNet id.
    """
    from biggan_discovery.errors import UserError, near_matches
    from biggan_discovery.generators import catalogue
    from biggan_discovery.generators.classes import describe_class, filter_classes, imagenet_names

    if generator is not None or query is None:
        groups = dict([catalogue.class_names(generator or catalogue.DEFAULT)])
    else:
        groups = {"ImageNet (biggan-deep-128, -256, -512, brock-128)": imagenet_names()}
        bundled = next(iter(catalogue.list_generators()))
        if not bundled.problem:
            groups = dict([catalogue.class_names(bundled.name)]) | groups
    found = {title: filter_classes(names, query or "") for title, names in groups.items()}
    if not any(found.values()):
        known = [name for names in groups.values() for name in names]
        raise UserError(f"no class of {' or '.join(groups)} contains {query!r}{near_matches(query or '', known)}")
    for title, indices in found.items():
        width = len(str(len(groups[title]) - 1))
        if indices and len(groups) > 1:
            output.result(f"{title}:")
        for index in indices:
            output.result(f"{index:>{width}}  {describe_class(groups[title], index)}")
