"""`biggan-discovery invert`: the latent and class of a photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery import output
from biggan_discovery.cli.options import (
    FiniteRange,
    Grouped,
    IntRange,
    class_text_option,
    generator_option,
    group,
    loading_options,
    picture_option,
    quiet_option,
    scale_option,
    seed_option,
    typed_command,
)

_EXAMPLES = """
\b
Examples:
  COMMAND photo.jpg --generator biggan-deep-128 --class "golden retriever"
  COMMAND photo.jpg --out inverted.png --save-latents inverted.npz
      then: biggan-discovery edit scenes-64 --latents inverted.npz --set "floor hue=2" --out edited.mp4
  COMMAND photo.jpg --class "cone:0.7, torus:0.3"
"""


@click.command("invert", cls=Grouped, epilog=_EXAMPLES)
@click.argument("image", type=click.Path())
@group(
    "What to fit",
    generator_option,
    class_text_option,
    seed_option,
)
@group(
    "How to fit",
    click.option("--starts", type=IntRange(1, 128), default=4, show_default=True, help="Latents to start from."),
    click.option("--steps", type=IntRange(1), default=100, show_default=True, help="Steps of each round at most."),
    click.option(
        "--lpips", type=FiniteRange(0), default=0.0, show_default=True, help="Weight of LPIPS; that of pixels is 1."
    ),
)
@group(
    "Output",
    picture_option("inverted.png", "Photo, nearest image and difference (.png)."),
    click.option(
        "--save-latents",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Latent and class (.npz, .npy, .pt, .csv, .json, .pth, or a folder).  [default: --out with .npz]",
    ),
    scale_option,
    quiet_option,
)
@loading_options("1")
def invert_command(
    image: str,
    generator: str,
    out: Path,
    save_latents: Path | None,
    truncation: float | None,
    device: str,
    offline: bool | None,
    mirror: str | None,
    **options: Any,
) -> None:
    """Find the latent and class whose image is nearest to a photo.

    IMAGE is a picture of any size; its largest central square is resized. Without --class, the class is found too, as
    weights of classes where none is clear. `edit`, `visualize` and `walk` take the latent as --latents.
    """
    from biggan_discovery.generators import load_generator
    from biggan_discovery.search.inverting import check_paths, invert

    latents = out.with_suffix(".npz") if save_latents is None else save_latents
    check_paths(image, out, latents)
    network = load_generator(generator, truncation=truncation, device=device, offline=offline, mirror=mirror)
    invert(
        network,
        image,
        out=out,
        save_latents=latents,
        command=typed_command(),
        report=lambda written: output.status(f"wrote {written}"),
        **options,
    )
