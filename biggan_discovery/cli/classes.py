"""`biggan-discovery classes`: the classes of a generator."""

from __future__ import annotations

import click

from biggan_discovery.cli.options import generator_option


@click.command("classes")
@click.argument("query", required=False)
@generator_option
def classes_command(query: str | None, generator: str) -> None:
    """List the classes of a generator: index and name.

    With QUERY only those whose name contains it; case, spaces, underscores and hyphens do not matter.

    \b
    Examples:
      biggan-discovery classes
      biggan-discovery classes retriever --generator checkpoints/biggan-deep-128
    """
    from biggan_discovery.errors import UserError, near_matches
    from biggan_discovery.generators import brock_files, layout, load_generator
    from biggan_discovery.generators.catalogue import find_folder
    from biggan_discovery.generators.classes import filter_classes

    name, folder = find_folder(generator)
    if brock_files.is_checkpoint(folder):  # Only its weights tell how many classes there are.
        names = load_generator(generator, device="cpu").class_names
    else:
        names = layout.read_class_names(folder, layout.read_config(folder).num_classes)
    found = filter_classes(names, query or "")
    if not found:
        raise UserError(f"no class of {name} contains {query!r}{near_matches(query or '', names)}")
    width = len(str(len(names) - 1))
    click.echo("\n".join(f"{index:>{width}}  {names[index]}" for index in found))
