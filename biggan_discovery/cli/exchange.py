"""`biggan-discovery export` and `import`: exchange directions with other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biggan_discovery import output
from biggan_discovery.cli.options import (
    POSITIVE_FLOAT,
    Grouped,
    Name,
    class_text_option,
    group,
    layers_option,
    truncation_option,
)
from biggan_discovery.errors import UserError
from biggan_discovery.search.settings import ORTHOGONALIZE

_EXPORT_EXAMPLES = """
\b
Examples:
  COMMAND scenes-64 scenes.npy
  COMMAND runs/cones/directions.safetensors cones.csv --raw
"""


@click.command("export", cls=Grouped, epilog=_EXPORT_EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--raw", is_flag=True, help="Write the raw matrix A instead of Q.")
@click.option("--layers", metavar="LAYERS", help="Of a file for each layer: only the directions for these.")
def export_command(file: Path, out: Path, raw: bool, layers: str | None) -> None:
    """Write the matrix of a directions file for other tools.

    OUT is a .npy, .npz, .pt or .csv file with one row per direction. Nothing is rounded: `biggan-discovery import`
    restores the same numbers. With --raw, only the searched coordinates of z are written: directions for --layers mid
    of brock-128 give rows of 40, the form that the papers' scripts read. Import them with the same --layers.
    """
    from biggan_discovery.directions import Directions, export
    from biggan_discovery.directions.layers import rows_named, subset

    directions = Directions.load(file)
    _refuse_same_file(file, out)
    if layers is not None:
        directions = subset(directions, rows_named(directions, layers))
    export(directions, out, raw)
    space = directions.search_space
    width = space.stop - space.start if raw else directions.z_dim
    output.status(f"wrote {out}: {'A' if raw else 'Q'}, {len(directions)} directions × {width}")
    if len(directions.layer_groups) > 1:
        several = ", ".join(directions.layer_groups)
        output.status(
            f"the matrix does not say which layers its rows are for ({several}); --layers writes those of one"
        )


_IMPORT_EXAMPLES = """
\b
Examples:
  COMMAND found.npy --out found.safetensors --generator scenes-64
  COMMAND two.csv --out two.safetensors --generator scenes-64 --names "hue,size"
  COMMAND A.pt --out A.safetensors --generator brock-128 --layers mid --class 207
  COMMAND eigenvectors.npy --out pca.safetensors --generator scenes-64 --transpose
  COMMAND deformator_0.pt --out voynov.safetensors --annotations human_annotation.txt
  COMMAND ds.pth --out vocabulary.safetensors --annotations annotations.csv --orthogonalize none
      directions that other people named
  COMMAND our_goldens_mid.pt --out goldens-mid.safetensors
      a published matrix, recognized by its content
"""
_ORTHOGONALIZE = Name(ORTHOGONALIZE)


@click.command("import", cls=Grouped, epilog=_IMPORT_EXAMPLES)
@click.argument("file", metavar="IN", type=click.Path(path_type=Path))
@group(
    "Where the directions belong",
    click.option("--generator", metavar="NAME|PATH|CODE", help="Generator of the directions, kept in the file."),
    layers_option("Layers the directions reach", "all"),
    class_text_option,
    truncation_option("1"),
    click.option("--path-size", type=POSITIVE_FLOAT, help="Extent to each side in films."),
    click.option("--names", metavar='"A,B,..."', help="Name per direction; empty for none."),
    click.option(
        "--annotations",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="People's words instead: human_annotation.txt, or a CSV with d_id and annotation.",
    ),
)
@group(
    "How to read the matrix",
    click.option(
        "--orthogonalize",
        type=_ORTHOGONALIZE,
        default="qr",
        show_default=True,
        help=_ORTHOGONALIZE.explain("Orthonormalization of the rows"),
    ),
    click.option("--orthonormal", is_flag=True, help="Require orthonormal rows and keep them."),
    click.option(
        "--transpose/--no-transpose",
        default=None,
        help="Directions are the columns, or the rows.  [default: by name and shape, else rows]",
    ),
    click.option("--preset", metavar="NAME", help="Published matrix that IN is.  [default: recognized by its content]"),
)
@group(
    "Output",
    click.option(
        "--out",
        required=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Directions file to write (.safetensors).",
    ),
    click.option("--overwrite", is_flag=True, help="Replace a file even if its directions have names or notes."),
)
def import_command(
    file: Path,
    out: Path,
    generator: str | None,
    layers: str | None,
    classes: str | None,
    truncation: float | None,
    path_size: float | None,
    names: str | None,
    annotations: Path | None,
    orthogonalize: str,
    orthonormal: bool,
    transpose: bool | None,
    preset: str | None,
    overwrite: bool,
) -> None:
    """Convert a matrix of other tools to a directions file.

    IN is a NumPy, torch, safetensors, JSON or CSV file, whatever its suffix, with one row per direction or vectors by
    name. Deformators of Voynov & Babenko, GANSpace components and eigenvectors are known by their names; one line
    says what was read. Rows that are already orthonormal are kept bit for bit; others are orthonormalized, starting
    from the first row. With --generator, the other commands need no further options to use the file; generators are
    not downloaded for this. If layers see parts of z, as in BigGAN-PyTorch, rows may be as short as the part that
    --layers see.

    Matrices published with the Hessian Penalty and OroJaR are recognized by their content: generator, layers, class,
    path size and names are filled in unless given.
    """
    from biggan_discovery.directions import import_matrix
    from biggan_discovery.directions.annotations import annotate
    from biggan_discovery.directions.published import GENERATOR, SIZES, find_preset

    _refuse_same_file(file, out)
    if annotations is not None and names is not None:
        raise UserError("--names and --annotations both name directions; give one of them")
    if not overwrite:
        _refuse_to_lose_names(out)
    found = find_preset(preset, file)
    if found:
        known = found[1]
        generator, layers, classes = generator or GENERATOR, layers or known.layers, classes or str(known.label)
        path_size, orthonormal = path_size or known.path_size, orthonormal or known.orthonormal
    for option, value in (("--class", classes), ("--layers", layers), ("--truncation", truncation)):
        if value is not None and generator is None:
            raise UserError(f"{option} needs --generator, which defines its meaning")
    origin: dict[str, Any] = {"settings": {"path_size": path_size} if path_size else {}}
    space: dict[str, Any] = {}
    if generator is not None:
        about, space = _origin(generator, layers or "all", classes, truncation)
        origin |= about
        if found and (about["resolution"], space["z_dim"]) != SIZES:
            sizes = "a BigGAN of {} pixels with z_dim {}"
            output.message(
                f"warning: {found[0]} is for {sizes.format(*SIZES)}; "
                f"{generator} is {sizes.format(about['resolution'], space['z_dim'])}"
            )
    if found:
        origin |= {"preset": found[0], "provenance": found[1].source}
    directions = import_matrix(
        file,
        orthogonalize=orthogonalize,
        orthonormal=orthonormal,
        transpose=transpose,
        names=None if names is None else names.split(","),
        metadata=origin,
        **space,
    )
    if found and names is None:
        for index, name in found[1].names.items():
            directions.rename(index, name)
    named = 0 if annotations is None else annotate(directions, annotations)
    directions.save(out)
    of = f" of {generator}" if generator else ""
    click.echo(f"read {directions.metadata['read_as']}")
    if not generator:
        click.echo(f"{out} does not say which generator its directions are for; give --generator, here or to use it")
    if found:
        output.status(f"{file} is {found[0]}: {found[1].source}")
    if annotations is not None:
        output.status(f"{named} of {len(directions)} directions are named by {annotations}")
    output.status(f"wrote {out}: {len(directions)} directions × {directions.z_dim}{of}")


def _origin(
    name: str, layers: str, classes: str | None, truncation: float | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata of a directions file that describes the generator, and arguments of `import_matrix`."""
    from biggan_discovery.generators import catalogue, parse_classes
    from biggan_discovery.generators.layer_range import parse_layers
    from biggan_discovery.generators.mixes import class_title, to_stored
    from biggan_discovery.generators.remote import REMOTE

    name, _ = catalogue.find_folder(name)
    if name in REMOTE:  # Known without its weights, which may not be downloaded.
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
        origin["classes"] = to_stored(parse_classes(class_names, classes, generator=name))
        origin["class_names"] = [class_title(class_names, each) for each in origin["classes"]]
    return origin, {"space": generator.search_space(layers), "z_dim": generator.z_dim}


def _refuse_to_lose_names(out: Path) -> None:
    from biggan_discovery.directions import Directions
    from biggan_discovery.directions.directions import is_directions_file

    if is_directions_file(out):
        try:
            former = Directions.load(out)
        except UserError:  # Damaged; there is nothing to lose.
            return
        kept = sum(bool(name or note) for name, note in zip(former.names, former.notes, strict=True))
        if kept:
            raise UserError(f"{out} has names or notes of {kept} directions; choose another --out, or add --overwrite")


def _refuse_same_file(source: Path, out: Path) -> None:
    if source.is_file() and out.exists() and source.samefile(out):
        raise UserError(f"{out} is the input file; choose another output")
