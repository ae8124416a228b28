"""`biggan-discovery generators`: list generators."""

from __future__ import annotations

import click

from biggan_discovery import output


@click.command("generators")
def generators_command() -> None:
    """List the generators that --generator accepts by name.

    The scenes are bundled with this tool. Others are downloaded on first use, to checkpoints/ in a clone, the user's
    cache otherwise, or the folder that the environment variable BIGGAN_DISCOVERY_CHECKPOINTS names. brock-128 needs
    gdown (`pip install gdown`). Files in the cache of pytorch-pretrained-biggan are linked.

    --generator also accepts a path: a folder in the layout of pytorch-pretrained-biggan (config.json and
    pytorch_model.bin or model.safetensors), or a .pth file of BigGAN-PyTorch, or a folder or zip with one.

    It also accepts an address on the Hugging Face Hub: hf://user/repo with such a folder, or hf://user/repo/G_ema.pth.

    It also accepts your own network as Python code, my_gan.py:G or package.module:G. G is a function or module that
    maps latents to images and has an attribute z_dim, a FrozenGenerator such as FunctionGenerator(my_gan, z_dim=128),
    or a class or function without arguments that returns one of these. The code is executed. Code named in a directions
    file is executed only if you pass --generator yourself.
    """
    from biggan_discovery.generators.catalogue import list_generators
    from biggan_discovery.generators.transfer import readable_size

    rows = [["NAME", "PIXELS", "Z_DIM", "CLASSES", "SIZE", "STATE", "FOLDER"]]
    for entry in list_generators():
        size = readable_size(entry.size) if entry.size else "-"
        figures = map(str, entry.figures or "---")
        rows.append([entry.name, *figures, size, entry.problem or "present", str(entry.folder)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        output.result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
