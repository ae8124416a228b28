"""Ways to draw directions: straight on, one on many classes, or beside the paths that turn with the generator."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.curved import CurvedFilm, curved_paths, leading_directions, lines_of
from biggan_discovery.rendering.film import Film, Walk
from biggan_discovery.rendering.latents import sample_classes
from biggan_discovery.rendering.path_size import equal_path_sizes, equal_path_sizes_cost
from biggan_discovery.rendering.sheet import Label

_MEASURED = 4  # samples, for equal path sizes


@dataclass(frozen=True)
class Scene:
    """What is drawn.

    Attributes:
        generator: the generator.
        directions: the directions, or None for the leading ones of each sample.
        shown: which of them.
        names: of all of them.
        classes: class indices.
        layers: which layers of the generator the directions reach.
        z: (N, z_dim) latents of the samples.
    """

    generator: FrozenGenerator
    directions: Directions | None
    shown: list[int]
    names: Sequence[str]
    classes: list[int]
    layers: LayerRange
    z: Tensor

    @property
    def description(self) -> str:
        """Generator, layers and classes in words."""
        layers = "" if str(self.layers) == "all" else f"layers {self.layers}"
        return _joined(Path(self.generator.name).name, layers, class_list(self.generator, self.classes))


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

    @abc.abstractmethod
    def caption(self) -> str:
        """What the picture shows, for its upper end."""

    def amount(self, amount: float) -> str:
        """An amount as text, for the header of a strip's column."""
        return f"{amount:+.3g}" if amount else "0"


@dataclass(frozen=True)
class Straight(Way):
    """Each direction on the same samples.

    Attributes:
        centred: see `move`.
        reach: distance of an amount of 1 along each shown direction. Defaults to 1 for all.
    """

    centred: bool = False
    reach: Mapping[int, float] = field(default_factory=dict)

    @property
    def across(self) -> int | None:
        """See `Way`."""
        return None

    def blocks(self, row: int) -> list[tuple[Label, int]]:
        """One for each direction."""
        extent = f"±{self.reach[row]:.2g}" if row in self.reach else ""
        return [(Label(str(row), f"{self.scene.names[row]} {extent}".strip()), row)]

    def walk(self, *, quiet: bool) -> Film:
        """See `Way`."""
        scene = self.scene
        assert scene.directions is not None  # Only `Curved` goes without.
        return Film(
            scene.generator,
            scene.directions,
            scene.z,
            self._classes(),
            scene.layers,
            self.centred,
            reach=self.reach,
        )

    def caption(self) -> str:
        """See `Way`."""
        extent = "by up to an equal change of the image" if self.reach else f"by up to ±{self.path_size:.3g}"
        return _joined(f"samples moved {extent}", "centred" * self.centred, self.scene.description)

    def amount(self, amount: float) -> str:
        """In percent where each direction goes its own way."""
        return f"{amount:+.0%}" if self.reach and amount else super().amount(amount)

    def _classes(self) -> Tensor:
        return sample_classes(self.scene.classes, len(self.scene.z))


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
        return [(Label(str(index), names[index]), row) for index in self.scene.classes]

    def caption(self) -> str:
        """See `Way`."""
        titles = [f"direction {row} {self.scene.names[row]}".rstrip() for row in self.scene.shown]
        return _joined(", ".join(titles) + " on each class", super().caption())

    def _classes(self) -> Tensor:
        return torch.tensor(self.scene.classes)[:, None].expand(-1, len(self.scene.z))


@dataclass(frozen=True)
class Curved(Way):
    """Each direction as a straight line, and below it the path that turns with the generator."""

    def blocks(self, row: int) -> list[tuple[Label, int]]:
        """The line and the path, as `CurvedFilm` counts them."""
        line = 2 * self.scene.shown.index(row)
        kinds = (("straight", line), ("curved", line + 1))
        return [(Label(str(row), f"{self.scene.names[row]} {kind}".strip()), number) for kind, number in kinds]

    def caption(self) -> str:
        """See `Way`."""
        return _joined(f"straight lines and curved paths of length ±{self.path_size:.3g}", self.scene.description)

    def walk(self, *, quiet: bool) -> CurvedFilm:
        """See `Way`."""
        scene = self.scene
        generator, z, layers = scene.generator, scene.z, scene.layers
        y = sample_classes(scene.classes, len(z))
        if scene.directions is None:
            lines = leading_directions(generator, z, y, max(scene.shown) + 1, layers=layers)[scene.shown]
        else:
            lines = lines_of(generator, scene.directions, scene.shown, len(z), layers=layers)
        paths = curved_paths(generator, z, y, lines, self.path_size, layers=layers, quiet=quiet)
        return CurvedFilm(generator, paths, z, y, layers)


def class_list(generator: FrozenGenerator, classes: Sequence[int], most: int = 6) -> str:
    """The names of classes in words; nothing for a generator without classes."""
    if generator.num_classes == 1:
        return ""
    names = [generator.class_names[index] for index in classes]
    more = f" and {len(names) - most} more classes" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _joined(*parts: str) -> str:
    return " · ".join(filter(None, parts))


def equal_reach(scene: Scene, path_size: float, *, centred: bool, seed: int, quiet: bool) -> dict[int, float]:
    """How far to go along each direction that is shown, such that all change the image equally."""
    assert scene.directions is not None
    cost = equal_path_sizes_cost(len(scene.shown), samples=_MEASURED)
    with Progress(cost, "measuring", unit="image", quiet=quiet) as progress:
        sizes = equal_path_sizes(
            scene.generator,
            scene.directions.Q[scene.shown],
            classes=scene.classes,
            path_size=path_size,
            centred=centred,
            samples=_MEASURED,
            layers=scene.layers,
            seed=seed,
            progress=progress,
        )
    return dict(zip(scene.shown, sizes, strict=True))
