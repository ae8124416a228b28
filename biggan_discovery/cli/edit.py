"""`biggan-discovery edit`: one sample or more, moved along several directions at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from biggan_discovery.cli.options import (
    LARGEST,
    POSITIVE_FLOAT,
    class_option,
    device_option,
    directions_argument,
    of_file_generator_option,
    quiet_option,
    scale_option,
    seed_option,
    truncation_option,
)
from biggan_discovery.errors import UserError

if TYPE_CHECKING:
    from biggan_discovery.directions import Directions
    from biggan_discovery.generators import FrozenGenerator
    from biggan_discovery.rendering import Edit

_COMFORTABLE = 256  # pixels; a few pictures can be larger than a sheet of many


@click.command("edit")
@directions_argument
@click.option(
    "--set",
    "settings",
    multiple=True,
    required=True,
    metavar="DIRECTION=AMOUNT[@LAYERS]",
    help='Number or name of a direction, and how far: 3=+2, "camera height=-1.5". @ and a range (5=+2@4-8) or coarse, '
    "mid, fine, all: for these layers, not those of the file. Can be given several times.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="edit.gif",
    show_default=True,
    help="A loop there and back (.gif, .mp4, .webp), or before and after (.png).",
)
@click.option("--samples", type=click.IntRange(1, 10_000), help="Samples.  [default: 1, or all of --latents]")
@click.option("--latents", type=click.Path(), metavar="FILE.npy", help="Samples (N, z_dim) to edit, instead of --seed.")
@click.option("--save-latents", "save_to", type=click.Path(), metavar="FILE.npy", help="Keep the unedited samples.")
@click.option("--frames", type=click.IntRange(2, 100_000), default=60, show_default=True, help="Frames of the loop.")
@click.option("--fps", type=POSITIVE_FLOAT, default=20.0, show_default=True, help="Frames per second.")
@scale_option
@class_option
@seed_option
@of_file_generator_option
@truncation_option
@device_option
@quiet_option
def edit_command(
    path: str,
    settings: tuple[str, ...],
    out: Path,
    samples: int | None,
    latents: str | None,
    save_to: str | None,
    frames: int,
    fps: float,
    scale: int | None,
    classes: str | None,
    seed: int,
    generator: str | None,
    truncation: float | None,
    device: str,
    quiet: bool,
) -> None:
    """Edit samples along several directions at once: from nothing to the full edit and back.

    \b
    Examples:
      biggan-discovery edit directions/scenes-64.safetensors --set 3=+2 --set "camera height=-1.5"
      biggan-discovery edit directions/scenes-64.safetensors --set 0=3 --class torus --seed 7 --out torus.png
      biggan-discovery edit clouds.safetensors --set 5=+2@7-10 --set "sunset=+1@fine"
    """
    from biggan_discovery.cli.subject import check_layers, open_subject, write_film
    from biggan_discovery.progress import Progress
    from biggan_discovery.rendering import (
        Film,
        Label,
        Sheet,
        check_output,
        edit_shares,
        load_latents,
        sample_classes,
        sample_latents,
        save_latents,
    )

    check_output(out, fps)
    directions, network, known_classes = open_subject(
        path, generator=generator, truncation=truncation, classes=classes, device=device
    )
    edits = _edits(directions, network, settings)
    if any(edit.layers is None for edit in edits):
        check_layers(path, directions, network)
    z = load_latents(latents, network.z_dim) if latents else sample_latents(network, samples or 1, seed)
    if samples and samples > len(z):
        raise UserError(f"--samples {samples}: {latents} holds {len(z)}")
    z = z[:samples]
    if save_to:
        save_latents(save_to, z)

    still = out.suffix.lower() == ".png"
    sheet = Sheet(
        [Label()],
        tile=network.resolution,
        rows=len(z) if still else 1,
        columns=2 if still else len(z),
        header=("before", "after") if still else (),
        scale=scale or max(1, round(_COMFORTABLE / network.resolution)),
    )
    film = Film(network, directions, z, sample_classes(known_classes, len(z)))
    drawn = film.edit_still(edits, sheet) if still else film.edit_loop(edits, edit_shares(frames), sheet)
    with Progress(1 if still else frames, "drawing", unit="frame", quiet=quiet) as progress:
        written = write_film(out, drawn, fps, progress)
    click.echo(written)


def _edits(directions: Directions, generator: FrozenGenerator, settings: tuple[str, ...]) -> list[Edit]:
    from biggan_discovery.generators.layer_range import parse_layers
    from biggan_discovery.rendering import Edit

    edits: list[Edit] = []
    for setting in settings:
        direction, equals, value = setting.rpartition("=")
        if not equals or not direction.strip():
            raise UserError(f'--set {setting!r}: write DIRECTION=AMOUNT, for example 3=+2 or "camera height=-1.5"')
        row = directions.index(direction)
        if any(row == edit.direction for edit in edits):
            raise UserError(f"--set {setting!r}: direction {row} is set twice")
        text, at, layers = value.partition("@")
        try:
            amount = float(text)
        except ValueError:
            raise UserError(f"--set {setting!r}: {text.strip()!r} is not a number") from None
        if not abs(amount) <= LARGEST:
            raise UserError(f"--set {setting!r}: the amount must be finite in float32")
        try:
            edits.append(Edit(row, amount, str(parse_layers(layers, generator.num_layers)) if at else None))
        except UserError as error:
            raise UserError(f"--set {setting!r}: {error}") from error
    return edits
