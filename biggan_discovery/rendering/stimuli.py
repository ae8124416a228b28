"""Stimuli for experiments: one picture per direction, sample and amount, with a table of what each one is."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import imageio.v3 as iio
import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import layers_of, open_directions
from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write, check_writable, make_folder
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import ClassChoice, class_of
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import class_text, class_title
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.drawing import check_way, scene_of, way_of
from biggan_discovery.rendering.motion import generate, move, strip_amounts
from biggan_discovery.rendering.selection import chosen_classes, chosen_samples
from biggan_discovery.rendering.sheet import to_uint8
from biggan_discovery.rendering.table import check_integers
from biggan_discovery.rendering.ways import Scene, Straight

MANIFEST = "manifest.csv"
COLUMNS = (
    "file",
    "sample",
    "class",
    "class_weights",
    "direction",
    "name",
    "layers",
    "amount",
    "centred",
    "seed",
    "truncation",
    "generator",
    "generator_sha256",
    "directions",
)
"""Columns of the manifest. class_weights are pairs index:weight; sample is the row of the latents, or its number."""

_FILE = re.compile(r"\d{3,}-\d{3,}-\d{3,}\.png")
_AMOUNTS = 7


def write_stimuli(
    generator: FrozenGenerator | str | os.PathLike[str] | None,
    directions: Directions | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    only: Sequence[int] | Literal["all"] | None = None,
    samples: int | None = None,
    frames: int | None = None,
    path_size: float | Literal["auto"] | None = None,
    layers: LayerRange | str | None = None,
    classes: ClassChoice = None,
    seed: int = 0,
    latents: str | os.PathLike[str] | np.ndarray | Tensor | None = None,
    pick: Sequence[int] | None = None,
    centred: bool = False,
    report: Callable[[str], object] | None = None,
    quiet: bool = False,
) -> Path:
    """Write the generator's images along directions as PNG files of its own resolution, without labels.

    A file is called DIRECTION-SAMPLE-STEP.png. manifest.csv says of each what it is: sample, class weights, direction,
    amount, seed, and the sha256 of the weights; it is written last, when all files are there.

    Args:
        generator: a frozen generator, or anything that `load_generator` accepts. None for that of `directions`.
        directions: the directions, or their file.
        folder: where to write; a new folder, or one of earlier stimuli, which are replaced.
        only: directions, or "all". Defaults to all.
        samples: number of samples, 1 to 10,000. Defaults to all of `latents`, or to 5.
        frames: amounts from end to end, evenly spaced, 2 or more. Defaults to 7.
        path_size: extent to each side. Defaults to "auto": all directions change the image equally, see `draw`.
        layers: layers that the directions reach. Defaults to those of the search.
        classes: see `class_list`. Defaults to those of the search.
        seed: random seed of the latents.
        latents: (N, z_dim) latents instead, or a file with them.
        pick: numbers of the samples, as `contact_sheet` shows them; instead of `samples`.
        centred: see `draw`.
        report: called with a line about what was written.
        quiet: show no progress.

    Returns:
        The manifest.

    Raises:
        UserError: for an invalid value, or a folder with other files.
        OSError: if writing fails.

    Example:
        >>> write_stimuli(None, "scenes-64", "stimuli", only=[1, 3], samples=2, frames=5)
        PosixPath('stimuli/manifest.csv')
    """
    folder = Path(folder)
    _check_folder(folder)
    check_integers(samples=samples, frames=frames, seed=seed)
    check_way(directions, path_size, transfer=False, curved=False)
    network, found = open_directions(generator, directions)
    listed, given = chosen_classes(network, found, classes)
    chosen = chosen_samples(network, given, found, latents=latents, samples=samples, pick=pick, seed=seed, default=5)
    scene = scene_of(network, found, only=only or "all", classes=listed, layers=layers, samples=chosen, curved=False)
    way = way_of(scene, path_size, transfer=False, curved=False, centred=centred, seed=seed, quiet=quiet)
    assert isinstance(way, Straight)
    shares = strip_amounts(frames or _AMOUNTS, way.path_size)
    extents = {row: way.reach.get(row, 1.0) for row in scene.shown}
    rows = list(_rows(scene, found, extents, shares, seed if latents is None else None, centred=centred))
    make_folder(folder)
    (folder / MANIFEST).unlink(missing_ok=True)  # So that no manifest is ever of other pictures.
    with Progress(len(rows), "drawing", unit="image", quiet=quiet) as progress:
        for row, image in zip(rows, _images(scene, extents, shares, centred=centred), strict=True):
            atomic_write(folder / str(row[0]), iio.imwrite("<bytes>", image, extension=".png", plugin="pillow"))
            progress.advance()
    kept = {str(row[0]) for row in rows}
    for file in folder.iterdir():
        if file.name != MANIFEST and file.name not in kept:
            file.unlink()
    atomic_write(folder / MANIFEST, _table(rows))
    if report is not None:
        side = network.resolution
        report(f"{folder / MANIFEST} and {len(rows):,} pictures of {side} x {side} pixels")
    return folder / MANIFEST


def _rows(
    scene: Scene,
    directions: Directions,
    extents: dict[int, float],
    shares: list[float],
    seed: int | None,
    *,
    centred: bool,
) -> Iterator[list[object]]:
    """The lines of the manifest."""
    generator, samples = scene.generator, scene.samples
    labels = [class_of(label) for label in samples.y]
    about = [generator.truncation, generator.name, generator.sha256, directions.source]
    for row in scene.shown:
        layers = layers_of(directions, generator, row, scene.layers)
        for place, (number, label) in enumerate(zip(samples.numbers, labels, strict=True)):
            title = class_title(generator.class_names, label)
            weights = f"{label}:1.0" if isinstance(label, int) else class_text(label)
            for step, share in enumerate(shares):
                file = f"{row:03d}-{place:03d}-{step:03d}.png"
                own = [file, number, title, weights, row, scene.names[row], layers, repr(extents[row] * share), centred]
                yield [*own, "" if seed is None else seed, *about]


def _images(scene: Scene, extents: dict[int, float], shares: list[float], *, centred: bool) -> Iterator[np.ndarray]:
    """The pictures (H, W, C) uint8, in the order of the manifest."""
    generator, directions, samples = scene.generator, scene.directions, scene.samples
    assert directions is not None
    y = samples.y.repeat_interleave(len(shares), dim=0)
    for row in scene.shown:
        along = [
            move(generator, directions, samples.z, row, extents[row] * share, layers=scene.layers, centred=centred)
            for share in shares
        ]
        for images in generate(generator, torch.stack(along, dim=1).flatten(0, 1), y):
            yield from to_uint8(images)


def _table(rows: list[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    return text.getvalue()


def _check_folder(folder: Path) -> None:
    check_writable(folder / MANIFEST)
    others = [] if not folder.is_dir() else [each.name for each in folder.iterdir() if not _FILE.fullmatch(each.name)]
    for other in others:
        if other != MANIFEST:
            raise UserError(f"cannot write stimuli to {folder}: it has other files, such as {other}; give a new folder")
