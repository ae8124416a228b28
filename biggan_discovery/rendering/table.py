"""Easings and formats by name: a new one is one line here. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from biggan_discovery.errors import UserError

LARGEST = 3.4e38
"""The largest amount: of what float32 holds."""

EASINGS: dict[str, Callable[[float], float]] = {
    "sine": lambda time: math.sin(math.pi / 2 * time),  # harmonic: slows down towards the ends
    "linear": lambda time: time,
    "smooth": lambda time: time * time * (3 - 2 * time),  # rests at the centre too
    "cosine": lambda time: (1 - math.cos(math.pi * time)) / 2,  # rests at the centre too, longer at both
}
"""A quarter of the way: from the centre (0) to an end (1), by the time passed (0 to 1)."""

INTERPOLATIONS = ("slerp", "lerp")
"""Ways from one keyframe of a walk to the next: the arc, and the straight line."""
PATHS = ("straight", "great-circle", "small-circle")
"""Ways to follow a direction, see `paths`."""

FORMATS = ("gif", "mp4", "webp", "png", "frames")
"""Suffixes of the files that `encode` writes, each with a writer there; and a folder with a PNG for each frame."""
FRAMES = "frames"
FILM = "mp4"
"""Format of films where none is asked for: a twentieth of the bytes of a GIF, and every player shows it."""
STILL = ".png"
"""Suffix of the one format that holds a still instead of a film."""

RANGES: dict[str, tuple[int, int | None]] = {
    "samples": (1, 10_000),
    "frames": (2, 100_000),
    "columns": (1, None),
    "scale": (1, 32),
    "seed": (0, 2**63 - 1),
}
"""Smallest and largest value of each integer that drawing takes."""


class Limits(NamedTuple):
    """What a file format takes: pixels of a side at most, and bytes of memory to write each pixel of a frame."""

    side: int = 2**31 - 1
    memory: int = 0


NO_LIMITS = Limits()


def is_amount(value: object) -> bool:
    """Whether a value is a number that float32 holds; nan and booleans are not.

    Example:
        >>> is_amount(-1.5), is_amount(True), is_amount(float("nan"))
        (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def check_integers(**values: object) -> None:
    """Check arguments against `RANGES`; None stands for a default.

    Raises:
        UserError: not an integer, or out of its range.
    """
    for name, value in values.items():
        least, most = RANGES[name]
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least or (most and value > most):
            limits = f"at least {least}" + f" and at most {most}" * (most is not None)
            raise UserError(f"{name} is {value!r}; it should be an integer, {limits}")
