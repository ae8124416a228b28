"""`biggan-discovery visualize`: what each direction does, as a picture that moves or a strip of stills."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from biggan_discovery.cli.options import (
    INDEX_LIST,
    LARGEST,
    PATH_SIZE,
    POSITIVE_FLOAT,
    class_option,
    device_option,
    layers_option,
    of_file_generator_option,
    quiet_option,
    scale_option,
    seed_option,
    truncation_option,
)
from biggan_discovery.errors import UserError
from biggan_discovery.files import existing_file

if TYPE_CHECKING:
    from torch import Tensor

    from biggan_discovery.directions import Directions
    from biggan_discovery.generators import FrozenGenerator
    from biggan_discovery.rendering import CurvedFilm

_MEASURED = 4  # samples, for --path-size auto


@click.command("visualize")
@click.argument("path", metavar="[DIRECTIONS]", required=False, type=click.Path())
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File (.gif, .mp4, .webp, .png), or folder with --per-direction.  [default: beside DIRECTIONS, or curved.gif]",
)
@click.option(
    "--format", "form", type=click.Choice(("gif", "mp4", "webp", "png")), help="[default: as --out, else gif]"
)
@click.option(
    "--only",
    type=INDEX_LIST,
    metavar="INDICES",
    help="Directions, such as 0,3,8-12.  [default: all; 0-2 without DIRECTIONS]",
)
@click.option("--per-direction", is_flag=True, help="A file for each direction, in a folder.")
@click.option(
    "--samples", type=click.IntRange(1, 10_000), help="Samples.  [default: 5; 1 for png and without DIRECTIONS]"
)
@click.option(
    "--frames",
    type=click.IntRange(2, 100_000),
    help="Frames of the loop, or pictures of a strip.  [default: 60; 7 for png]",
)
@click.option("--fps", type=POSITIVE_FLOAT, default=20.0, show_default=True, help="Frames per second.")
@click.option(
    "--path-size",
    type=PATH_SIZE,
    help="How far to go to each side; auto: so far that all directions change the image equally.  "
    "[default: as in the search]",
)
@click.option("--easing", default="sine", show_default=True, help="Pace of the motion: sine, linear or smooth.")
@click.option("--keep-projection", is_flag=True, help="Start at the sample itself: keep its part along the direction.")
@click.option(
    "--transfer", is_flag=True, help="Show one direction on many classes: rows are classes, with the same samples."
)
@click.option(
    "--curved",
    is_flag=True,
    help="Below each straight line, the path that turns with the generator: from point to point along the singular "
    "vector of its Jacobian that is nearest to the step before. Both start at the sample itself. Without DIRECTIONS, "
    "along the leading singular vectors of each sample.",
)
@layers_option("Layers that the directions reach", "as in the file")
@click.option(
    "--columns",
    type=click.IntRange(min=1),
    help="Directions side by side.  [default: to a handy shape; 1 with --transfer]",
)
@scale_option
@class_option
@seed_option
@of_file_generator_option
@truncation_option
@device_option
@quiet_option
def visualize_command(
    path: str | None,
    out: Path | None,
    form: str | None,
    only: list[int] | None,
    per_direction: bool,
    samples: int | None,
    frames: int | None,
    fps: float,
    path_size: float | Literal["auto"] | None,
    easing: str,
    keep_projection: bool,
    transfer: bool,
    curved: bool,
    layers: str | None,
    columns: int | None,
    scale: int | None,
    classes: str | None,
    seed: int,
    generator: str | None,
    truncation: float | None,
    device: str,
    quiet: bool,
) -> None:
    """Show what the directions of a file do: rows are directions, columns are samples.

    Each sample moves from the centre to one end of the direction, to the other, and back, without a jump. A .png is a
    strip of stills from end to end instead. Generator, classes and path size are those of the search.

    \b
    Examples:
      visualize.py directions/scenes-64.safetensors
      visualize.py directions/scenes-64.safetensors --only 0,3,8-12 --class torus --out torus.mp4
      visualize.py directions/scenes-64.safetensors --per-direction --format png
      visualize.py directions/scenes-64.safetensors --only 3 --transfer --format png
      visualize.py directions/scenes-64.safetensors --path-size auto
      visualize.py --curved --generator scenes-64 --path-size 3 --out paths.gif
    """
    import torch

    from biggan_discovery.cli.subject import check_layers, open_generator, open_subject, write_film
    from biggan_discovery.generators.layer_range import parse_layers
    from biggan_discovery.progress import Progress
    from biggan_discovery.rendering import (
        Film,
        Label,
        Sheet,
        check_output,
        loop_amounts,
        sample_classes,
        sample_latents,
        strip_amounts,
    )

    if path is None and not curved:
        raise UserError("Missing argument 'DIRECTIONS'; only --curved shows a generator without any")
    if curved and transfer:
        raise UserError("--curved follows each sample on its own and --transfer shows one on many classes; choose one")
    if curved and path_size == "auto":
        raise UserError("--path-size auto walks each direction its own way, and --curved all of them; give a number")
    out, suffix = _output(Path("curved") if path is None else existing_file(path), out, form, per_direction)
    check_output(out / f"000{suffix}" if per_direction else out, fps)
    if path is None:
        directions = None
        network, known_classes = open_generator(generator, truncation=truncation, classes=classes, device=device)
        space = network.search_space(layers or "all")
        names, known = [""] * (space.stop - space.start), {}
        shown = list(range(min(3, len(names)))) if only is None else only
    else:
        directions, network, known_classes = open_subject(
            path, generator=generator, truncation=truncation, classes=classes, device=device
        )
        names, known = directions.names, directions.metadata
        shown = list(range(len(names))) if only is None else only
    if max(shown) >= len(names):
        raise UserError(f"--only: there is no direction {max(shown)}; {path or network.name} has 0 to {len(names) - 1}")
    if transfer and len(shown) > 1 and not per_direction:
        raise UserError("--transfer shows one direction on many classes; choose it with --only, or add --per-direction")
    if layers is not None:
        layers = str(parse_layers(layers, network.num_layers))
    elif path is not None and directions is not None:
        check_layers(path, directions, network)
    size = path_size if isinstance(path_size, float) else _path_size(str(path), known, network.defaults())
    reach: dict[int, float] = {}
    if path_size == "auto":
        assert directions is not None  # Only --curved goes without.
        reach = _equal_reach(network, directions, shown, known_classes, size, layers, keep_projection, seed, quiet)
        size = 1.0

    still = suffix == ".png"
    count = samples or (1 if still or path is None else 5)
    amounts = strip_amounts(frames or 7, size) if still else loop_amounts(frames or 60, size, easing)
    z = sample_latents(network, count, seed)
    y = sample_classes(known_classes, count)

    def blocks(row: int) -> list[tuple[Label, int]]:
        """What stands beside each block of a direction, and which number the film gives it."""
        if transfer:
            return [(Label(str(each), network.class_names[each]), row) for each in known_classes]
        if curved:
            first = 2 * shown.index(row)
            kinds = (("straight", first), ("curved", first + 1))
            return [(Label(str(row), f"{names[row]} {kind}".strip()), number) for kind, number in kinds]
        extent = f"±{reach[row]:.2g}" if row in reach else ""
        return [(Label(str(row), f"{names[row]} {extent}".strip()), row)]

    files = [(out, shown)]
    if per_direction:
        files = [(out / f"{row:03d}{_slug(names[row])}{suffix}", [row]) for row in shown]
    sheets: list[tuple[Path, tuple[int, ...], Sheet]] = []
    for file, rows in files:
        labels, numbers = zip(*(block for row in rows for block in blocks(row)), strict=True)
        sheet = Sheet(
            labels,
            tile=network.resolution,
            rows=count if still else 1,
            columns=len(amounts) if still else count,
            header=[f"{amount:{'+.0%' if reach else '+.3g'}}" if amount else "0" for amount in amounts]
            if still
            else (),
            across=columns or (1 if transfer or curved else None),
            scale=scale,
        )
        sheets.append((file, numbers, sheet))
    if curved:
        film = _curved_film(network, directions, shown, z, y, size, layers, quiet)
    else:
        assert directions is not None  # Only --curved goes without.
        y = torch.tensor(known_classes)[:, None].expand(-1, count) if transfer else y
        film = Film(network, directions, z, y, layers, keep_projection, reach=reach)

    written = ""
    with Progress((1 if still else len(amounts)) * len(files), "drawing", unit="frame", quiet=quiet) as progress:
        for file, numbers, sheet in sheets:
            draw = film.strip if still else film.loop
            written = write_film(file, draw(numbers, amounts, sheet), fps, progress)
    click.echo(f"wrote {len(files)} files to {out}" if per_direction else written)


def _equal_reach(
    network: FrozenGenerator,
    directions: Directions,
    shown: list[int],
    classes: list[int],
    path_size: float,
    layers: str | None,
    keep_projection: bool,
    seed: int,
    quiet: bool,
) -> dict[int, float]:
    """How far to go along each direction that is shown, such that all change the image equally."""
    from biggan_discovery.evaluation.step_size import equal_path_sizes, equal_path_sizes_cost
    from biggan_discovery.progress import Progress

    cost = equal_path_sizes_cost(len(shown), samples=_MEASURED)
    with Progress(cost, "measuring", unit="image", quiet=quiet) as progress:
        sizes = equal_path_sizes(
            network,
            directions.Q[shown],
            classes=classes,
            path_size=path_size,
            keep_projection=keep_projection,
            samples=_MEASURED,
            layers=layers or directions.layers,
            seed=seed,
            progress=progress,
        )
    return dict(zip(shown, sizes, strict=True))


def _curved_film(
    network: FrozenGenerator,
    directions: Directions | None,
    shown: list[int],
    z: Tensor,
    y: Tensor,
    path_size: float,
    layers: str | None,
    quiet: bool,
) -> CurvedFilm:
    """Paths along the directions that are shown, or along the leading singular vectors of each sample."""
    from biggan_discovery.rendering import CurvedFilm, curved_paths, leading_directions, lines_of

    if directions is None:
        layers = layers or "all"
        lines = leading_directions(network, z, y, max(shown) + 1, layers=layers)[shown]
    else:
        layers = layers or directions.layers
        lines = lines_of(network, directions, shown, len(z), layers=layers)
    paths = curved_paths(network, z, y, lines, path_size, layers=layers, quiet=quiet)
    return CurvedFilm(network, paths, z, y, layers)


def _output(path: Path, out: Path | None, form: str | None, per_direction: bool) -> tuple[Path, str]:
    """Where to write, and the suffix that says how."""
    if per_direction:
        return out or path.with_suffix(""), f".{form or 'gif'}"
    out = out or path.with_suffix(f".{form or 'gif'}")
    if form and out.suffix.lower() != f".{form}":
        raise UserError(f"--out {out} is no .{form} file, as --format {form} asks; leave one of them out")
    return out, out.suffix.lower()


def _path_size(path: str, metadata: dict, defaults: dict) -> float:
    # A search at the samples themselves has a path size of 0, which shows nothing.
    size = metadata.get("settings", {}).get("path_size") or defaults.get("path_size", 5.0)
    if not isinstance(size, int | float) or not 0 < size <= LARGEST:
        raise UserError(f"{path} gives the path size {size!r}, which is not a positive number; give --path-size")
    return float(size)


def _slug(name: str) -> str:
    words = re.sub(r"[^\w]+", "-", name).strip("-")[:60]
    return f"-{words}" if words else ""
