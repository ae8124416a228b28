"""Pictures from strangers: their size is checked before they are unpacked. Needs no torch."""

from __future__ import annotations

import os
import warnings

import numpy as np
from PIL import Image

from biggan_discovery.errors import UserError
from biggan_discovery.files import existing_file
from biggan_discovery.reading.limits import LARGEST_TABLE, check_bytes

MOST_PIXELS = 2**25
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


def read_picture(path: str | os.PathLike[str], mode: str = "RGB") -> np.ndarray:
    """The pixels of a picture file; the first frame of a film.

    Args:
        path: a PNG, JPEG, WebP, BMP, GIF or TIFF of at most 2²⁵ pixels.
        mode: "RGB", or "L" for grey. Transparent pixels are black.

    Returns:
        (height, width, 3) or (height, width) uint8.

    Raises:
        UserError: if there is no such file, or it is not a picture, damaged or too large.

    Example:
        >>> read_picture("mask.png", "L").dtype
        dtype('uint8')
    """
    file = existing_file(path)
    check_bytes(file.stat().st_size, LARGEST_TABLE, str(file))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # The size is checked here.
            with Image.open(file, formats=_FORMATS) as picture:
                width, height = picture.size
                if width * height > MOST_PIXELS:
                    raise UserError(f"{file} has {width:,} × {height:,} pixels; at most {MOST_PIXELS:,} are read")
                if picture.has_transparency_data:
                    whole = picture.convert("RGBA")
                    picture = Image.alpha_composite(Image.new("RGBA", whole.size, (0, 0, 0, 255)), whole)
                return np.asarray(picture.convert(mode))
    except UserError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        about = " ".join(str(error).split())[:120]
        raise UserError(f"{file} is not a picture, or is damaged ({about}); give a PNG or JPEG") from error
