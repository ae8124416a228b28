"""`biggan-discovery classes`: lists the classes of a generator."""

from __future__ import annotations

import click


@click.command("classes")
@click.argument("query", required=False)
@click.option(
    "--generator",
    metavar="NAME|PATH|CODE",
    help="Name, path or Python code of a generator.  [default: the bundled one, and with QUERY ImageNet's classes too]",
)
def classes_command(query: str | None, generator: str | None) -> None:
    """List the classes of a generator: index and name; for ImageNet also WordNet id and all names.

    With QUERY, list the classes whose name contains it; case, spaces, underscores and hyphens do not matter. ImageNet
    classes are also found by index and WordNet id.

    \b
    Examples:
      biggan-discovery classes
      biggan-discovery classes retriever
      biggan-discovery classes --generator biggan-deep-256
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
            click.echo(f"{title}:")
        for index in indices:
            click.echo(f"{index:>{width}}  {describe_class(groups[title], index)}")
