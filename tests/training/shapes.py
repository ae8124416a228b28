"""Training images of four shapes, which a small classifier tells apart and a small network can learn to draw."""

from __future__ import annotations

import numpy as np

SHAPES = ("disc", "ring", "bars", "cross")


def draw_shapes(count: int, size: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Grey images (count, size, size, 3) uint8 with a shape of varying place, size and brightness; classes (count,)."""
    numbers = np.random.default_rng(seed)
    y = np.arange(count) % len(SHAPES)
    ticks = (np.arange(size) + 0.5) / size * 2 - 1
    centres = numbers.uniform(-0.25, 0.25, (2, count, 1, 1))
    radius = numbers.uniform(0.45, 0.7, (count, 1, 1))
    across, down = ticks[None, None, :] - centres[0], ticks[None, :, None] - centres[1]
    distance = np.hypot(across, down)
    inside = np.stack(
        [
            distance < radius,
            np.abs(distance - radius) < 0.15,
            (np.abs(down) < radius) & (np.floor(4 * across) % 2 == 0) & (np.abs(across) < 0.75),
            (np.minimum(np.abs(across), np.abs(down)) < 0.15) & (np.maximum(np.abs(across), np.abs(down)) < radius),
        ]
    )[y, np.arange(count)]
    level = numbers.uniform(0.6, 1.0, (count, 1, 1))
    pixels = np.where(inside, 255 * level, 25).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=3), y.astype(np.int64)
