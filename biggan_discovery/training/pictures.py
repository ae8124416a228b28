"""Decoding pictures of any size to squares of one size, in threads."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from PIL import Image

from biggan_discovery.progress import Progress
from biggan_discovery.reading.pictures import decode, squared

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
_JOB = 32  # pictures that a thread takes at a time: small ones cost less than handing them over
_WAITING = 2  # jobs per thread that wait


def decode_all(
    files: Iterable[tuple[str, bytes]], resolution: int, total: int | None, *, quiet: bool
) -> dict[str, np.ndarray]:
    """Pictures by name, each (resolution, resolution, 3) uint8.

    Args:
        files: names and contents; taken as they are decoded.
        resolution: side of the squares.
        total: number of files, if it is known.
        quiet: show no progress.

    Raises:
        UserError: one cannot be decoded, or is too large.
    """
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found: dict[str, np.ndarray] = {}
    waiting: deque[Future[dict[str, np.ndarray]]] = deque()
    with ThreadPoolExecutor(threads) as pool, Progress(total, "reading", unit="image", quiet=quiet) as shown:

        def take() -> None:
            decoded = waiting.popleft().result()
            found.update(decoded)
            shown.advance(len(decoded))

        try:
            left = iter(files)
            while job := list(itertools.islice(left, _JOB)):
                waiting.append(pool.submit(_decode_job, job, resolution))
                if len(waiting) > _WAITING * threads:
                    take()
            while waiting:
                take()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def _decode_job(files: list[tuple[str, bytes]], resolution: int) -> dict[str, np.ndarray]:
    return {name: decode(name, content, resolution) for name, content in files}


def resized(images: np.ndarray, resolution: int, *, quiet: bool) -> np.ndarray:
    """Images (N, H, W, 3) uint8 as (N, resolution, resolution, 3): of each its largest central square."""
    if images.shape[1:3] == (resolution, resolution):
        return images
    squares = np.empty((len(images), resolution, resolution, 3), np.uint8)
    with Progress(len(images), "resizing", unit="image", quiet=quiet) as shown:
        for place, image in zip(squares, images, strict=True):
            place[:] = squared(Image.fromarray(image), resolution)
            shown.advance()
    return squares
