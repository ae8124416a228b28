"""A view as a film, a still or latents, by the same code as `edit`, with the command line that makes the same."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from biggan_discovery.errors import UserError
from biggan_discovery.explorer.sources import Source
from biggan_discovery.explorer.view import View
from biggan_discovery.rendering import save_latents
from biggan_discovery.rendering.editing import edit
from biggan_discovery.rendering.motion import edited
from biggan_discovery.rendering.table import FORMATS, FRAMES

LATENTS = "npz"
FILES = (*(form for form in FORMATS if form != FRAMES), LATENTS)
"""What can be exported; the last are the latents as they are shown, and their classes."""
_DEFAULT_FRAMES, _DEFAULT_FPS = 60, 20.0
_MOST_FRAMES = 2_000


class Request(NamedTuple):
    """What is asked for.

    Attributes:
        form: one of `FILES`.
        frames: of a film.
        fps: frames per second of a film.
    """

    form: str
    frames: int = _DEFAULT_FRAMES
    fps: float = _DEFAULT_FPS

    @classmethod
    def read(cls, value: dict[str, Any]) -> Request:
        """A request from JSON.

        Raises:
            UserError: says what is wrong.
        """
        form, frames, fps = value.get("form"), value.get("frames", _DEFAULT_FRAMES), value.get("fps", _DEFAULT_FPS)
        if form not in FILES:
            raise UserError(f"form is {ascii(form)[:40]}; it should be one of {', '.join(FILES)}")
        if isinstance(frames, bool) or not isinstance(frames, int) or not 2 <= frames <= _MOST_FRAMES:
            raise UserError(f"frames is {ascii(frames)[:40]}; it should be an integer from 2 to {_MOST_FRAMES:,}")
        if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 1000:
            raise UserError(f"fps is {ascii(fps)[:40]}; it should be above 0 and at most 1000")
        return cls(str(form), frames, float(fps))


def command_line(source: Source, view: View, request: Request) -> str:
    """The command that makes the same film or still; "" for latents, which no command moves."""
    if request.form == LATENTS:
        return ""
    film = request.form != "png"
    words = ["biggan-discovery", "edit", source.path]
    for direction, amount, layers in view.edits:
        words += ["--set", f"{direction}={amount:+g}{f'@{layers}' if layers else ''}"]
    words += ["--pick", ",".join(map(str, view.pick))]
    options = {
        "--latents": str(source.latents(view.latents)) if view.latents else None,
        "--seed": view.seed if view.seed and not view.latents else None,
        "--class": view.class_text,
        "--generator": source.generators.name,
        "--truncation": view.truncation or source.generators.truncation,
        "--frames": request.frames if film and request.frames != _DEFAULT_FRAMES else None,
        "--fps": f"{request.fps:g}" if film and request.fps != _DEFAULT_FPS else None,
        "--out": f"edit.{request.form}",
    }
    for name, value in options.items():
        if value is not None:
            words += [name, str(value)]
    return shlex.join(words)


def export(
    source: Source,
    view: View,
    request: Request,
    folder: Path,
    advance: Callable[[int], object],
) -> tuple[Path, str]:
    """Write a file.

    Args:
        source: the directions.
        view: the view.
        request: the file.
        folder: to write it to.
        advance: called with the number of frames that are drawn; may raise an exception to stop.

    Returns:
        The file, and its size in words.

    Raises:
        UserError: a view without edits, or a file that cannot be written.
    """
    generator = source.generator(view.truncation)
    samples = source.samples(view)
    if request.form == LATENTS:
        path = folder / f"latents.{LATENTS}"
        save_latents(path, edited(generator, source.directions, samples.z, view.edits), samples.y)
        return path, f"{len(samples)} latents, {path.stat().st_size / 1e3:.3g} kB"
    if not view.edits:
        raise UserError("nothing is moved yet; move a slider first")

    def counted(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for number, frame in enumerate(frames, start=1):
            yield frame
            advance(number)

    texts: list[str] = []
    path = edit(
        generator,
        source.directions,
        view.edits,
        folder / f"edit.{request.form}",
        latents=source.latents(view.latents) if view.latents else None,
        pick=view.pick,
        frames=request.frames,
        fps=request.fps,
        classes=view.class_text,
        seed=view.seed,
        command=command_line(source, view, request),
        through=counted,
        report=texts.append,
        quiet=True,
    )
    return path, texts[-1].partition(" (")[2].rstrip(")")
