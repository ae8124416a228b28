"""Random numbers from named streams of (seed, stream, step, sample).

A search that is resumed, split into micro-batches or spread over processes then sees the same samples, no two uses
share numbers, and the global random state of torch and NumPy is never touched.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What the numbers are for. The values are part of every result: never reuse one."""

    SEARCH = 0
    HELD_OUT = 1
    SKETCH = 2
    REFERENCE_FRAMES = 3
    """Random frames that ratios divide by."""
    BASELINE_FRAME = 4
    """Random directions that are judged beside others."""
    CHANCE_FRAMES = 5
    """Random frames that say how well sets agree by chance."""
    DIAGONALNESS = 100  # From here on, samples of the metrics in `evaluation`.
    ACTIVENESS = 101
    PATH_LENGTH = 102
    STEP_SIZE = 103
    CONTRASTIVE = 104
    CLASS_TRANSFER = 105
    SHIFT_PAIRS = 106
    RESPONSE = 107
    CODES = 108
    PENALTY_MAP = 109
    DIAGONALNESS_CHOICES = 110
    """Which pairs of directions and which pixels are looked at."""


def random_numbers(seed: int, stream: int, *, step: int = 0, sample: int = 0) -> np.random.Generator:
    """The numbers of one sample of one step of a stream, from their beginning at every call.

    Args:
        seed: 0 to 2⁶³ - 1.
        stream: a `Stream`, or for streams of your own any number of 1,000 or more.
        step: 0 or more.
        sample: 0 or more.

    Example:
        >>> random_numbers(0, Stream.SEARCH, step=3).random(2)
        array([0.33535218, 0.46706934])
    """
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, sample, step]))
