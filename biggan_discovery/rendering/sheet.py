"""A sheet of pictures as the papers show them: a row for each direction, a column for each sample, labels beside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.rendering.fonts import Font, Fonts

_BACKGROUND, _DARK, _GREY = (255, 255, 255), (32, 32, 32), (128, 128, 128)
_COMFORTABLE = 128  # pixels; smaller pictures are enlarged to about this
_MOST_BYTES = 2**29


def to_uint8(images: Tensor) -> np.ndarray:
    """Images (N, 1 or 3, H, W) in [-1, 1] as (N, H, W, 3) uint8; the range is fixed, what leaves it is clamped.

    Raises:
        UserError: for other numbers of channels.
    """
    if images.shape[1] not in (1, 3):
        raise UserError(f"images of {images.shape[1]} channels cannot be drawn; 1 (grey) or 3 (RGB) can")
    levels = torch.nan_to_num(images, nan=-1.0).float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()


@dataclass(frozen=True)
class Label:
    """The label of a block: number and name of a direction, either of which may be empty."""

    number: str = ""
    name: str = ""


class _Line(NamedTuple):
    text: str
    colour: tuple[int, int, int]
    font: Font


class Sheet:
    """Arranges pictures in blocks, one per label, and draws one sheet after another.

    Args:
        labels: label of each block.
        tile: side of a picture in pixels, before enlarging.
        rows: rows of pictures in a block.
        columns: columns of pictures in a block.
        header: text above each column of pictures, or nothing.
        across: blocks side by side; None for a roughly square sheet.
        scale: integer factor by which pictures are enlarged; None enlarges small pictures automatically.

    Raises:
        UserError: if a sheet would take more than half a GiB.
    """

    def __init__(
        self,
        labels: Sequence[Label],
        *,
        tile: int,
        rows: int = 1,
        columns: int = 1,
        header: Sequence[str] = (),
        across: int | None = None,
        scale: int | None = None,
    ):
        self._tile, self._rows, self._columns = tile, rows, columns
        self._side = tile * (scale or max(1, round(_COMFORTABLE / tile)))
        self._gap = max(2, self._side // 32)
        font_size = min(max(self._side // 8, 11), 20)
        self._fonts, self._line_height = Fonts(font_size), round(1.25 * font_size)
        texts = [self._wrapped(label) for label in labels]
        widest = max((line.font.getlength(line.text) for lines in texts for line in lines), default=0)
        self._label_width = int(widest) + 3 * self._gap if widest else 0
        self._header_height = self._line_height + self._gap if header else 0
        self._block_width = self._label_width + columns * (self._side + self._gap)
        # A little more room below a block of several rows shows what belongs together.
        self._block_height = rows * (self._side + self._gap) + (2 * self._gap if rows > 1 else 0)
        self._down = -(-len(labels) // min(across or self._squarest(len(labels)), len(labels)))
        self._across = -(-len(labels) // self._down)
        self._count = len(labels)
        if self.nbytes > _MOST_BYTES:
            raise UserError(
                f"a sheet of {self.width} x {self.height} pixels is too large; show fewer directions or samples, or a "
                "smaller scale"
            )
        self._fonts.warn_of_boxes(label.name for label in labels)
        self._blank = self._drawn_labels(texts, header)

    @property
    def height(self) -> int:
        """Pixels."""
        return self._gap + self._header_height + self._down * self._block_height

    @property
    def width(self) -> int:
        """Pixels."""
        return self._gap + self._across * self._block_width

    @property
    def nbytes(self) -> int:
        """Bytes of one drawn sheet."""
        return self.height * self.width * 3

    def draw(self, tiles: Iterable[np.ndarray]) -> np.ndarray:
        """One sheet, (height, width, 3) uint8.

        Args:
            tiles: (tile, tile, 3) uint8 pictures: block by block, within a block row by row. Each is used once, so that
                they can be made as they are drawn.
        """
        sheet = self._blank.copy()
        for (left, top), tile in zip(self._places(), tiles, strict=True):
            sheet[top : top + self._side, left : left + self._side] = self._enlarged(tile)
        return sheet

    def _squarest(self, count: int) -> int:
        """The fewest blocks side by side with which the sheet is not much higher than wide."""
        return next(
            across
            for across in range(1, count + 1)
            if -(-count // across) * self._block_height <= 1.5 * across * self._block_width or across == count
        )

    def _corner(self, block: int) -> tuple[int, int]:
        across, down = divmod(block, self._down)
        return self._gap + across * self._block_width, self._gap + self._header_height + down * self._block_height

    def _places(self) -> Iterator[tuple[int, int]]:
        step = self._side + self._gap
        for block in range(self._count):
            left, top = self._corner(block)
            for row in range(self._rows):
                for column in range(self._columns):
                    yield left + self._label_width + column * step, top + row * step

    def _enlarged(self, tile: np.ndarray) -> np.ndarray:
        if tile.shape[:2] != (self._tile, self._tile):
            height, width = tile.shape[:2]
            raise UserError(f"an image of {width} x {height} pixels cannot be drawn; it should be as wide as high")
        if self._side == self._tile:
            return tile
        return np.asarray(Image.fromarray(tile).resize((self._side, self._side), Image.Resampling.BICUBIC))

    def _wrapped(self, label: Label) -> list[_Line]:
        """Lines of a label: as many as fit beside a picture, none much wider than one."""
        font, limit = self._fonts.of(label.name), max(self._side, 96)
        lines: list[str] = []
        for word in label.name.split():
            joined = f"{lines[-1]} {word}" if lines else word
            if lines and font.getlength(joined) <= limit:
                lines[-1] = joined
            else:
                lines.append(word)
        most = max(1, self._rows * self._side // self._line_height - 1)
        if len(lines) > most:
            lines = [*lines[: most - 1], f"{lines[most - 1]} …"]
        number = [_Line(label.number, _GREY if lines else _DARK, self._fonts.default)] if label.number else []
        return number + [_Line(_cut(line, font, limit), _DARK, font) for line in lines]

    def _drawn_labels(self, texts: list[list[_Line]], header: Sequence[str]) -> np.ndarray:
        image = Image.new("RGB", (self.width, self.height), _BACKGROUND)
        pen = ImageDraw.Draw(image)
        step = self._side + self._gap
        for block, lines in enumerate(texts):
            left, top = self._corner(block)
            middle = top + (self._rows * step - self._gap) / 2
            for i, line in enumerate(lines):
                y = middle + (i - (len(lines) - 1) / 2) * self._line_height
                place = (left + self._label_width - 2 * self._gap, y)
                pen.text(place, line.text, line.colour, line.font, anchor="rm")
        for across in range(self._across):
            left = self._gap + across * self._block_width + self._label_width + self._side / 2
            for column, text in enumerate(header):
                y = self._gap + self._header_height / 2 - self._gap / 2
                pen.text((left + column * step, y), text, _GREY, self._fonts.default, anchor="mm")
        return np.asarray(image)


def _cut(line: str, font: Font, limit: int) -> str:
    if font.getlength(line) <= limit:
        return line
    fitting = next(n for n in range(len(line), -1, -1) if font.getlength(line[:n] + "…") <= limit or n == 0)
    return line[:fitting] + "…"
