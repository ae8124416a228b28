"""`biggan-discovery export` and `import`: directions to and from other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery.cli.options import POSITIVE_FLOAT, class_option, layers_option, truncation_option
from biggan_discovery.errors import UserError


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--raw", is_flag=True, help="Write the raw matrix A instead of its orthonormal rows Q.")
def export_command(file: Path, out: Path, raw: bool) -> None:
    """Write the matrix of a directions FILE to OUT: .npy, .npz, .pt or .csv.

    A row is a direction. Nothing is rounded: `biggan-discovery import` gives the same numbers back. With --raw only
    the coordinates of z are written that were searched: directions for --layers mid of brock-128 give 40 numbers a
    row, as the papers' scripts read them; import them with the same --layers.

    \b
    Examples:
      biggan-discovery export directions/scenes-64.safetensors scenes.npy
      biggan-discovery export runs/cones/directions.safetensors cones.csv --raw
    """
    from biggan_discovery.directions import Directions, export

    directions = Directions.load(file)
    _refuse_same_file(file, out)
    export(directions, out, raw)
    space = directions.search_space
    width = space.stop - space.start if raw else directions.z_dim
    click.echo(f"wrote {out}: {'A' if raw else 'Q'}, {len(directions)} directions × {width}")


@click.command("import")
@click.argument("file", metavar="IN", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directions file to write (.safetensors).")
@click.option("--generator", metavar="NAME|PATH|CODE", help="Generator of the directions; kept in the file.")
@layers_option("Layers that the directions are for", "all")
@class_option
@truncation_option
@click.option("--path-size", type=POSITIVE_FLOAT, help="How far to go to each side when they are shown.")
@click.option("--names", metavar='"A,B,..."', help="A name for each direction; leave a place empty for none.")
@click.option(
    "--orthogonalize",
    type=click.Choice(["qr", "gram-schmidt", "none"]),
    default="qr",
    show_default=True,
    help="How rows that are not orthonormal are made so; none takes them as they are.",
)
@click.option("--orthonormal", is_flag=True, help="The rows are orthonormal: check that, and keep them as they are.")
@click.option("--preset", metavar="NAME", help="Which published matrix IN is.  [default: known by its content]")
def import_command(
    file: Path,
    out: Path,
    generator: str | None,
    layers: str | None,
    classes: str | None,
    truncation: float | None,
    path_size: float | None,
    names: str | None,
    orthogonalize: str,
    orthonormal: bool,
    preset: str | None,
) -> None:
    """Make a directions file of a matrix IN that this or another tool wrote: .npy, .npz, .pt, .pth or .csv.

    A row is a direction. Rows that are orthonormal already are kept bit for bit; others are made so, first row first.
    With --generator the other commands need no further argument to use the file. biggan-deep-128, -256, -512 and
    brock-128 are not downloaded for this. Where layers see parts of z, as in BigGAN-PyTorch, rows may be as short as
    the part that --layers see. The components of a GANSpace .npz are read from its "lat_comp".

    Matrices that the authors of the Hessian Penalty and of OroJaR published are known by their content: generator,
    layers, class, path size and names are then filled in, where no option gives another.

    \b
    Examples:
      biggan-discovery import found.npy --out directions/found.safetensors --generator scenes-64
      biggan-discovery import two.csv --out two.safetensors --generator scenes-64 --class cone --names "hue,size"
      biggan-discovery import our_goldens_mid.pt --out goldens-mid.safetensors
      biggan-discovery import A.pt --out A.safetensors --generator brock-128 --layers mid --class 207
    """
    from biggan_discovery.directions import import_matrix
    from biggan_discovery.directions.published import GENERATOR, SIZES, find_preset

    _refuse_same_file(file, out)
    found = find_preset(preset, file)
    if found:
        known = found[1]
        generator, layers, classes = generator or GENERATOR, layers or known.layers, classes or str(known.label)
        path_size, orthonormal = path_size or known.path_size, orthonormal or known.orthonormal
    for option, value in (("--class", classes), ("--layers", layers), ("--truncation", truncation)):
        if value is not None and generator is None:
            raise UserError(f"{option} needs --generator: only a generator knows its {option.lstrip('-')}")
    origin: dict[str, Any] = {"settings": {"path_size": path_size} if path_size else {}}
    space: dict[str, Any] = {}
    if generator is not None:
        about, space = _origin(generator, layers or "all", classes, truncation)
        origin |= about
        if found and (about["resolution"], space["z_dim"]) != SIZES:
            sizes = "a BigGAN of {} pixels with z_dim {}"
            click.echo(
                f"warning: {found[0]} was found in {sizes.format(*SIZES)}; "
                f"{generator} is {sizes.format(about['resolution'], space['z_dim'])}",
                err=True,
            )
    if found:
        origin |= {"preset": found[0], "provenance": found[1].source}
    directions = import_matrix(
        file,
        orthogonalize=orthogonalize,
        orthonormal=orthonormal,
        names=None if names is None else names.split(","),
        metadata=origin,
        **space,
    )
    if found and names is None:
        for index, name in found[1].names.items():
            directions.rename(index, name)
    directions.save(out)
    of = f" of {generator}" if generator else ""
    if found:
        click.echo(f"{file} is {found[0]}: {found[1].source}")
    click.echo(f"wrote {out}: {len(directions)} directions × {directions.z_dim}{of}")


def _origin(
    name: str, layers: str, classes: str | None, truncation: float | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a directions file says about the generator, and the space that its layers see, for `import_matrix`."""
    from biggan_discovery.generators import catalogue, parse_classes
    from biggan_discovery.generators.layer_range import parse_layers
    from biggan_discovery.generators.remote import REMOTE

    name, _ = catalogue.find_folder(name)
    if name in REMOTE:  # Known without its weights, which may not be here.
        generator, sha256, class_names = REMOTE[name], "", catalogue.class_names(name)[1]
    else:
        generator = catalogue.load_generator(name, device="cpu")
        sha256, class_names = generator.sha256, generator.class_names
    origin = {
        "generator": name,
        "generator_sha256": sha256,
        "truncation": truncation or 1.0,
        "resolution": generator.resolution,
        "layers": str(parse_layers(layers, generator.num_layers)),
    }
    if classes is not None:
        origin["classes"] = parse_classes(class_names, classes)
        origin["class_names"] = [class_names[index] for index in origin["classes"]]
    return origin, {"space": generator.search_space(layers), "z_dim": generator.z_dim}


def _refuse_same_file(source: Path, out: Path) -> None:
    if source.exists() and out.exists() and source.samefile(out):
        raise UserError(f"{out} is the input itself; give another name to write to")
