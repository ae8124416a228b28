"""A small moving strip for each direction: made once, and kept beside the directions file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from biggan_discovery.directions.defaults import classes_for
from biggan_discovery.explorer.pictures import DRAFT_SECONDS, seconds_per_image, smaller
from biggan_discovery.explorer.sources import Source, facts_key
from biggan_discovery.files import atomic_write
from biggan_discovery.rendering.latents import sample_classes, sample_latents
from biggan_discovery.rendering.motion import generate, move
from biggan_discovery.rendering.path_size import equal_path_sizes, usual_change
from biggan_discovery.rendering.ranges import range_of
from biggan_discovery.rendering.sheet import to_uint8

_VERSION = 1  # of strips; a new one makes all of them anew
_SIDE = 96  # pixels of a picture
_FRAMES, _SAMPLES = 13, 3
_FEW_FRAMES, _ONE = 7, 1  # where the network is slow
_QUALITY = 84
_MEASURED = "measured.json"


class Strip(NamedTuple):
    """A strip of pictures: one below the other its frames, from the least to the greatest amount.

    Attributes:
        name: of the .webp file, in `strips_folder`.
        frames: how many.
        samples: pictures side by side in each.
        ends: the least and the greatest amount.
        equal: whether they are measured, so that all directions change the image equally.
    """

    name: str
    frames: int
    samples: int
    ends: tuple[float, float]
    equal: bool


def strips_folder(source: Source) -> Path:
    """Where the strips of a file are kept."""
    return source.folder / "strips"


def strip_of(source: Source, row: int, *, make: bool = True) -> Strip | None:
    """The strip of a direction, which is made if it is not kept.

    It goes to the recommended range of the direction, or else as far as changes the image by as much as other
    directions, see `equal_path_sizes`. Where an image takes more than a tenth of a second, nothing is measured: it goes
    to the path size of the search, in fewer pictures.

    Args:
        source: the directions.
        row: which of them.
        make: if False, return None where something would have to be drawn.

    Raises:
        UserError: there is no such direction, or its generator is missing.
    """
    generator, directions = source.generator(), source.directions
    facts: dict[str, Any] = {
        "version": _VERSION,
        "generator": generator.sha256 or generator.name,
        "truncation": generator.truncation,
        "classes": classes_for(directions, generator),
        "direction": directions.row(row).tolist(),
        "layers": directions.layers_of(row),
    }
    recommended = directions.recommended_ranges[row]
    slow = seconds_per_image(generator) > DRAFT_SECONDS
    ends = recommended or _equal_ends(source, row, facts_key(facts), measure=make and not slow)
    strip = None if ends is None else _strip(facts, ends, (_FRAMES, _SAMPLES), equal=recommended is None)
    if slow and (strip is None or not _is_kept(source, strip)):
        strip = _strip(facts, recommended or range_of(directions, generator, row), (_FEW_FRAMES, _ONE), equal=False)
    if strip is not None and not _is_kept(source, strip):
        if not make:
            return None
        atomic_write(strips_folder(source) / strip.name, _drawn(source, row, strip, facts["classes"]))
    return strip


def _strip(facts: dict[str, Any], ends: tuple[float, float], size: tuple[int, int], *, equal: bool) -> Strip:
    return Strip(f"{facts_key({**facts, 'ends': ends, 'size': size})}.webp", *size, ends, equal)


def _is_kept(source: Source, strip: Strip) -> bool:
    return (strips_folder(source) / strip.name).is_file()


@torch.no_grad()
def _drawn(source: Source, row: int, strip: Strip, classes: list[Any]) -> bytes:
    generator = source.generator()
    z, y = sample_latents(generator, strip.samples, 0), sample_classes(classes, strip.samples, generator.num_classes)
    moved = [
        move(generator, source.directions, z, row, amount) for amount in np.linspace(*strip.ends, strip.frames).tolist()
    ]
    images = generate(generator, torch.cat(moved), torch.cat([y] * strip.frames))
    pictures = np.concatenate([smaller(to_uint8(each), _SIDE) for each in images])
    height, width = pictures.shape[1:3]
    rows = pictures.reshape(strip.frames, strip.samples, height, width, 3).transpose(0, 2, 1, 3, 4)
    buffer = io.BytesIO()
    picture = Image.fromarray(rows.reshape(strip.frames * height, strip.samples * width, 3))
    picture.save(buffer, "webp", quality=_QUALITY, method=4)
    return buffer.getvalue()


def _equal_ends(source: Source, row: int, key: str, *, measure: bool) -> tuple[float, float] | None:
    """How far along a direction the image changes by the usual amount, to both sides; measured once."""
    path = source.folder / _MEASURED
    known = _known(path)
    if key not in known:
        if not measure:
            return None
        generator, directions = source.generator(), source.directions
        classes = classes_for(directions, generator)
        of_all = facts_key([generator.sha256 or generator.name, generator.truncation, classes])
        change = known[of_all] if of_all in known else usual_change(generator, classes=classes)
        [reach] = equal_path_sizes(
            generator, directions.Q[[row]], classes=classes, change=change, layers=directions.layers_of(row)
        )
        known = {**_known(path), of_all: change, key: reach}
        atomic_write(path, json.dumps(known))
    return -known[key], known[key]


def _known(path: Path) -> dict[str, float]:
    try:
        known = json.loads(path.read_text())
        return {str(key): float(value) for key, value in known.items()}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}
