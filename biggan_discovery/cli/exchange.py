"""`biggan-discovery export` and `import`: directions to and from other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery.cli.options import class_option
from biggan_discovery.errors import UserError


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--raw", is_flag=True, help="Write the raw matrix A instead of its orthonormal rows Q.")
def export_command(file: Path, out: Path, raw: bool) -> None:
    """Write the matrix of a directions FILE to OUT: .npy, .npz, .pt or .csv.

    A row is a direction. Nothing is rounded: `biggan-discovery import` gives the same numbers back.

    \b
    Examples:
      biggan-discovery export directions/scenes-64.safetensors scenes.npy
      biggan-discovery export runs/cones/directions.safetensors cones.csv --raw
    """
    from biggan_discovery.directions import Directions, export

    directions = Directions.load(file)
    _refuse_same_file(file, out)
    export(directions, out, raw)
    click.echo(f"wrote {out}: {'A' if raw else 'Q'}, {len(directions)} directions × {directions.z_dim}")


@click.command("import")
@click.argument("file", metavar="IN", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directions file to write (.safetensors).")
@click.option("--generator", metavar="NAME|FOLDER", help="The generator that the directions are for; kept in the file.")
@class_option
@click.option("--names", metavar='"A,B,..."', help="A name for each direction; leave a place empty for none.")
@click.option(
    "--orthogonalize",
    type=click.Choice(["qr", "gram-schmidt", "none"]),
    default="qr",
    show_default=True,
    help="How rows that are not orthonormal are made so; none takes them as they are.",
)
def import_command(
    file: Path, out: Path, generator: str | None, classes: str | None, names: str | None, orthogonalize: str
) -> None:
    """Make a directions file of a matrix IN that this or another tool wrote: .npy, .npz, .pt, .pth or .csv.

    A row is a direction. Rows that are orthonormal already are kept bit for bit; others are made so, first row first.
    With --generator the other commands need no further argument to use the file.

    \b
    Examples:
      biggan-discovery import found.npy --out directions/found.safetensors --generator scenes-64
      biggan-discovery import two.csv --out two.safetensors --generator scenes-64 --class cone --names "hue,size"
    """
    from biggan_discovery.directions import import_matrix

    _refuse_same_file(file, out)
    if classes is not None and generator is None:
        raise UserError("--class needs --generator: only a generator knows its classes")
    origin = {} if generator is None else _origin(generator, classes)
    listed = None if names is None else names.split(",")
    directions = import_matrix(file, orthogonalize=orthogonalize, names=listed, metadata=origin)
    if origin and origin["z_dim"] != directions.z_dim:
        raise UserError(
            f"{file} has rows of {directions.z_dim} numbers; z of {generator} has {origin['z_dim']}, one for each"
        )
    directions.save(out)
    of = f" of {generator}" if generator else ""
    click.echo(f"wrote {out}: {len(directions)} directions × {directions.z_dim}{of}")


def _origin(name: str, classes: str | None) -> dict[str, Any]:
    """What a directions file says about the generator."""
    from biggan_discovery.generators import load_generator, parse_classes

    generator = load_generator(name, device="cpu")
    origin = {
        "generator": generator.name,
        "generator_sha256": generator.sha256,
        "truncation": generator.truncation,
        "resolution": generator.resolution,
        "z_dim": generator.z_dim,
        "layers": "all",
    }
    if classes is not None:
        origin["classes"] = parse_classes(generator, classes)
        origin["class_names"] = [generator.class_names[index] for index in origin["classes"]]
    return origin


def _refuse_same_file(source: Path, out: Path) -> None:
    if source.exists() and out.exists() and source.samefile(out):
        raise UserError(f"{out} is the input itself; give another name to write to")
