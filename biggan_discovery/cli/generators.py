"""`biggan-discovery generators`: what there is."""

from __future__ import annotations

import click


@click.command("generators")
def generators_command() -> None:
    """List the generators that --generator knows by name.

    They lie in the folder checkpoints/ of the clone, or where the environment variable BIGGAN_DISCOVERY_CHECKPOINTS
    says. --generator takes any other folder too, with a config.json and a pytorch_model.bin as the package
    pytorch-pretrained-biggan has them.
    """
    from biggan_discovery.generators.catalogue import list_generators

    rows = [["NAME", "PIXELS", "Z_DIM", "CLASSES", "STATE", "FOLDER"]]
    for entry in list_generators():
        config = entry.config
        figures = ["-"] * 3 if config is None else [config.resolution, config.z_dim, config.num_classes]
        rows.append([entry.name, *map(str, figures), entry.problem or "present", str(entry.folder)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    click.echo("\n".join(lines))
