"""Editing: samples moved along several directions at once, as a film or as before and after."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import classes_for, layers_for, open_directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.encode import check_output
from biggan_discovery.rendering.film import Film
from biggan_discovery.rendering.latents import chosen_latents, sample_classes
from biggan_discovery.rendering.latents import save_latents as write_latents
from biggan_discovery.rendering.motion import Edit, edit_shares
from biggan_discovery.rendering.output import write_frames
from biggan_discovery.rendering.sheet import Label, Sheet
from biggan_discovery.rendering.table import STILL, check_integers

_LARGEST = 3.4e38  # of what float32 holds
_COMFORTABLE = 256  # pixels; a few pictures can be larger than a sheet of many


def edit(
    generator: FrozenGenerator | str | os.PathLike[str] | None,
    directions: Directions | str | os.PathLike[str],
    edits: Mapping[int | str, float] | Sequence[Edit],
    out: str | os.PathLike[str],
    *,
    samples: int | None = None,
    latents: str | os.PathLike[str] | np.ndarray | Tensor | None = None,
    save_latents: str | os.PathLike[str] | None = None,
    frames: int = 60,
    fps: float = 20.0,
    classes: str | int | Sequence[int] | None = None,
    seed: int = 0,
    scale: int | None = None,
    report: Callable[[str], object] | None = None,
    quiet: bool = False,
) -> Path:
    """Edit samples along several directions at once: z + Σ amount·q.

    A film goes from the unedited samples to the full edit and back; a .png shows both side by side.

    Args:
        generator: a frozen generator, or anything that `load_generator` accepts. None for the generator that
            `directions` name.
        directions: the directions, or their file.
        edits: amounts in units of z by direction, each given as its number, its name, or the beginning of its name; or
            `Edit` items, each with its own layers.
        out: file to write, .gif, .mp4, .webp or .png.
        samples: number of samples, 1 to 10,000. Defaults to all of `latents`, or to 1.
        latents: (N, z_dim) latents to edit, or a .npy file with them. Defaults to the generator's prior.
        save_latents: a .npy file to write the unedited latents to.
        frames: frames of the film, 2 to 100,000.
        fps: frames per second, above 0; a GIF takes up to 50.
        classes: class indices, or a string such as "cone" or "0-2"; samples cycle through them. Defaults to those of
            the search.
        seed: random seed of the latents, 0 to 2⁶³ - 1.
        scale: enlarge pictures by this integer, 1 to 32. Defaults to enlarging small ones to about 256 pixels.
        report: called with a line about the written file.
        quiet: show no progress.

    Returns:
        The file.

    Raises:
        UserError: for an invalid value, a missing or repeated direction, or a generator that does not fit the
            directions.
        OSError: if writing fails, for example on a full disk; no partial file is left.

    Example:
        >>> found = "scenes-64"
        >>> edit("scenes-64", found, {3: 2.0, "camera height": -1.5}, "edit.gif")
        PosixPath('edit.gif')
        >>> edit("scenes-64", found, [Edit(3, 2.0, "fine"), Edit(5, -1.0)], "edit.png", classes="torus")
        PosixPath('edit.png')
    """
    out = Path(out)
    check_output(out, fps)
    check_integers(samples=samples, frames=frames, scale=scale, seed=seed)
    network, found = open_directions(generator, directions)
    items = [Edit(*item) for item in edits.items()] if isinstance(edits, Mapping) else edits
    steps = _checked(items, found, network)
    z = chosen_latents(network, latents, samples, seed=seed, default=1)
    y = sample_classes(classes_for(found, network, classes), len(z))
    if save_latents is not None:
        write_latents(save_latents, z)
    still = out.suffix.lower() == STILL
    sheet = _sheet(network.resolution, len(z), still, scale)
    film = Film(network, found, z, y)
    drawn = film.edit_still(steps, sheet) if still else film.edit_loop(steps, edit_shares(frames), sheet)
    with Progress(1 if still else frames, "drawing", unit="frame", quiet=quiet) as progress:
        written = write_frames(out, drawn, fps, progress)
    if report is not None:
        report(written)
    return out


def _checked(edits: Sequence[Edit], directions: Directions, generator: FrozenGenerator) -> list[Edit]:
    """The edits with rows for names, and with their layers."""
    checked: dict[int, Edit] = {}
    for direction, amount, layers in edits:
        row = directions.index(str(direction))
        if row in checked:
            raise UserError(f"direction {row} is set twice; give one amount")
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not abs(amount) <= _LARGEST:
            raise UserError(f"the amount of direction {row} is {amount!r}; it should be a number, finite in float32")
        checked[row] = Edit(row, float(amount), layers_for(directions, generator, layers))
    if not checked:
        raise UserError("no edits are given; give a direction and an amount, such as {3: 2.0}")
    return list(checked.values())


def _sheet(resolution: int, samples: int, still: bool, scale: int | None) -> Sheet:
    return Sheet(
        [Label()],
        tile=resolution,
        rows=samples if still else 1,
        columns=2 if still else samples,
        header=("before", "after") if still else (),
        scale=scale or max(1, round(_COMFORTABLE / resolution)),
    )
