"""Training images with known factors, from the renderers of `scenes`."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_path
from biggan_discovery.numerics.streams import Stream, random_numbers
from biggan_discovery.output import human_time
from biggan_discovery.progress import Progress
from biggan_discovery.scenes.scene import NUM_FACTORS, RESOLUTION, Scene
from biggan_discovery.scenes.table import SCENES
from biggan_discovery.training.arrays import read_arrays

RENDERED = {scene.checkpoint: name for name, scene in SCENES.items()}
"""What can be rendered: the names of the scenes' bundled generators, and those in the table of scenes."""

_CHUNK = 200
_LONG = 20.0  # seconds, from which on several processes render

_log = logging.getLogger(__name__)


def classes_of(name: str, resolution: int) -> tuple[str, ...]:
    """The classes of a scene that is to be rendered.

    Raises:
        UserError: it is not rendered at this resolution.
    """
    if resolution not in (RESOLUTION // 2, RESOLUTION):
        raise UserError(f"{name} is rendered with {RESOLUTION // 2} or {RESOLUTION} pixels, not {resolution}")
    return SCENES[RENDERED[name]].classes


def render(
    name: str, count: int, resolution: int, seed: int, folder: Path, *, quiet: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Render images of random factors and classes, or read them if they were rendered before.

    Factors are uniform in [0, 1]. The file renders-NAME-COUNT-RESOLUTION-SEED.npz has the images x and classes y, and
    also the factors u, standard normal: those of a generator that learned the scene are Φ(u).

    Args:
        name: one of `RENDERED`.
        count: number of images.
        resolution: 32 or 64; images of 32 pixels are means of 2 × 2.
        seed: random seed.
        folder: where the file is kept.
        quiet: show no progress.

    Returns:
        x (count, resolution, resolution, 3) uint8 and y (count,) int64.
    """
    scene = SCENES[RENDERED[name]]
    path = folder / f"renders-{name}-{count}-{resolution}-{seed}.npz"
    if path.exists():
        pixels, labels = read_arrays(path)
        if len(pixels) == count and pixels.shape[1] == resolution:
            return pixels, labels
    numbers = random_numbers(seed, Stream.TRAINING_RENDERS)
    u = torch.from_numpy(numbers.standard_normal((count, NUM_FACTORS), np.float32))
    y = torch.from_numpy(numbers.integers(len(scene.classes), size=count))
    parts = []
    with Progress(count, "rendering", unit="image", quiet=quiet) as shown:
        for part in _rendered(scene, u, y, resolution):
            parts.append(part)
            shown.advance(len(part))
    pixels, labels = np.concatenate(parts), y.numpy()
    with atomic_path(path) as temporary:
        np.savez(temporary, x=pixels, y=labels, u=u.numpy())
    return pixels, labels


def _rendered(scene: Scene, u: Tensor, y: Tensor, resolution: int) -> Iterator[np.ndarray]:
    """The images chunk by chunk; in several processes where that takes long."""
    jobs = [(scene.checkpoint, resolution, u[i : i + _CHUNK], y[i : i + _CHUNK]) for i in range(0, len(u), _CHUNK)]
    start = time.monotonic()
    yield _render_chunk(jobs[0])
    left = (len(jobs) - 1) * (time.monotonic() - start)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if left < _LONG or cores == 1:
        yield from map(_render_chunk, jobs[1:])
        return
    _log.info("rendering %s images in %d processes: about %s", f"{len(u):,}", cores, human_time(left / cores))
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_render_chunk, jobs[1:])


def _render_chunk(job: tuple[str, int, Tensor, Tensor]) -> np.ndarray:
    name, resolution, u, y = job
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)  # Many small operations scale over processes, not threads.
    images = SCENES[RENDERED[name]].images(u, y)
    images = torch.nn.functional.avg_pool2d(images, RESOLUTION // resolution)
    return ((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
