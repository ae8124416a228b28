"""`biggan-discovery generators`: what there is."""

from __future__ import annotations

import click


@click.command("generators")
def generators_command() -> None:
    """List the generators that --generator knows by name, what is here of them, and where.

    They lie in the folder checkpoints/ of the clone (in the user's cache where the package is installed without its
    clone), or where the environment variable BIGGAN_DISCOVERY_CHECKPOINTS says. Those that are not here yet are
    downloaded when they are first used; brock-128 needs `pip install 'biggan-discovery[download]'` for that. Files in
    the cache of the package pytorch-pretrained-biggan are used where they lie.

    --generator takes any other folder too, with a config.json and a pytorch_model.bin (or model.safetensors) as that
    package has them, and a .pth file of BigGAN-PyTorch, or a folder or zip with one.
    """
    from biggan_discovery.generators.catalogue import list_generators
    from biggan_discovery.generators.download import readable_size

    rows = [["NAME", "PIXELS", "Z_DIM", "CLASSES", "SIZE", "STATE", "FOLDER"]]
    for entry in list_generators():
        size = readable_size(entry.size) if entry.size else "-"
        figures = map(str, entry.figures or "---")
        rows.append([entry.name, *figures, size, entry.problem or "present", str(entry.folder)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    click.echo("\n".join(lines))
