"""Drawing: what directions do, as a film or a strip of stills."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.change_maps import change_maps_cost
from biggan_discovery.directions.defaults import (
    layers_for,
    load_generator_for,
    open_directions,
    rows_for,
    setting_for,
)
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import ClassChoice
from biggan_discovery.generators.layer_range import ALL, EACH, LayerRange
from biggan_discovery.generators.mixes import Class
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.captions import class_name, directions_settings
from biggan_discovery.rendering.motion import easing_named, loop_amounts, strip_amounts
from biggan_discovery.rendering.output import Target
from biggan_discovery.rendering.ranges import warn_beyond
from biggan_discovery.rendering.selection import Samples, chosen_classes, chosen_samples
from biggan_discovery.rendering.sheet import Sheet
from biggan_discovery.rendering.shown import inactive_rows, rows_that_fit
from biggan_discovery.rendering.table import check_integers, is_amount
from biggan_discovery.rendering.ways import (
    Curved,
    Scene,
    Straight,
    Transfer,
    Way,
    change_pictures,
    equal_reach,
    equal_reach_cost,
)

_SAMPLES, _FRAMES, _PICTURES, _LEADING = 5, 60, 7, 3


def draw(
    generator: FrozenGenerator | str | os.PathLike[str] | None,
    directions: Directions | str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    only: Sequence[int] | Literal["all"] | None = None,
    samples: int | None = None,
    frames: int | None = None,
    fps: float = 20.0,
    path_size: float | Literal["auto"] | None = None,
    easing: str = "sine",
    transfer: bool = False,
    curved: bool = False,
    maps: bool = False,
    layers: LayerRange | str | None = None,
    classes: ClassChoice = None,
    seed: int = 0,
    latents: str | os.PathLike[str] | np.ndarray | Tensor | None = None,
    pick: Sequence[int] | None = None,
    columns: int | None = None,
    scale: int | None = None,
    per_direction: bool = False,
    format: str | None = None,  # noqa: A002
    centred: bool = False,
    command: str | None = None,
    report: Callable[[str], object] | None = None,
    quiet: bool = False,
) -> Path | list[Path]:
    """Draw the effect of directions: rows are directions, columns are samples.

    In a film, each sample moves from what it is to one end of the direction, to the other end, and back, without a
    jump. A .png is a strip of stills from end to end. Amounts are measured from the sample as it is, as in `edit`:
    z + amount·q.

    Args:
        generator: a frozen generator, or anything that `load_generator` accepts. None for the generator that
            `directions` name. Images of 1 or 3 channels can be drawn.
        directions: the directions, or their file. None, with `curved`, for the leading right-singular vectors of the
            Jacobian of each sample.
        out: file to write, .mp4, .webp, .gif or .png; with `per_direction`, or for frames, a folder.
        only: directions to draw, or "all". Defaults to as many as fit in a picture that is easy to look at, active ones
            first; to all with `per_direction`; to the three leading ones without `directions`.
        samples: number of samples, 1 to 10,000. Defaults to all of `latents`, or to 5; to 1 for .png or without
            `directions`.
        frames: frames of the loop, 4 to 100,000, or pictures of a strip, 2 or more. Defaults to 60, or 7.
        fps: frames per second, above 0; a GIF takes up to 50.
        path_size: extent to each side, above 0, in units of z. "auto", the default except with `curved`, scales it per
            direction so that all directions change the image equally, by the standard deviation of the generator's
            images, or as far as half the length of z, see `equal_path_sizes`. With `curved`, defaults to that of the
            search.
        easing: speed profile of the loop, "sine", "linear" or "smooth".
        transfer: show one direction on many classes: rows are classes, with the same samples.
        curved: also show, below each straight line, the path that follows the generator's singular vectors, see
            `curved_paths`. Both start at the sample itself.
        maps: end each row with a map of where the direction changes the image, an RMS over the samples.
        layers: layers of the generator that the directions reach. Defaults to those of the search. In a file of
            directions for different layers, these choose the directions to draw.
        classes: class indices, a string such as "cone" or "0-2", or soft classes, see `class_list`; samples cycle
            through them. Defaults to those of the search.
        seed: random seed of the latents, 0 to 2⁶³ - 1.
        latents: (N, z_dim) latents to draw instead, or a .npy file with them.
        pick: numbers of the samples to draw, as `contact_sheet` shows them; instead of `samples`.
        columns: directions side by side. Defaults to a sheet about as wide as high; 1 with `transfer` or `curved`.
        scale: enlarge pictures by this integer, 1 to 32. Defaults to enlarging small ones to about 128 pixels.
        per_direction: write one file per direction to the folder `out`.
        format: "mp4", "webp", "gif", "png", or "frames", a folder with a PNG for each frame. Defaults to the suffix of
            `out`; with `per_direction` to "mp4".
        centred: measure amounts from the centre, as in the papers: the component of z along the direction is replaced,
            z - (z·q/|q|²)q + amount·q, and the picture says "centred".
        command: the command line, kept in the file's settings, see `settings_of`.
        report: called with a line about each written file.
        quiet: show no progress.

    Returns:
        The file; with `per_direction` a list of files.

    Raises:
        UserError: for an invalid value, a generator that does not fit the directions, or a picture that is too large.
        OSError: if writing fails, for example on a full disk; no partial file is left.

    Example:
        >>> found = discover("scenes-64", classes="cone", samples=4)
        >>> draw("scenes-64", found, "cones.mp4", only=[0, 1, 2])
        PosixPath('cones.mp4')
    """
    target = Target.of(out, format, per_direction)
    target.check(fps)
    check_integers(samples=samples, frames=frames, columns=columns, scale=scale, seed=seed)
    easing_named(easing)
    check_way(directions, path_size, transfer=transfer, curved=curved, maps=maps)
    if directions is None:
        network = load_generator_for(None, generator) if not isinstance(generator, FrozenGenerator) else generator
    else:
        network, directions = open_directions(generator, directions)
    count = 1 if target.still or directions is None else _SAMPLES
    indices, given = chosen_classes(network, directions, classes)
    chosen = chosen_samples(
        network, given, directions, latents=latents, samples=samples, pick=pick, seed=seed, default=count
    )
    if curved and chosen.z.ndim == 3:
        raise UserError("the latents differ from layer to layer, and curved paths take one latent for all layers")
    if only is None and directions is not None and not (transfer or per_direction):
        size = (len(chosen), (frames or _PICTURES) + maps) if target.still else (1, len(chosen) + maps)
        rows = rows_for(directions, network, layers)
        only = rows_that_fit(directions, network, target.form, size, rows=rows, blocks=2 if curved else 1, scale=scale)
    scene = scene_of(network, directions, only=only, classes=indices, layers=layers, samples=chosen, curved=curved)
    if transfer and len(scene.shown) > 1 and not per_direction:
        raise UserError("transfer shows one direction on many classes; choose one with only, or set per_direction")
    amounts_to = functools.partial(_amounts, still=target.still, frames=frames, easing=easing)
    if path_size in (None, "auto") and not curved:
        # Too few frames and too large a sheet are refused before path sizes are measured.
        nominal = (Transfer if transfer else Straight)(scene, 1.0, centred)
        _sheets(target, nominal, amounts_to(1.0), columns, scale)
    way = way_of(
        scene,
        path_size,
        transfer=transfer,
        curved=curved,
        centred=centred,
        seed=seed,
        quiet=quiet,
    )
    if maps and isinstance(way, Straight):
        assert directions is not None  # Only curved paths go without.
        with Progress(
            change_maps_cost(len(scene.shown), samples=len(chosen)), "measuring changes", unit="image", quiet=quiet
        ) as progress:
            pictures = change_pictures(
                network, directions, scene.shown, samples=chosen, layers=scene.layers, progress=progress
            )
        way = dataclasses.replace(way, maps=pictures)
    amounts = amounts_to(way.path_size)
    if directions is not None and isinstance(path_size, int | float) and not curved:
        warn_beyond(directions, network, {row: float(path_size) for row in scene.shown}, to_both_sides=True)
    settings = {
        "command": command,
        "picture": "curved paths" if curved else "directions on classes" if transfer else "directions",
        **directions_settings(directions, network),
        "layers": EACH if scene.layers is None else str(scene.layers),
        "seed": seed,
        "latents": os.fspath(latents) if isinstance(latents, str | os.PathLike) else None,
        "samples": chosen.titles(),
        "classes": [name for index in indices if (name := class_name(network, index))] if transfer else None,
        "path_size": "auto" if isinstance(way, Straight) and way.reach else way.path_size,
        "reach": {str(row): reach for row, reach in way.reach.items()} if isinstance(way, Straight) else None,
        "amounts": amounts if target.still else None,
        "centred": centred,
        "maps": maps,
        **({} if target.still else {"frames": len(amounts), "fps": fps, "easing": easing}),
    }
    return _write(target, way, amounts, fps, settings, columns=columns, scale=scale, report=report, quiet=quiet)


def check_target(
    out: str | os.PathLike[str],
    fps: float,
    *,
    format: str | None = None,  # noqa: A002
    per_direction: bool = False,
) -> None:
    """Raise what `draw` would raise about its output, before anything is loaded.

    Raises:
        UserError: see `check_output`; or a format that is not that of `out`.
    """
    Target.of(out, format, per_direction).check(fps)


def _write(
    target: Target,
    way: Way,
    amounts: list[float],
    fps: float,
    settings: Mapping[str, Any],
    *,
    columns: int | None,
    scale: int | None,
    report: Callable[[str], object] | None,
    quiet: bool,
) -> Path | list[Path]:
    """Draw and write each file."""
    names = way.scene.names
    groups = _groups(target, way)
    sheets = _sheets(target, way, amounts, columns, scale)  # Too large ones are refused
    walk = way.walk(quiet=quiet)  # before paths are followed.
    files = []
    with Progress(
        (1 if target.still else len(amounts)) * len(groups), "drawing", unit="frame", quiet=quiet
    ) as progress:
        for rows, sheet in zip(groups, sheets, strict=True):
            numbers = [number for row in rows for _, number in way.blocks(row)]
            frames = (walk.strip if target.still else walk.loop)(numbers, amounts, sheet)
            own = {**settings, "only": rows, "names": [names[row] for row in rows] if any(names) else None}
            written = target.write(frames, fps, progress, own, row=rows[0], name=names[rows[0]])
            files.append(target.file(rows[0], names[rows[0]]))
            if report is not None:
                report(written)
    return files if target.per_direction else files[0]


def _amounts(path_size: float, *, still: bool, frames: int | None, easing: str) -> list[float]:
    """The amounts of a strip's pictures or of a loop's frames."""
    if still:
        return strip_amounts(frames or _PICTURES, path_size)
    return loop_amounts(frames or _FRAMES, path_size, easing)


def _groups(target: Target, way: Way) -> list[list[int]]:
    """The directions of each file."""
    return [[row] for row in way.scene.shown] if target.per_direction else [way.scene.shown]


def _sheets(target: Target, way: Way, amounts: list[float], columns: int | None, scale: int | None) -> list[Sheet]:
    """The sheet of each file.

    Raises:
        UserError: one is too large.
    """
    return [_sheet(way, rows, amounts, target, columns, scale) for rows in _groups(target, way)]


def _sheet(
    way: Way, rows: list[int], amounts: list[float], target: Target, columns: int | None, scale: int | None
) -> Sheet:
    count, still = len(way.scene.samples), target.still
    maps = isinstance(way, Straight) and bool(way.maps)
    return Sheet(
        [label for row in rows for label, _ in way.blocks(row)],
        tile=way.scene.generator.resolution,
        rows=count if still else 1,
        columns=(len(amounts) if still else count) + maps,
        header=([way.amount(amount) for amount in amounts] if still else way.columns()) + ["change"] * maps,
        across=columns or way.across,
        scale=scale,
        caption=way.caption(still),
        limits=target.limits,
    )


def check_way(directions: object, path_size: Any, *, transfer: bool, curved: bool, maps: bool = False) -> None:
    """Check how directions are drawn.

    Raises:
        UserError: choices that exclude each other, or a path size that is not positive.
    """
    if maps and (curved or transfer):
        raise UserError(
            f"maps show where a direction changes the image, which {'curved' if curved else 'transfer'} "
            "does not take; draw them without it"
        )
    if directions is None and not curved:
        raise UserError("no directions are given; only curved paths show a generator without any")
    if curved and transfer:
        raise UserError("curved follows each sample on its own and transfer shows one on many classes; choose one")
    if path_size is None:
        return
    if path_size == "auto":
        if curved:
            raise UserError("path_size is 'auto', which curved paths do not take; give a number")
    elif not is_amount(path_size) or path_size <= 0:
        raise UserError(f"path_size is {path_size!r}; it should be a positive number, or 'auto'")


def scene_of(
    generator: FrozenGenerator,
    directions: Directions | None,
    *,
    only: Sequence[int] | Literal["all"] | None,
    classes: list[Class],
    layers: LayerRange | str | None,
    samples: Samples,
    curved: bool,
) -> Scene:
    """What is drawn; arguments as in `draw`.

    Raises:
        UserError: a direction or layers that do not exist.
    """
    reached = _reached(generator, directions, layers, curved=curved)
    if directions is None:
        space = generator.search_space(reached or ALL)
        names = [""] * (space.stop - space.start)
        known = range(len(names))
        shown = known[:_LEADING]
    else:
        names, known = directions.names, rows_for(directions, generator, layers)
        shown = known
    if only is not None and only != "all":
        source = generator.name if directions is None else directions.source
        shown = _existing(only, known, source, layers)
    return Scene(generator, directions, list(shown), names, classes, reached, samples, inactive_rows(directions))


def _reached(
    generator: FrozenGenerator, directions: Directions | None, layers: LayerRange | str | None, *, curved: bool
) -> LayerRange | None:
    """The layers that all directions reach; None if each reaches its own."""
    several = directions is not None and directions.layers == EACH
    return None if several and layers is None and not curved else layers_for(directions, generator, layers)


def _existing(only: Sequence[int], known: Sequence[int], source: str, layers: LayerRange | str | None) -> list[int]:
    """Each index once, in the order given."""
    if not len(only):
        raise UserError("only is empty; give at least one direction, or leave it out")
    for index in only:
        if index not in known:
            of_layers = "" if len(known) == known[-1] + 1 else f" for the layers {layers}"
            count = f"{known[0]} to {known[-1]}" if not of_layers else ", ".join(map(str, known))
            raise UserError(f"there is no direction {index}{of_layers}; {source} has {count}")
    return list(dict.fromkeys(map(int, only)))


def way_of(
    scene: Scene,
    path_size: float | Literal["auto"] | None,
    *,
    transfer: bool,
    curved: bool,
    centred: bool,
    seed: int,
    quiet: bool,
) -> Way:
    """The way to draw a scene; measures extents for the path size "auto". Arguments as in `draw`."""
    straight = Transfer if transfer else Straight
    if isinstance(path_size, int | float):
        return Curved(scene, float(path_size)) if curved else straight(scene, float(path_size), centred)
    if curved:
        return Curved(scene, setting_for(scene.directions, scene.generator, "path_size"))
    assert scene.directions is not None  # Only curved paths go without.
    with Progress(equal_reach_cost(len(scene.shown)), "measuring", unit="image", quiet=quiet) as progress:
        reach = equal_reach(
            scene.generator,
            scene.directions,
            scene.shown,
            classes=scene.classes,
            layers=scene.layers,
            centred=centred,
            seed=seed,
            progress=progress,
        )
    return straight(scene, 1.0, centred, reach)
