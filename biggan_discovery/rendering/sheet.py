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
from biggan_discovery.memory import check_room
from biggan_discovery.rendering.fonts import Fonts, printable
from biggan_discovery.rendering.table import NO_LIMITS, Limits

_BACKGROUND, _DARK, _GREY = (255, 255, 255), (32, 32, 32), (112, 112, 112)
_COMFORTABLE = 128  # pixels; smaller pictures are enlarged to about this
_COMFORTABLE_BYTES = 3 * 4_000_000  # of a sheet; larger ones are enlarged less
_MOST_BYTES = 2**29
_COPIES = 4  # of a sheet in memory while it is drawn
_NARROWEST_COLUMN, _NARROWEST_CAPTION = 56, 320  # pixels that text may have at the least
_MOST_LINES = 6  # of a caption
_BETWEEN = 6  # pixels between labels side by side


def to_uint8(images: Tensor) -> np.ndarray:
    """Images (N, 1 or 3, H, W) in [-1, 1] as (N, H, W, 3) uint8; the range is fixed, what leaves it is clamped.

    Raises:
        UserError: for other numbers of channels.
    """
    if images.shape[1] not in (1, 3):
        raise UserError(f"images of {images.shape[1]} channels cannot be drawn; 1 (grey) or 3 (RGB) can")
    levels = torch.nan_to_num(images, nan=-1.0).float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()


def comfortable_scale(tile: int, comfortable: int = _COMFORTABLE) -> int:
    """The factor that enlarges pictures with a side of `tile` pixels to about `comfortable`; 1 for larger ones."""
    return max(1, round(comfortable / tile))


@dataclass(frozen=True)
class Label:
    """The label of a block: number and name of a direction or sample, either of which may be empty."""

    number: str = ""
    name: str = ""


class _Line(NamedTuple):
    text: str
    colour: tuple[int, int, int]


class Sheet:
    """Arranges pictures in blocks, one per label, and draws one sheet after another.

    Args:
        labels: label of each block.
        tile: side of a picture in pixels, before enlarging.
        rows: rows of pictures in a block.
        columns: columns of pictures in a block.
        header: text above each column of pictures, or nothing.
        across: blocks side by side. Defaults to a roughly square sheet.
        scale: integer factor by which pictures are enlarged. Defaults to enlarging small pictures to about
            `comfortable` pixels, less if the sheet becomes large.
        caption: text at the top, in as many lines as it takes.
        above: labels stand above their blocks, which go across and then down. Defaults to labels on the left, and
            blocks that go down and then across.
        comfortable: side of a picture in pixels to enlarge small ones to.
        limits: what the format of the file takes.

    Raises:
        UserError: if a sheet would take more than half a GiB, or have a side that the format does not take.
        OutOfMemoryError: if drawing and writing a sheet would take more memory than is free.
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
        caption: str = "",
        above: bool = False,
        comfortable: int = _COMFORTABLE,
        limits: Limits = NO_LIMITS,
    ):
        self._tile, self._rows, self._columns, self._above = tile, rows, columns, above
        for factor in [scale] if scale else range(comfortable_scale(tile, comfortable), 0, -1):
            self._arrange(labels, header, across, factor, caption)
            if self.nbytes <= _COMFORTABLE_BYTES and self._longest <= limits.side:
                break
        self._check_size(limits)
        self._blank = self._drawn_texts()
        self._fonts.warn_of_boxes()

    def _arrange(
        self, labels: Sequence[Label], header: Sequence[str], across: int | None, factor: int, caption: str
    ) -> None:
        self._side = self._tile * factor
        self._gap = max(2, self._side // 32)
        font_size = min(max(self._side // 8, 11), 20)
        self._fonts, self._line_height = Fonts(font_size), round(1.25 * font_size)
        self._count = len(labels)
        # A column is as wide as a picture, or as the text above it up to a limit.
        texts = [printable(text) for text in header]
        if self._above and self._columns == 1:
            texts += [f"{label.number} {printable(label.name)}" for label in labels]
        widest = max(map(self._fonts.length, texts), default=0)
        pitch = max(self._side, min(round(widest + 0.5), _NARROWEST_COLUMN))
        self._step = pitch + self._gap
        self._header = [self._fonts.cut(text, pitch) for text in texts[: len(header)]]
        self._texts = [self._lines_of(label) for label in labels]
        self._label_width = self._label_height = 0
        if self._above:
            self._label_height = self._line_height * max(map(len, self._texts))
        elif any(self._texts):
            widest = max(self._fonts.length(line.text) for lines in self._texts for line in lines)
            self._label_width = int(widest) + 3 * self._gap
        self._header_height = self._line_height + self._gap if header else 0
        self._block_width = self._label_width + self._columns * self._step
        # A little more room below a block of several rows shows what belongs together.
        pictures = self._rows * (self._side + self._gap) + (2 * self._gap if self._rows > 1 else 0)
        lines = 0 if self._above else max(map(len, self._texts))
        self._block_height = max(pictures, lines * self._line_height + self._gap) + self._label_height
        wanted = min(across or self._squarest(len(labels)), len(labels))
        if self._above:
            self._across, self._down = wanted, -(-len(labels) // wanted)
        else:
            self._down = -(-len(labels) // wanted)
            self._across = -(-len(labels) // self._down)
        content = self._gap + self._across * self._block_width
        text = printable(caption)
        self.width = max(content, min(round(self._fonts.length(text)) + 2 * self._gap, _NARROWEST_CAPTION))
        self._caption = self._fonts.wrap(text, self.width - 2 * self._gap, _MOST_LINES)
        caption_height = len(self._caption) * self._line_height + (self._gap if text else 0)
        self._top = self._gap + caption_height + self._header_height
        self.height = self._top + self._down * self._block_height

    def _check_size(self, limits: Limits) -> None:
        """Refuse what cannot be drawn or written, before anything is generated."""
        lower = "show fewer directions or samples, or a smaller scale"
        sheet = f"a sheet of {self.width} x {self.height} pixels"
        if self.nbytes > _MOST_BYTES:
            raise UserError(f"{sheet} is too large; {lower}")
        if self._longest > limits.side:
            raise UserError(
                f"{sheet} is too large for this format, in which a side has at most {limits.side}; {lower}, or set the "
                "columns, or write .png"
            )
        if self.nbytes > _COMFORTABLE_BYTES:
            check_room(_COPIES * self.nbytes + limits.memory * self.width * self.height, sheet, lower)

    @property
    def _longest(self) -> int:
        return max(self.width, self.height)

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
        """Left and upper end of a block, below its label if it is above."""
        if self._above:
            down, across = divmod(block, self._across)
        else:
            across, down = divmod(block, self._down)
        top = self._top + down * self._block_height + self._label_height
        return self._gap + across * self._block_width, top

    def _places(self) -> Iterator[tuple[int, int]]:
        inset = 0 if self._above else (self._step - self._gap - self._side) // 2
        for block in range(self._count):
            left, top = self._corner(block)
            for row in range(self._rows):
                for column in range(self._columns):
                    x = left + self._label_width + column * self._step + inset
                    yield x, top + row * (self._side + self._gap)

    def _enlarged(self, tile: np.ndarray) -> np.ndarray:
        if tile.shape[:2] != (self._tile, self._tile):
            height, width = tile.shape[:2]
            raise UserError(f"an image of {width} x {height} pixels cannot be drawn; it should be as wide as high")
        if self._side == self._tile:
            return tile
        return np.asarray(Image.fromarray(tile).resize((self._side, self._side), Image.Resampling.BICUBIC))

    def _lines_of(self, label: Label) -> list[_Line]:
        """Lines of a label: above a block one; beside it as many as fit, at least two, not much wider."""
        number, name = printable(label.number), printable(label.name)
        if self._above:
            text = self._fonts.cut(f"{number} {name}".strip(), self._columns * self._step - _BETWEEN)
            return [_Line(text, _DARK)] if text else []
        most = max(2, self._rows * self._side // self._line_height - bool(number))
        names = self._fonts.wrap(name, max(self._side, 96), most)
        return [_Line(number, _GREY if names else _DARK)] * bool(number) + [_Line(line, _DARK) for line in names]

    def _drawn_texts(self) -> np.ndarray:
        image = Image.new("RGB", (self.width, self.height), _BACKGROUND)
        pen = ImageDraw.Draw(image)
        for i, line in enumerate(self._caption):
            self._fonts.draw(pen, (self._gap, self._gap + (i + 0.5) * self._line_height), line, _DARK, "l")
        for block, lines in enumerate(self._texts):
            left, top = self._corner(block)
            if self._above:
                middle, x, anchor = top - self._label_height / 2, left, "l"
            else:
                middle = top + (self._rows * (self._side + self._gap) - self._gap) / 2
                x, anchor = left + self._label_width - 2 * self._gap, "r"
            for i, line in enumerate(lines):
                # Labels that are higher than their pictures begin at the upper end.
                y = max(middle, top + len(lines) * self._line_height / 2) if not self._above else middle
                y += (i - (len(lines) - 1) / 2) * self._line_height
                self._fonts.draw(pen, (x, y), line.text, line.colour, anchor)
        for across in range(self._across):
            left = self._gap + across * self._block_width + self._label_width + (self._step - self._gap) / 2
            for column, text in enumerate(self._header):
                y = self._top - self._header_height / 2 - self._gap / 2
                self._fonts.draw(pen, (left + column * self._step, y), text, _GREY, "m")
        return np.asarray(image)
