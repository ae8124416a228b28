"""Random numbers from named streams of (seed, stream, step, sample).

A search that is resumed, split into micro-batches or spread over processes therefore draws the same samples, no two
uses share random numbers, and the global random states of torch and NumPy are left unchanged.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Purpose of a stream. Results depend on these values: never reuse one."""

    SEARCH = 0
    HELD_OUT = 1
    SKETCH = 2
    REFERENCE_FRAMES = 3
    """Random frames in the denominator of ratios."""
    BASELINE_FRAME = 4
    """Random directions that are evaluated as a baseline."""
    CHANCE_FRAMES = 5
    """Random frames that estimate the agreement of sets by chance."""
    ACTIVITY = 6
    """Random directions whose strengths tell inactive directions, and latents of a search to measure them at."""
    TRAINING = 7
    """Samples of a step of training, by process."""
    TRAINING_WEIGHTS = 8
    """Initial weights."""
    TRAINING_STATISTICS = 9
    """Latents of standing batch-norm statistics."""
    TRAINING_SHEET = 10
    """Latents of sheets of samples."""
    TRAINING_RENDERS = 11
    HELD_OUT_EFFECTS = 20
    """Latents at which a method measures what its directions do, other than those it found them on."""
    SUGGESTIONS = 21
    """Latents at which changes are compared with simple edits."""
    RANGES = 22
    """Latents at which it is measured how far edits hold."""
    INVERSION = 23
    """Samples that inversion starts from."""
    DIAGONALNESS = 100  # From here on: samples of the metrics in `evaluation`.
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
    """Choice of pairs of directions and of pixels."""
    OFF_DIAGONAL = 111
    OFF_DIAGONAL_SKETCHES = 112
    LOCALIZATION = 120


def random_numbers(seed: int, stream: int, *, step: int = 0, sample: int = 0) -> np.random.Generator:
    """Random numbers of one sample of one step of a stream. Every call starts from the beginning.

    Args:
        seed: random seed, 0 to 2⁶³ - 1.
        stream: a `Stream`, or any integer from 1,000 for streams of your own.
        step: index of the step, at least 0.
        sample: index of the sample, at least 0.

    Example:
        >>> random_numbers(0, Stream.SEARCH, step=3).random(2)
        array([0.29882072, 0.86112791])
    """
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, sample, step]))
