"""Ways to draw directions: straight on, one on many classes, or beside the paths that turn with the generator."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.change_maps import change_maps
from biggan_discovery.directions.metadata import DETERMINED
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import labels_of
from biggan_discovery.generators.layer_range import ALL, EACH, LayerRange
from biggan_discovery.generators.mixes import Class, class_title
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.captions import amount_text, direction_title, extent_text, joined, listed, place
from biggan_discovery.rendering.curved import CurvedFilm, curved_paths, leading_directions, lines_of
from biggan_discovery.rendering.film import Film, Walk
from biggan_discovery.rendering.path_size import (
    equal_path_sizes,
    equal_path_sizes_cost,
    usual_change,
    usual_change_cost,
)
from biggan_discovery.rendering.selection import Samples
from biggan_discovery.rendering.sheet import Label

_MEASURED = 4  # samples, for equal path sizes
_BRIGHT = 0.995  # The quantile of a map that is drawn brightest.
_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
_HEAT = ((0, 80, 190, 245, 255), (0, 20, 55, 140, 250), (0, 110, 80, 20, 170))  # Red, green and blue at the levels.


@dataclass(frozen=True)
class Scene:
    """What is drawn.

    Attributes:
        generator: the generator.
        directions: the directions, or None for the leading ones of each sample.
        shown: which of them.
        names: of all of them.
        classes: class indices and soft classes.
        layers: which layers of the generator the directions reach. None for each direction its own.
        samples: the samples.
        inactive: directions that hardly change the image.
    """

    generator: FrozenGenerator
    directions: Directions | None
    shown: list[int]
    names: Sequence[str]
    classes: list[Class]
    layers: LayerRange | None
    samples: Samples
    inactive: frozenset[int] = frozenset()

    def label(self, row: int, note: str = "") -> Label:
        """The label of a direction, with a note after its name."""
        own = "" if self.layers is not None or self.directions is None else f"layer {self.directions.layers_of(row)}"
        angles = None if self.directions is None else self.directions.error_angles
        loose = f"(±{angles[row]:.0f}°)" if angles and angles[row] > DETERMINED else ""
        inactive = "(inactive)" if row in self.inactive else ""
        return Label(str(row), " ".join(filter(None, (self.names[row], own, note, inactive or loose))))

    @property
    def place(self) -> str:
        """The generator and the layers, for captions."""
        return place(self.generator, EACH if self.layers is None else self.layers)

    def title(self, row: int) -> str:
        """Number and name of a direction."""
        return direction_title(row, self.names[row])


@dataclass(frozen=True)
class Way(abc.ABC):
    """A way to draw a scene.

    Attributes:
        scene: the scene.
        path_size: extent to each side.
    """

    scene: Scene
    path_size: float

    @property
    def across(self) -> int | None:
        """Blocks side by side. None for a roughly square sheet."""
        return 1

    @abc.abstractmethod
    def blocks(self, row: int) -> list[tuple[Label, int]]:
        """Label and index in the walk of each block of a direction."""

    @abc.abstractmethod
    def walk(self, *, quiet: bool) -> Walk:
        """The walk that draws the blocks."""

    def caption(self, still: bool) -> str:
        """What the picture shows, for its upper end."""
        samples = self.scene.samples.titles()
        rows = f"{'samples from the top' if len(samples) > 1 else 'sample'}: {listed(samples, 'samples')}"
        return joined(self._what(), self.scene.place, rows if still else "")

    @abc.abstractmethod
    def _what(self) -> str:
        """What is done to the samples, in words."""

    def columns(self) -> list[str]:
        """What stands above the columns of a film."""
        return self.scene.samples.titles()

    def amount(self, amount: float) -> str:
        """An amount as text, for the header of a strip's column."""
        return amount_text(amount)


@dataclass(frozen=True)
class Straight(Way):
    """Each direction on the same samples.

    Attributes:
        centred: see `move`.
        reach: distance of an amount of 1 along each shown direction. Defaults to 1 for all.
        maps: where each shown direction changes the image, see `change_pictures`. Defaults to no such column.
    """

    centred: bool = False
    reach: Mapping[int, float] = field(default_factory=dict)
    maps: Mapping[int, np.ndarray] = field(default_factory=dict)

    @property
    def across(self) -> int | None:
        """See `Way`."""
        return None

    def blocks(self, row: int) -> list[tuple[Label, int]]:
        """One for each direction."""
        extent = f"±{self.reach[row]:.2g}" if row in self.reach and not self._equal else ""
        return [(self.scene.label(row, extent), row)]

    def walk(self, *, quiet: bool) -> Film:
        """See `Way`."""
        scene = self.scene
        assert scene.directions is not None  # Only `Curved` goes without.
        return Film(
            scene.generator,
            scene.directions,
            scene.samples.z,
            scene.samples.y,
            scene.layers,
            self.centred,
            reach=self.reach,
            y_of_blocks=self._y_of_blocks(),
            maps=self.maps,
        )

    def _what(self) -> str:
        if not self.reach:
            extent = f"by up to {extent_text(self.path_size)}"
        elif self._equal:
            extent = f"by up to ±{next(iter(self.reach.values())):.2g}"
        else:
            extent = "to the extents beside the numbers"
        return joined(f"samples moved {extent}", "centred" * self.centred)

    def amount(self, amount: float) -> str:
        """In percent where each direction goes its own way."""
        if self.reach and self._equal:
            return super().amount(float(f"{amount * next(iter(self.reach.values())):.2g}"))
        return f"{amount:+.0%}" if self.reach and amount else super().amount(amount)

    @property
    def _equal(self) -> bool:
        """Whether all directions go equally far, as far as can be read."""
        return len({f"{size:.2g}" for size in self.reach.values()}) == 1

    def _y_of_blocks(self) -> Tensor | None:
        return None


@dataclass(frozen=True)
class Transfer(Straight):
    """One direction on the same samples in many classes."""

    @property
    def across(self) -> int | None:
        """See `Way`."""
        return 1

    def blocks(self, row: int) -> list[tuple[Label, int]]:
        """One for each class."""
        names = self.scene.generator.class_names
        return [
            (Label(str(label) if isinstance(label, int) else "", class_title(names, label)), row)
            for label in self.scene.classes
        ]

    def columns(self) -> list[str]:
        """Numbers of the samples, whose classes stand beside them."""
        return [str(number) for number in self.scene.samples.numbers]

    def caption(self, still: bool) -> str:
        """See `Way`."""
        numbers = ", ".join(self.columns())
        samples = f"{'samples' if len(self.scene.samples) > 1 else 'sample'} {numbers}"
        return joined(self._what(), self.scene.place, samples if still else "")

    def _what(self) -> str:
        titles = listed([self.scene.title(row) for row in self.scene.shown], "directions")
        return joined(f"direction {titles} on each class", super()._what())

    def _y_of_blocks(self) -> Tensor:
        y = labels_of(self.scene.classes, self.scene.generator.num_classes)[:, None]
        return y.expand(-1, len(self.scene.samples), *y.shape[2:])


@dataclass(frozen=True)
class Curved(Way):
    """Each direction as a straight line, and below it the path that turns with the generator."""

    def blocks(self, row: int) -> list[tuple[Label, int]]:
        """The line and the path, as `CurvedFilm` counts them."""
        line = 2 * self.scene.shown.index(row)
        kinds = (("straight", line), ("curved", line + 1))
        return [(self.scene.label(row, kind), number) for kind, number in kinds]

    def _what(self) -> str:
        which = "" if self.scene.directions is not None else " along each sample's singular vectors"
        return f"straight lines and curved paths of length {extent_text(self.path_size)}{which}"

    def walk(self, *, quiet: bool) -> CurvedFilm:
        """See `Way`."""
        scene = self.scene
        generator, z, y, layers = scene.generator, scene.samples.z, scene.samples.y, scene.layers or ALL
        if scene.directions is None:
            lines = leading_directions(generator, z, y, max(scene.shown) + 1, layers=layers)[scene.shown]
        else:
            lines = lines_of(generator, scene.directions, scene.shown, len(z), layers=layers)
        paths = curved_paths(generator, z, y, lines, self.path_size, layers=layers, quiet=quiet)
        return CurvedFilm(generator, paths, z, y, layers)


def change_pictures(
    generator: FrozenGenerator,
    directions: Directions,
    rows: Sequence[int],
    *,
    samples: Samples,
    layers: LayerRange | None = None,
    progress: Progress | None = None,
) -> dict[int, np.ndarray]:
    """Where directions change the samples, as pictures: the root of the mean over samples of `change_maps`.

    Args:
        generator: the generator.
        directions: the directions.
        rows: which of them.
        samples: the samples.
        layers: layers that they reach. Defaults to each direction's own.
        progress: advanced by `change_maps_cost`.

    Returns:
        (R, R, 3) uint8 by row; each has a scale of its own, black for none and bright for the largest changes.
    """
    pictures = {}
    for row in rows:
        reached = layers or directions.layers_of(row)
        of_samples = change_maps(
            generator, directions.Q[[row]], samples.z, samples.y.to(generator.device), layers=reached, progress=progress
        )
        level = torch.cat(list(of_samples)).mean(dim=0).sqrt()
        bright = (level / level.quantile(_BRIGHT).clamp(min=1e-12)).clamp(max=1).numpy()
        pictures[row] = np.stack([np.interp(bright, _LEVELS, each) for each in _HEAT], axis=-1).astype(np.uint8)
    return pictures


def equal_reach(
    generator: FrozenGenerator,
    directions: Directions,
    rows: Sequence[int],
    *,
    classes: list[Class],
    layers: LayerRange | str | None = None,
    centred: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[int, float]:
    """How far to go along some directions such that all change the image equally, see `equal_path_sizes`.

    No direction goes farther than its recommended range in the file, to the nearer side.

    Args:
        generator: the generator.
        directions: the directions.
        rows: which of them.
        classes: class indices to draw from.
        layers: layers that they reach. Defaults to each direction's own.
        centred: see `move`.
        seed: of the samples.
        progress: advanced by `equal_reach_cost`.

    Returns:
        By row, in the order of `rows`.
    """
    change = usual_change(generator, classes=classes, seed=seed, progress=progress)
    groups: dict[str, list[int]] = {}
    for row in rows:
        groups.setdefault(str(layers or directions.layers_of(row)), []).append(row)
    sizes: dict[int, float] = {}
    for reached, group in groups.items():
        found = equal_path_sizes(
            generator,
            directions.Q[group],
            classes=classes,
            change=change,
            centred=centred,
            samples=_MEASURED,
            layers=reached,
            seed=seed,
            progress=progress,
        )
        sizes |= zip(group, found, strict=True)
    ends = {row: directions.recommended_ranges[row] for row in rows}
    return {
        row: min(sizes[row], *(abs(end) for end in ends[row] or () if end)) if ends[row] else sizes[row] for row in rows
    }


def equal_reach_cost(ndirs: int) -> int:
    """Forward passes of one image that `equal_reach` takes."""
    return equal_path_sizes_cost(ndirs, samples=_MEASURED) + usual_change_cost()
