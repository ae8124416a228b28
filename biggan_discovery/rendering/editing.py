"""Editing: samples moved along several directions at once, as a film or as before and after."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import layers_of, open_directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import ClassChoice
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.calibration import MeasuredEdit, calibrated, is_measured
from biggan_discovery.rendering.captions import amount_text, direction_title, directions_settings, joined, place
from biggan_discovery.rendering.film import Film
from biggan_discovery.rendering.latent_files import check_latents_file
from biggan_discovery.rendering.latents import save_samples
from biggan_discovery.rendering.motion import Edit, easing_named, edit_shares, edited
from biggan_discovery.rendering.output import Target
from biggan_discovery.rendering.ranges import warn_beyond
from biggan_discovery.rendering.selection import Samples, chosen_samples
from biggan_discovery.rendering.sheet import Sheet
from biggan_discovery.rendering.table import check_integers, is_amount

_COMFORTABLE = 256  # pixels; a few pictures can be larger than a sheet of many


def edit(
    generator: FrozenGenerator | str | os.PathLike[str] | None,
    directions: Directions | str | os.PathLike[str],
    edits: Mapping[int | str, float | str] | Sequence[Edit | MeasuredEdit],
    out: str | os.PathLike[str],
    *,
    samples: int | None = None,
    latents: str | os.PathLike[str] | np.ndarray | Tensor | None = None,
    pick: Sequence[int] | None = None,
    save_latents: str | os.PathLike[str] | None = None,
    save_edited: str | os.PathLike[str] | None = None,
    frames: int = 60,
    fps: float = 20.0,
    easing: str = "cosine",
    classes: ClassChoice = None,
    seed: int = 0,
    columns: int | None = None,
    scale: int | None = None,
    format: str | None = None,  # noqa: A002
    command: str | None = None,
    through: Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]] | None = None,
    report: Callable[[str], object] | None = None,
    quiet: bool = False,
) -> Path:
    """Edit samples along several directions at once: z + Σ amount·q.

    A film goes from the unedited samples to the full edit and back; a .png shows both side by side. Amounts beyond the
    recommended range of a direction are warned of, see `range_of`.

    Args:
        generator: a frozen generator, or anything that `load_generator` accepts. None for the generator that
            `directions` name.
        directions: the directions, or their file.
        edits: amounts in units of z by direction, each given as its number, its name, or the beginning of its name; or
            `Edit` items, each with its own layers. Of a direction that is named after an edit of `numerics.tangents`,
            such as "zoom", the amount may be a text in percent or degrees: "30%"; see `calibrated`.
        out: file to write, .mp4, .webp, .gif or .png; for frames a folder.
        samples: number of samples, 1 to 10,000. Defaults to all of `latents`, or to 1.
        latents: (N, z_dim) latents to edit, or a file with them, see `load_samples`. Defaults to the generator's prior.
        pick: numbers of the samples to edit, as `contact_sheet` shows them; instead of `samples`.
        save_latents: a file, or a folder, to write the unedited latents and their classes to, see
            `rendering.save_latents`.
        save_edited: the same for the edited latents.
        frames: frames of the film, 2 to 100,000.
        fps: frames per second, above 0; a GIF takes up to 50.
        easing: speed profile of the way there and of the way back, "cosine", "sine", "linear" or "smooth".
        classes: class indices, a string such as "cone" or "0-2", or soft classes, see `class_list`; samples cycle
            through them. Defaults to those in the file of `latents`, or those of the search.
        seed: random seed of the latents, 0 to 2⁶³ - 1.
        columns: samples side by side. Defaults to a sheet about as wide as high.
        scale: enlarge pictures by this integer, 1 to 32. Defaults to enlarging small ones to about 256 pixels, less if
            the sheet becomes large.
        format: "mp4", "webp", "gif", "png", or "frames", a folder with a PNG for each frame. Defaults to the suffix of
            `out`.
        command: the command line, kept in the file's settings, see `settings_of`.
        through: called with the frames, (height, width, 3) uint8 each, which are drawn as they are asked for; returns
            those to write. An exception in it stops the work, and no file is left.
        report: called with a line about the written file.
        quiet: show no progress.

    Returns:
        The file, or the folder of frames.

    Raises:
        UserError: for an invalid value, a missing or repeated direction, or a generator that does not fit the
            directions.
        OSError: if writing fails, for example on a full disk; no partial file is left.

    Example:
        >>> found = "scenes-64"
        >>> edit("scenes-64", found, {3: 2.0, "camera height": -1.5}, "edit.mp4")
        PosixPath('edit.mp4')
        >>> edit("scenes-64", found, [Edit(3, 2.0, "fine"), Edit(5, -1.0)], "edit.png", classes="torus")
        PosixPath('edit.png')
    """
    target = Target.of(out, format)
    target.check(fps)
    check_integers(samples=samples, frames=frames, columns=columns, scale=scale, seed=seed)
    for file in (save_latents, save_edited):
        check_latents_file(file)
    easing_named(easing)
    network, found = open_directions(generator, directions)
    items = list(itertools.starmap(_item, edits.items())) if isinstance(edits, Mapping) else edits
    items = _checked(items, found, network)
    chosen = chosen_samples(network, classes, found, latents=latents, samples=samples, pick=pick, seed=seed, default=1)
    steps = [_in_units_of_z(item, found, network, chosen, quiet=quiet) for item in items]
    warn_beyond(found, network, {int(step.direction): step.amount for step in steps})
    said = [_in_words(item, step, found) for item, step in zip(items, steps, strict=True)]
    sheet = Sheet(
        chosen.labels(),
        tile=network.resolution,
        columns=2 if target.still else 1,
        header=("before", "after") if target.still else (),
        above=True,
        across=columns,
        scale=scale,
        caption=joined(*said, place(network)),
        comfortable=_COMFORTABLE,
        limits=target.limits,
    )
    if save_latents is not None:
        save_samples(save_latents, network, chosen.z, chosen.y)
    if save_edited is not None:
        save_samples(save_edited, network, edited(network, found, chosen.z, steps), chosen.y)
    film = Film(network, found, chosen.z, chosen.y)
    settings = {
        "command": command,
        "picture": "edit",
        **directions_settings(found, network),
        "edits": said,
        "seed": seed,
        "latents": os.fspath(latents) if isinstance(latents, str | os.PathLike) else None,
        "samples": chosen.titles(),
        **({} if target.still else {"frames": frames, "fps": fps, "easing": easing}),
    }
    drawn = film.edit_still(steps, sheet) if target.still else film.edit_loop(steps, edit_shares(frames, easing), sheet)
    drawn = drawn if through is None else through(drawn)
    with Progress(1 if target.still else frames, "drawing", unit="frame", quiet=quiet) as progress:
        written = target.write(drawn, fps, progress, settings)
    if report is not None:
        report(written)
    return target.out


def _item(direction: int | str, amount: float | str) -> Edit | MeasuredEdit:
    return MeasuredEdit(direction, amount) if isinstance(amount, str) else Edit(direction, amount)


def _checked(
    edits: Sequence[Edit | MeasuredEdit], directions: Directions, generator: FrozenGenerator
) -> list[Edit | MeasuredEdit]:
    """The edits with rows for names, and with their layers."""
    checked: dict[int, Edit | MeasuredEdit] = {}
    for item in edits:
        row, amount = directions.index(str(item.direction)), item.amount
        if row in checked:
            raise UserError(f"direction {row} is set twice; give one amount")
        if not (is_measured(amount) if isinstance(amount, str) else is_amount(amount)):
            raise UserError(
                f"the amount of direction {row} is {amount!r}; it should be a number, finite in float32, or text such "
                "as 30% or 15° for an edit"
            )
        checked[row] = item._replace(direction=row, layers=layers_of(directions, generator, row, item.layers))
    if not checked:
        raise UserError("no edits are given; give a direction and an amount, such as {3: 2.0}")
    return list(checked.values())


def _in_units_of_z(
    item: Edit | MeasuredEdit, directions: Directions, generator: FrozenGenerator, chosen: Samples, *, quiet: bool
) -> Edit:
    if isinstance(item, Edit):
        return item._replace(amount=float(item.amount))
    row, layers = int(item.direction), item.layers or "all"
    amount = calibrated(generator, directions, chosen.z, chosen.y, row, item.amount, layers, quiet=quiet)
    return Edit(row, amount, layers)


def _in_words(item: Edit | MeasuredEdit, edit: Edit, directions: Directions) -> str:
    row = int(edit.direction)
    amount = amount_text(edit.amount)
    shown = amount if isinstance(item, Edit) else f"{item.amount.strip()} ({amount})"
    layers = "" if str(edit.layers) == "all" else f" (layers {edit.layers})"
    return f"{direction_title(row, directions.names[row])} {shown}{layers}"
