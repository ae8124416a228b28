"""Sheets of many directions and samples: as the frames of a loop, or as one still."""

from __future__ import annotations

import abc
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.rendering.motion import Edit, edited, generate, move
from biggan_discovery.rendering.sheet import Sheet, to_uint8

_REUSE_BYTES = 128 * 2**20


class Walk(abc.ABC):
    """Draws samples as they move; every sheet is made when it is asked for, and none is collected.

    Attributes:
        generator: the generator.
        y: (N,) int64 class indices of the samples, or class weights; see `FrozenGenerator.forward`.
        batch: images generated at once, see `generate`.
        y_of_blocks: (blocks, N) or (blocks, N, num_classes), for each block of a sheet its own. Defaults to y for all.
    """

    generator: FrozenGenerator
    y: Tensor
    batch: int | None
    y_of_blocks: Tensor | None = None

    @abc.abstractmethod
    def _moved(self, row: int, amount: float) -> Tensor:
        """Latents of all samples at `amount` along the path of a block."""

    def loop(self, shown: Sequence[int], amounts: Sequence[float], sheet: Sheet) -> Iterator[np.ndarray]:
        """Frames (height, width, 3) uint8 in which all samples move together.

        Args:
            shown: content of each block of the sheet; for `Film`, rows of the directions.
            amounts: amount of each frame, see `loop_amounts`.
            sheet: the layout, with N pictures in each block.
        """

        def latents(amount: float) -> Tensor:
            return torch.cat([self._moved(row, amount) for row in shown])

        ends = [self._end(row) for row in shown]
        return self._frames(latents, self._classes(shown).flatten(0, 1), amounts, sheet, ends)

    def strip(self, shown: Sequence[int], amounts: Sequence[float], sheet: Sheet) -> Iterator[np.ndarray]:
        """One still (height, width, 3) uint8: in each block a row for each sample and a column for each amount."""
        classes = self._classes(shown).repeat_interleave(len(amounts), dim=1)

        def along(row: int) -> Tensor:
            return torch.stack([self._moved(row, amount) for amount in amounts], dim=1).flatten(0, 1)

        def rows(row: int, y: Tensor) -> Iterator[np.ndarray]:
            return _with_ends(self._tiles(along(row), y), len(amounts), [self._end(row)] * (len(y) // len(amounts)))

        yield sheet.draw(tile for row, y in zip(shown, classes, strict=True) for tile in rows(row, y))

    def _end(self, row: int) -> list[np.ndarray]:
        """Pictures at the end of each row of a block."""
        del row
        return []

    def _classes(self, shown: Sequence[int]) -> Tensor:
        return self.y.expand(len(shown), *self.y.shape) if self.y_of_blocks is None else self.y_of_blocks

    def _tiles(self, z: Tensor, y: Tensor) -> Iterator[np.ndarray]:
        for images in generate(self.generator, z, y, batch=self.batch):
            yield from to_uint8(images)

    def _frames(
        self,
        latents: Callable[[float], Tensor],
        y: Tensor,
        amounts: Sequence[float],
        sheet: Sheet,
        ends: Sequence[list[np.ndarray]] = ([],),
    ) -> Iterator[np.ndarray]:
        # On the way back the amounts of the way there come again: their sheets are kept while memory is small.
        @functools.lru_cache(maxsize=_REUSE_BYTES // sheet.nbytes)
        def drawn(amount: float) -> np.ndarray:
            return sheet.draw(_with_ends(self._tiles(latents(amount), y), len(y) // len(ends), ends))

        return map(drawn, amounts)


@dataclass(frozen=True)
class Film(Walk):
    """Draws samples as they move along directions or as they are edited.

    Attributes:
        generator: the generator.
        directions: the directions.
        z: (N, z_dim) latents of the samples.
        y: see `Walk`.
        layers: layers that the directions reach. Defaults to each direction's own.
        centred: see `move`.
        batch: images generated at once, see `generate`.
        reach: distance of an amount of 1 along a direction. Defaults to 1 for missing directions.
        y_of_blocks: see `Walk`.
        maps: (R, R, 3) uint8 picture of each direction that ends each of its rows. Defaults to none.
    """

    generator: FrozenGenerator
    directions: Directions
    z: Tensor
    y: Tensor
    layers: LayerRange | str | None = None
    centred: bool = False
    batch: int | None = None
    reach: Mapping[int, float] = field(default_factory=dict)
    y_of_blocks: Tensor | None = None
    maps: Mapping[int, np.ndarray] = field(default_factory=dict)

    def edit_loop(self, edits: Sequence[Edit], shares: Sequence[float], sheet: Sheet) -> Iterator[np.ndarray]:
        """Frames (height, width, 3) uint8 of an edit along several directions at once.

        Args:
            edits: the full edit.
            shares: fraction of the edit in each frame, see `edit_shares`.
            sheet: the layout, with N pictures in its block.
        """
        return self._frames(lambda share: self._edited(edits, share), self.y, shares, sheet)

    def edit_still(self, edits: Sequence[Edit], sheet: Sheet) -> Iterator[np.ndarray]:
        """One still (height, width, 3) uint8 with a row for each sample: before and after the edit."""
        pairs = torch.stack([self._edited(edits, share) for share in (0.0, 1.0)], dim=1).flatten(0, 1)
        yield sheet.draw(self._tiles(pairs, self.y.repeat_interleave(2, dim=0)))

    def _moved(self, row: int, amount: float) -> Tensor:
        return move(
            self.generator,
            self.directions,
            self.z,
            row,
            amount * self.reach.get(row, 1.0),
            layers=self.layers,
            centred=self.centred,
        )

    def _end(self, row: int) -> list[np.ndarray]:
        return [self.maps[row]] if row in self.maps else []

    def _edited(self, edits: Sequence[Edit], share: float) -> Tensor:
        return edited(self.generator, self.directions, self.z, edits, share)


def _with_ends(tiles: Iterator[np.ndarray], count: int, ends: Sequence[list[np.ndarray]]) -> Iterator[np.ndarray]:
    """Tiles in groups of `count`, each followed by the pictures of its end."""
    for end in ends:
        yield from itertools.islice(tiles, count)
        yield from end
