"""Contact sheets: many samples with their numbers, to pick from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import load_generator_for, open_directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import ClassChoice
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.captions import class_name, directions_settings, joined, listed, place
from biggan_discovery.rendering.motion import generate
from biggan_discovery.rendering.output import Target
from biggan_discovery.rendering.selection import chosen_classes, chosen_samples
from biggan_discovery.rendering.sheet import Sheet, to_uint8
from biggan_discovery.rendering.table import check_integers

_SAMPLES = 64


def contact_sheet(
    generator: FrozenGenerator | str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    directions: Directions | str | os.PathLike[str] | None = None,
    samples: int | None = None,
    classes: ClassChoice = None,
    seed: int = 0,
    latents: str | os.PathLike[str] | np.ndarray | Tensor | None = None,
    columns: int | None = None,
    scale: int | None = None,
    command: str | None = None,
    report: Callable[[str], object] | None = None,
    quiet: bool = False,
) -> Path:
    """Draw samples of a generator with their numbers, which `draw` and `edit` take as `pick`.

    A number means the same sample for the same generator, truncation, classes and seed, however many are drawn.

    Args:
        generator: a frozen generator, or anything that `load_generator` accepts. None for the generator that
            `directions` name.
        out: .png file to write.
        directions: directions whose classes and generator are the defaults.
        samples: number of samples, 1 to 10,000. Defaults to all of `latents`, or to 64.
        classes: class indices, a string such as "cone" or "0-2", or soft classes, see `class_list`; samples take them
            in turn. Defaults to those of `directions`, or all.
        seed: random seed of the latents, 0 to 2⁶³ - 1.
        latents: (N, z_dim) latents to draw instead, or a .npy file with them.
        columns: samples side by side. Defaults to a sheet about as wide as high.
        scale: enlarge pictures by this integer, 1 to 32. Defaults to enlarging small ones to about 128 pixels, less if
            the sheet becomes large.
        command: the command line, kept in the file's settings.
        report: called with a line about the written file.
        quiet: show no progress.

    Returns:
        The file.

    Raises:
        UserError: for an invalid value, or a sheet that is too large.
        OSError: if writing fails, for example on a full disk; no partial file is left.

    Example:
        >>> contact_sheet("scenes-64", "samples.png", classes="torus")
        PosixPath('samples.png')
        >>> draw("scenes-64", found, "picked.mp4", classes="torus", pick=[3, 7, 11])
        PosixPath('picked.mp4')
    """
    target = Target.of(out, None)
    target.check(1)
    if not target.still:
        raise UserError(f"a contact sheet is a .png file, and {out} is none")
    check_integers(samples=samples, columns=columns, scale=scale, seed=seed)
    if directions is None:
        network = generator if isinstance(generator, FrozenGenerator) else load_generator_for(None, generator)
        found = None
    else:
        network, found = open_directions(generator, directions)
    indices, given = chosen_classes(network, found, classes)
    chosen = chosen_samples(network, given, found, latents=latents, samples=samples, seed=seed, default=_SAMPLES)
    names = listed([name for index in indices if (name := class_name(network, index))], "classes")
    source = f"seed {seed}" if latents is None else "given latents"
    sheet = Sheet(
        chosen.labels(),
        tile=network.resolution,
        above=True,
        across=columns,
        scale=scale,
        limits=target.limits,
        caption=joined(f"{len(chosen)} samples", place(network), names, f"truncation {network.truncation:g}", source),
    )
    settings = {
        "command": command,
        "picture": "samples",
        **directions_settings(found, network),
        "seed": seed,
        "latents": os.fspath(latents) if isinstance(latents, str | os.PathLike) else None,
        "samples": chosen.titles(),
    }
    with Progress(len(chosen), "drawing", unit="image", quiet=quiet) as progress, torch.no_grad():

        def tiles() -> Iterator[np.ndarray]:
            for images in generate(network, chosen.z, chosen.y):
                yield from to_uint8(images)
                progress.advance(len(images))

        text = target.write([sheet.draw(tiles())], 1, None, settings)
    if report is not None:
        report(text)
    return target.out
