"""Fonts of labels: Pillow's default, or DejaVu Sans for text with letters missing in it."""

from __future__ import annotations

import functools
import importlib.util
import logging
import math
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_NO_CHARACTER = "\uffff"  # A Unicode noncharacter, for which every font draws its box.
_log = logging.getLogger(__name__)


class Fonts:
    """Choose a font for each string.

    Args:
        size: font size in pixels.

    Example:
        >>> fonts = Fonts(16)
        >>> fonts.of("size") is fonts.default, fonts.of("größe") is fonts.default
        (True, False)
    """

    def __init__(self, size: int):
        self._size = size
        self.default: Font = ImageFont.load_default(size)

    def of(self, text: str) -> Font:
        """The default font, unless another one has more of the letters."""
        missing = _missing(self.default, text)
        if missing and self._dejavu is not None and len(_missing(self._dejavu, text)) < len(missing):
            return self._dejavu
        return self.default

    def warn_of_boxes(self, texts: Iterable[str]) -> None:
        """Log a warning that lists the letters drawn as boxes, if any."""
        boxes = sorted({letter for text in texts for letter in _missing(self.of(text), text)})
        if boxes:
            shown = f"{''.join(boxes[:20])}{' …' * (len(boxes) > 20)}"
            _log.warning("no font has the letters %s; labels show boxes instead", shown)

    @functools.cached_property
    def _dejavu(self) -> Font | None:
        """DejaVu Sans from matplotlib, found without importing matplotlib."""
        package = importlib.util.find_spec("matplotlib")
        if package is None or package.origin is None:
            return None
        path = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        return ImageFont.truetype(path, self._size) if path.is_file() else None


def _missing(font: Font, text: str) -> set[str]:
    return {letter for letter in set(text) if not letter.isspace() and _picture(font, letter) == _box(font)}


def _box(font: Font) -> tuple[tuple[int, int], bytes]:
    return _picture(font, _NO_CHARACTER)


@functools.lru_cache(maxsize=4096)
def _picture(font: Font, letter: str) -> tuple[tuple[int, int], bytes]:
    _, _, right, bottom = font.getbbox(letter)
    image = Image.new("L", (math.ceil(right), math.ceil(bottom)))
    ImageDraw.Draw(image).text((0, 0), letter, 255, font)
    return image.size, image.tobytes()
