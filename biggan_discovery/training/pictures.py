"""Decoding pictures of any size to squares of one size, in threads."""

from __future__ import annotations

import io
import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps

from biggan_discovery.errors import UserError
from biggan_discovery.memory import memory_errors_pass
from biggan_discovery.progress import Progress

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MOST_PIXELS = 2**26  # of one picture, judged by its header
_ORIENTATION = 0x0112
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


def decode(name: str, content: bytes, resolution: int) -> np.ndarray:
    """One picture, upright, its largest central square resized, (resolution, resolution, 3) uint8.

    Raises:
        UserError: damaged, of another format, or too large; names the file.
    """
    with _opened(name, content) as picture:
        if picture.format == "JPEG":
            picture.draft("RGB", (resolution, resolution))  # Decodes large ones at a fraction of their size.
        if picture.getexif().get(_ORIENTATION, 1) != 1:
            picture = ImageOps.exif_transpose(picture)
        return _square(picture.convert("RGB"), resolution)


def resized(images: np.ndarray, resolution: int, *, quiet: bool) -> np.ndarray:
    """Images (N, H, W, 3) uint8 as (N, resolution, resolution, 3): of each its largest central square."""
    if images.shape[1:3] == (resolution, resolution):
        return images
    squares = np.empty((len(images), resolution, resolution, 3), np.uint8)
    with Progress(len(images), "resizing", unit="image", quiet=quiet) as shown:
        for place, image in zip(squares, images, strict=True):
            place[:] = _square(Image.fromarray(image), resolution)
            shown.advance()
    return squares


def _square(picture: Image.Image, resolution: int) -> np.ndarray:
    if picture.size != (resolution, resolution):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        picture = picture.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
    return np.asarray(picture)


def size_of(name: str, content: bytes) -> int:
    """The shorter side of a picture in pixels.

    Raises:
        UserError: see `decode`.
    """
    with _opened(name, content) as picture:
        return min(picture.size)


@contextmanager
def _opened(name: str, content: bytes) -> Iterator[Image.Image]:
    """Context manager with a picture whose size is judged; errors while it is open name it."""
    try:
        with memory_errors_pass(), Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise UserError(
                    f"{name} has {picture.width} × {picture.height} pixels; at most {MOST_PIXELS:,} are read"
                )
            yield picture
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} is too large: it would have {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, ZeroDivisionError) as error:
        reason = "it is damaged, or not a JPEG, PNG, WebP, BMP or GIF"
        raise UserError(f"cannot read the image {name}: {reason}") from error
