"""Text in pictures: DejaVu Sans, and installed fonts for letters that it lacks."""

from __future__ import annotations

import functools
import importlib.util
import logging
import math
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_NO_CHARACTER = "\uffff"  # A Unicode noncharacter, for which every font draws its box.
_LONGEST = 500  # letters of one text; measuring takes time for each
_log = logging.getLogger(__name__)


def printable(text: str) -> str:
    """A text as one line without control characters, marks of writing direction, lone surrogates and the like.

    Example:
        >>> printable("two\\nlines \\x1b[31m")
        'two lines [31m'
    """
    kept = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text[:_LONGEST])
    return " ".join("".join(c for c in kept if c == " " or c.isprintable()).split())


class Fonts:
    """Measures and draws lines of text, each letter in the first font that has it.

    Args:
        size: font size in pixels.

    Example:
        >>> fonts = Fonts(16)
        >>> fonts.length("größe") > fonts.length("gr")
        True
    """

    def __init__(self, size: int):
        self._size = size
        path = _dejavu()
        # Pillow's own font, where matplotlib is not installed.
        self._font: Font = ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size)
        self._missing: set[str] = set()

    def length(self, text: str) -> float:
        """Width of a line in pixels."""
        return sum(font.getlength(run) for run, font in self._runs(text))

    def cut(self, text: str, limit: float) -> str:
        """A line, shortened to a width and with an ellipsis if it is wider."""
        if self.length(text) <= limit:
            return text
        fitting = next(n for n in range(len(text), -1, -1) if n == 0 or self.length(text[:n] + "…") <= limit)
        return text[:fitting].rstrip() + "…"

    def wrap(self, text: str, limit: float, most: int) -> list[str]:
        """Lines of at most a width, broken between words; the last of `most` lines is shortened if there are more."""
        lines: list[str] = []
        for word in printable(text).split():
            joined = f"{lines[-1]} {word}" if lines else word
            if lines and (self.length(joined) <= limit or len(lines) == most):
                lines[-1] = joined
            else:
                lines.append(word)
        return [self.cut(line, limit) for line in lines]

    def draw(
        self, pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, colour: tuple[int, int, int], anchor: str
    ) -> None:
        """Draw a line, vertically centred at a place.

        Args:
            pen: of the image.
            place: (x, y) in pixels.
            text: the line.
            colour: RGB, 0 to 255.
            anchor: which part of the line is at x, "l" (left), "m" (middle) or "r" (right).
        """
        x, y = place
        x -= self.length(text) * {"l": 0, "m": 0.5, "r": 1}[anchor]
        _, top, _, bottom = self._font.getbbox("Xg", anchor="ls")
        baseline = y - (top + bottom) / 2
        for run, font in self._runs(text):
            pen.text((x, baseline), run, colour, font, anchor="ls")
            x += font.getlength(run)

    def warn_of_boxes(self) -> None:
        """Log a warning that lists letters that were drawn or measured and that no font has, if any."""
        if self._missing:
            letters = sorted(self._missing)
            shown = f"{''.join(letters[:20])}{' …' * (len(letters) > 20)}"
            _log.warning("no font has the letters %s; labels show boxes instead", shown)

    def _runs(self, text: str) -> Iterator[tuple[str, Font]]:
        """Pieces of a text that one font has."""
        for font, letters in groupby(text, self._font_of):
            yield "".join(letters), font

    def _font_of(self, letter: str) -> Font:
        if letter.isascii() or letter.isspace() or _has(self._font, letter):
            return self._font
        found = _installed_with(letter)
        if found is None:
            self._missing.add(letter)
            return self._font
        return _opened(found, self._size)


def _has(font: Font, letter: str) -> bool:
    return _picture(font, letter) != _picture(font, _NO_CHARACTER)


@functools.lru_cache(maxsize=4096)
def _picture(font: Font, letter: str) -> tuple[tuple[int, int], bytes]:
    _, _, right, bottom = font.getbbox(letter)
    image = Image.new("L", (math.ceil(right), math.ceil(bottom)))
    ImageDraw.Draw(image).text((0, 0), letter, 255, font)
    return image.size, image.tobytes()


def _dejavu() -> Path | None:
    """DejaVu Sans from matplotlib, found without importing matplotlib."""
    package = importlib.util.find_spec("matplotlib")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return path if path.is_file() else None


@functools.lru_cache(maxsize=64)
def _opened(path: str, size: int) -> Font:
    return ImageFont.truetype(path, size)


@functools.lru_cache(maxsize=4096)
def _installed_with(letter: str) -> str | None:
    """An installed font that has a letter, upright sans serif ones first."""
    return next((path for path in _installed() if ord(letter) in _letters(path)), None)


@functools.cache
def _installed() -> list[str]:
    if _dejavu() is None:
        return []
    from matplotlib.font_manager import FontEntry, fontManager  # Slow, and needed for rare letters only.

    def plain_first(font: FontEntry) -> tuple[bool, bool, bool, str]:
        return "Sans" not in font.name, font.style != "normal", str(font.weight) != "400", font.fname

    # The font called Last Resort has a box for every letter.
    fonts = [font for font in fontManager.ttflist if "lastresort" not in font.name.lower().replace(" ", "")]
    return [font.fname for font in sorted(fonts, key=plain_first)]


@functools.cache
def _letters(path: str) -> frozenset[int]:
    """Code points that a font has; none if it cannot be opened here."""
    from matplotlib.ft2font import FT2Font

    try:
        _opened(path, 16)
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
