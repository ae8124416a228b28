"""Pictures from strangers: their size is checked before they are unpacked. Needs no torch."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps

from biggan_discovery.errors import UserError
from biggan_discovery.files import existing_file
from biggan_discovery.memory import memory_errors_pass
from biggan_discovery.reading.limits import check_bytes

MOST_PIXELS = 2**26  # of one picture, judged by its header
LARGEST_PICTURE = 64 * 2**20
"""Bytes of an encoded picture."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
_ORIENTATION = 0x0112
_TO_8_BITS = 257  # from 16


def read_picture(path: str | os.PathLike[str], mode: str = "RGB") -> np.ndarray:
    """The pixels of a picture file; the first frame of a film.

    Args:
        path: a PNG, JPEG, WebP, BMP, GIF or TIFF of at most 2²⁶ pixels.
        mode: "RGB", or "L" for grey. Transparent pixels are black.

    Returns:
        (height, width, 3) or (height, width) uint8.

    Raises:
        UserError: if there is no such file, or it is not a picture, damaged or too large.

    Example:
        >>> read_picture("mask.png", "L").dtype
        dtype('uint8')
    """
    with _bombs_as_errors(), opened(os.fspath(path), _content_of(path)) as picture:
        return np.asarray(_plain(picture, mode))


def read_square(path: str | os.PathLike[str], resolution: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The square of a picture file as `decode` gives it, and the picture's own width and height.

    Raises:
        UserError: see `read_picture`.
    """
    name, content = os.fspath(path), _content_of(path)
    with _bombs_as_errors():
        return decode(name, content, resolution), size_of(name, content)


def _content_of(path: str | os.PathLike[str]) -> bytes:
    file = existing_file(path)
    check_bytes(file.stat().st_size, LARGEST_PICTURE, str(file))
    return file.read_bytes()


@contextmanager
def _bombs_as_errors() -> Iterator[None]:
    """Context manager without PIL's warning of large pictures, whose size is checked here. Not for threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def decode(name: str, content: bytes, resolution: int) -> np.ndarray:
    """One picture, upright, its largest central square resized, (resolution, resolution, 3) uint8.

    Transparent pixels are black.

    Raises:
        UserError: damaged, of another format, or too large; names the file.
    """
    with opened(name, content) as picture:
        if picture.format == "JPEG":
            picture.draft("RGB", (resolution, resolution))  # Decodes large ones at a fraction of their size.
        return squared(_plain(picture, "RGB"), resolution)


def squared(picture: Image.Image, resolution: int) -> np.ndarray:
    """The largest central square of a picture, resized to (resolution, resolution, ...) uint8."""
    if picture.size != (resolution, resolution):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        picture = picture.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
    return np.asarray(picture)


def size_of(name: str, content: bytes) -> tuple[int, int]:
    """Width and height of a picture in pixels, as it is stored.

    Raises:
        UserError: see `decode`.
    """
    with opened(name, content) as picture:
        return picture.size


@contextmanager
def opened(name: str, content: bytes) -> Iterator[Image.Image]:
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
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{name} is too large: it would have {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, ZeroDivisionError) as error:
        reason = "it is damaged, or not a JPEG, PNG, WebP, BMP, GIF or TIFF of 8 or 16 bits per channel"
        raise UserError(f"cannot read the image {name}: {reason}") from error


def _plain(picture: Image.Image, mode: str) -> Image.Image:
    """A picture upright, without transparency, and with 8 bits per channel; PIL itself cuts off what is above 255."""
    if picture.mode in ("I", "F"):
        raise ValueError("numbers of 32 bits, whose range is unknown")
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) // _TO_8_BITS).astype(np.uint8))
    if picture.has_transparency_data:
        whole = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", whole.size, (0, 0, 0, 255)), whole)
    return picture.convert(mode)
