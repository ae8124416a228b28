"""Walks through keyframes, with directions on top: films of one sample that changes all the way."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import load_generator_for, open_directions
from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import forward_batch
from biggan_discovery.generators.labels import ClassChoice
from biggan_discovery.progress import Progress
from biggan_discovery.reading.limits import MOST_NUMBERS, check_shape
from biggan_discovery.rendering.captions import directions_settings
from biggan_discovery.rendering.holding import images_per_frame
from biggan_discovery.rendering.keyframes import Route, chosen_keyframes
from biggan_discovery.rendering.latent_files import check_latents_file
from biggan_discovery.rendering.latents import save_samples
from biggan_discovery.rendering.motion import generate
from biggan_discovery.rendering.output import Target
from biggan_discovery.rendering.ranges import warn_beyond
from biggan_discovery.rendering.sheet import comfortable_scale, to_uint8
from biggan_discovery.rendering.steering import Amounts, Steering, in_words, reference_of, tracks_of
from biggan_discovery.rendering.table import INTERPOLATIONS, PATHS, check_integers

_COMFORTABLE = 256  # pixels
_log = logging.getLogger(__name__)


def walk(
    generator: FrozenGenerator | str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    directions: Directions | str | os.PathLike[str] | None = None,
    seeds: Sequence[int] | None = None,
    latents: Sequence[str | os.PathLike[str]] | np.ndarray | Tensor | None = None,
    samples: int | None = None,
    pick: Sequence[int] | None = None,
    classes: ClassChoice = None,
    seed: int = 0,
    steps: int = 30,
    interpolation: str = "slerp",
    easing: str = "linear",
    loop: bool = True,
    moves: Mapping[int | str, Amounts] | None = None,
    envelope: str | os.PathLike[str] | None = None,
    path: str = "straight",
    reference: int | str | None = None,
    hold: Sequence[int | str] = (),
    fps: float = 20.0,
    scale: int | None = None,
    format: str | None = None,  # noqa: A002
    save_latents: str | os.PathLike[str] | None = None,
    command: str | None = None,
    report: Callable[[str], object] | None = None,
    quiet: bool = False,
) -> Path:
    """Film a walk through keyframes in z and between classes, with movements along directions added.

    Keyframes are samples. Between them z is interpolated on the arc or the straight line, and class weights in a
    straight line. A loop goes from the last keyframe back to the first, without a jump. On top of the walk, each
    direction has an amount at every time.

    Args:
        generator: a frozen generator, or anything that `load_generator` accepts. None for that of `directions`.
        out: file to write, .mp4, .webp or .gif; for frames a folder.
        directions: the directions, or their file; needed to move along some, and the source of default classes.
        seeds: keyframes by seed, the first sample of each. Defaults to samples of `seed`.
        latents: keyframes from files, one after the other, see `rendering.load_latents`; or (N, z_dim).
        samples: number of keyframes. Defaults to all of `latents`, or to 4.
        pick: keyframes by their numbers on a contact sheet of the same seed and classes.
        classes: classes that keyframes take in turn, see `class_list`. Defaults to those of the files, or the search.
        seed: random seed of the keyframes.
        steps: frames from one keyframe to the next, 1 or more. With a single keyframe, all frames.
        interpolation: "slerp", the arc, on which latents stay as long as keyframes are; or "lerp", the straight line.
        easing: speed from one keyframe to the next: "linear", or one that rests at keyframes, "smooth" or "cosine".
        loop: return to the first keyframe.
        moves: by direction (a number or a name), an amount for the whole film, or several that are reached one after
            the other at even intervals.
        envelope: a CSV file with the columns time (seconds), direction and amount, see `envelopes.read_envelopes`.
        path: how a direction is followed: "straight", z + amount·q; "great-circle" or "small-circle", which keep the
            norm of z, with amounts as lengths of arc; see `paths`.
        reference: the direction that gives way on a small circle. Defaults to the one that changes images least.
        hold: directions whose effect on the image stays as it is while others move, see `holding`.
        fps: frames per second, above 0; a GIF takes up to 50.
        scale: enlarge frames by this integer, 1 to 32. Defaults to enlarging small ones to about 256 pixels.
        format: "mp4", "webp", "gif", or "frames", a folder with a PNG for each frame. Defaults to the suffix of `out`.
        save_latents: a file, or a folder, to write the latents and classes of all frames to, see
            `rendering.save_latents`; other tools render them.
        command: the command line, kept in the file's settings.
        report: called with a line about the written file.
        quiet: show no progress.

    Returns:
        The file, or the folder of frames.

    Raises:
        UserError: for an invalid value, a direction that does not exist, or classes that the generator cannot mix.
        OSError: if writing fails; no partial file is left.

    Example:
        >>> walk("scenes-64", "walk.mp4", seeds=[0, 1, 2], classes="cone; cone:0.5, torus:0.5; torus")
        PosixPath('walk.mp4')
        >>> walk(None, "sway.mp4", directions="scenes-64", seeds=[3], moves={"camera azimuth": [0, 2, 0, -2]}, steps=80)
        PosixPath('sway.mp4')
    """
    target = Target.of(out, format)
    target.check(fps)
    if target.still:
        raise UserError(f"a walk is a film, and {out} is a still; write .mp4, .webp, .gif, or frames")
    check_integers(samples=samples, scale=scale, seed=seed)
    check_latents_file(save_latents)
    for name, value, known in (("interpolation", interpolation, INTERPOLATIONS), ("path", path, PATHS)):
        if value not in known:
            raise UserError(f"no {name} {value!r}{near_matches(str(value), known)}; there are {', '.join(known)}")
    found = None
    if directions is None:
        network = generator if isinstance(generator, FrozenGenerator) else load_generator_for(None, generator)
        if moves or envelope or hold:
            raise UserError("no directions are given to move along; give a directions file")
    else:
        network, found = open_directions(generator, directions)
    keys = chosen_keyframes(
        network, found, classes, seeds=seeds, latents=latents, samples=samples, pick=pick, seed=seed
    )
    route = Route(keys, steps=steps, loop=loop, interpolation=interpolation, easing=easing)
    duration = route.frames / fps
    last = duration if loop else (route.frames - 1) / fps
    tracks = [] if found is None else tracks_of(found, moves or {}, envelope, last, loop=loop)
    if len(route.z) == 1 and not any(len(set(track.amounts)) > 1 for track in tracks):
        raise UserError("nothing moves: there is one keyframe; give more, or amounts of a direction such as 3=0:2:0:-2")
    steering = None
    if found is not None and tracks:
        held = [found.index(str(each)) for each in hold]
        steering = Steering(network, found, tracks, path, reference_of(found, tracks, path, reference), held)
        ends = {each.direction: max(each.amounts, key=abs) for each in tracks}
        warn_beyond(found, network, ends)
    elif hold or reference is not None or path != PATHS[0]:
        raise UserError("path, reference and hold are for directions that move, and none does; give an amount of one")
    if save_latents is not None:
        width = network.z_dim * (route.z.shape[1] if route.z.ndim == 3 else 1) + network.num_classes
        check_shape((route.frames, width), MOST_NUMBERS, "the latents of all frames")
    images = route.frames * (1 + (images_per_frame(len(hold)) if hold else 0))
    if not quiet:
        through = f"{len(route.z)} keyframe{'s' * (len(route.z) > 1)}"
        _log.info("%d frames, %.3g s, through %s; %s images", route.frames, duration, through, f"{images:,}")
    kept: list[tuple[Tensor, Tensor]] | None = None if save_latents is None else []
    factor = scale or comfortable_scale(network.resolution, _COMFORTABLE)
    settings = {
        "command": command,
        "picture": "walk",
        **directions_settings(found, network),
        "seed": seed,
        "keyframes": keys.titles,
        "steps": steps,
        "interpolation": interpolation,
        "easing": easing,
        "loop": loop,
        "moves": [in_words(each, found) for each in tracks] if found is not None else None,
        "path": path if tracks else None,
        "fps": fps,
    }
    with Progress(route.frames, "drawing", unit="frame", quiet=quiet) as progress:
        frames = _drawn(network, route, steering, fps, factor, kept)
        written = target.write(frames, fps, progress, settings)
    if steering is not None:
        steering.report()
    if report is not None:
        report(written)
    if save_latents is not None and kept:
        z, y = (torch.cat(each) for each in zip(*kept, strict=True))
        save_samples(save_latents, network, z, y)
    return target.out


def _drawn(
    generator: FrozenGenerator,
    route: Route,
    steering: Steering | None,
    fps: float,
    scale: int,
    kept: list[tuple[Tensor, Tensor]] | None,
) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8, a batch at a time."""
    size = forward_batch(generator).size
    for first in range(0, route.frames, size):
        numbers = range(first, min(first + size, route.frames))
        z, y = route.at(numbers)
        if steering is not None:
            z = steering.moved(z, y, np.array(numbers) / fps)
        if kept is not None:
            kept.append((z.cpu(), y.cpu()))
        for images in generate(generator, z, y):
            for image in to_uint8(images):
                yield _enlarged(image, scale)


def _enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    shown = image.repeat(3, axis=2) if image.shape[2] == 1 else image
    return shown.repeat(scale, axis=0).repeat(scale, axis=1)
