"""`biggan-discovery generators`: lists generators."""

from __future__ import annotations

import click


@click.command("generators")
def generators_command() -> None:
    """List the generators that --generator takes by name.

    They are in the folder checkpoints/ of the clone (without a clone, in the user's cache), or in the folder that the
    environment variable BIGGAN_DISCOVERY_CHECKPOINTS names. Missing ones are downloaded at first use; brock-128 needs
    `pip install 'biggan-discovery[download]'` for that. Files in the cache of the package pytorch-pretrained-biggan
    are linked.

    --generator also takes a path: a folder with config.json and pytorch_model.bin (or model.safetensors) in the layout
    of that package; a .pth file of BigGAN-PyTorch, or a folder or zip with one.

    And it takes your own network, as my_gan.py:G or package.module:G. G is a function or module from latents to
    images with an attribute z_dim, a FrozenGenerator such as FunctionGenerator(my_gan, z_dim=128), or a class or
    function without arguments that makes one of these. The code is run. Commands that read directions files run such
    code only if you give --generator yourself.
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
