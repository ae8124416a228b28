"""The interface of metrics: needs, cost, and the meaning of figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from torch import Tensor

from biggan_discovery.directions.region import Region
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.forecast import Forecast
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.progress import Progress

PRESETS = ("quick", "full")
ARITHMETIC = "float32"

Predictor = Callable[[Tensor], Tensor]


class Kind(Enum):
    """The kinds of figures."""

    SET = "one number for a set of directions"
    DIRECTION = "a number for each direction"
    MATRIX = "a matrix with a row for each direction"
    INTERMEDIATE = "what other metrics are made from; not reported"


@dataclass(frozen=True)
class Figure:
    """A figure of a metric, as reports describe it.

    Attributes:
        key: name in report.json, unique among the figures of its kind.
        title: short title for table headers.
        meaning: its meaning, in one sentence.
        better: "↑" if larger is better, "↓" if smaller is better, "" otherwise.
        kind: kind of the figure.
        paper: the paper that defines it, as in `papers.PAPERS`; "" if there is none.

    Raises:
        TypeError: if a string is empty, or `better` is invalid.
    """

    key: str
    title: str
    meaning: str
    better: Literal["↑", "↓", ""] = ""
    kind: Kind = Kind.SET
    paper: str = ""

    def __post_init__(self) -> None:
        for name in ("key", "title", "meaning"):
            if not str(getattr(self, name)).strip():
                raise TypeError(f"the figure {self.key!r} has no {name}")
        if not self.meaning.endswith("."):
            raise TypeError(f"the meaning of {self.key!r} should be a sentence: {self.meaning!r}")
        if self.better not in ("↑", "↓", ""):
            raise TypeError(f"the figure {self.key!r} is better {self.better!r}; it should be '↑', '↓' or ''")


class Need(Enum):
    """The requirements of metrics."""

    TWO_DIRECTIONS = "at least 2 directions"
    TWO_CLASSES = "a generator with at least 2 classes"
    TRUE_DIRECTIONS = "known true directions"
    TWO_FACTORS = "at least 2 true factors"
    ALL_LAYERS = "directions that reach all layers"
    REGION = "a region"
    PREDICTOR = "a predictor of the true factors"

    def met(self, view: View) -> bool:
        """Whether a view meets the requirement."""
        match self:
            case Need.TWO_DIRECTIONS:
                return len(view.Q) > 1
            case Need.TWO_CLASSES:
                return view.generator.num_classes > 1
            case Need.TRUE_DIRECTIONS:
                return view.generator.true_directions is not None
            case Need.TWO_FACTORS:
                return len(view.generator.factor_names) > 1
            case Need.ALL_LAYERS:
                return view.layers.covers_all
            case Need.REGION:
                return view.region is not None
            case Need.PREDICTOR:
                return view.predictor is not None


@dataclass(frozen=True)
class View:
    """A set of directions as a metric sees it.

    Attributes:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        layers: layers of the generator that the directions reach.
        classes: class indices and soft classes to draw from.
        path_size: η, extent to both sides.
        epsilon: ε, finite-difference step in w.
        seed: random seed.
        region: region of the image, if there is one.
        predictor: function from images (N, C, H, W) to true factors (N, n), if there is one.
        references: held-out values (N,) of random frames by objective, number of directions and layers; shared by the
            sets of a report, and extended when more frames are needed.
        sizes: the sizes of the metric in the preset.
        found: figures of earlier metrics.
        progress: advanced while the metric is measured.
    """

    generator: FrozenGenerator
    Q: Tensor
    layers: LayerRange
    classes: list[Class]
    path_size: float
    epsilon: float
    seed: int = 0
    predictor: Predictor | None = None
    region: Region | None = None
    references: dict[tuple[str, int, str], list[Tensor]] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[Figure, Any] = field(default_factory=dict)
    progress: Progress | None = None

    @property
    def sampling(self) -> dict[str, Any]:
        """Arguments that all metrics on samples share."""
        return {"classes": self.classes, "layers": self.layers, "seed": self.seed, "progress": self.progress}


def no_images(_: View) -> int:
    """The cost of a metric that takes no images."""
    return 0


@dataclass(frozen=True)
class Metric:
    """A metric of directions.

    A new metric is one file with a `Metric` object, and one line in `evaluation.table`. `evaluate` then measures it,
    reports its figures and their meaning, and accepts its name in `--metrics`.

    Attributes:
        title: title of a few words.
        figures: all figures that it may return.
        presets: its sizes by preset, such as {"quick": {"samples": 8}, "full": {"samples": 64}}.
        cost: function from a view to the number of generated images, see `View.sizes`.
        measure: function from a view to its figures. It may omit unavailable figures.
        needs: requirements; a view that does not meet them is not measured, and the report says so.
        after: names of the metrics in the table whose figures it reads from `View.found`.
        shared_cost: maximum number of images generated once for all sets with the same number of directions and layers.
        length: total progress of `measure` and its unit. Defaults to the images of both costs.

    Raises:
        TypeError: for no figures, two figures with the same key, or a preset without sizes.

    Example:
        >>> SPREAD = Figure("spread", "spread", "Ratio of the longest and the shortest direction.", "↓")
        >>> METRIC = Metric(
        ...     "spread",
        ...     figures=(SPREAD,),
        ...     presets={"quick": {}, "full": {}},
        ...     cost=no_images,
        ...     measure=lambda view: {SPREAD: Estimate((view.Q.norm(dim=1).max() / view.Q.norm(dim=1).min()).item())},
        ... )
    """

    title: str
    figures: tuple[Figure, ...]
    presets: Mapping[str, Mapping[str, Any]]
    cost: Callable[[View], int]
    measure: Callable[[View], Mapping[Figure, Any]]
    needs: frozenset[Need] = frozenset()
    after: tuple[str, ...] = ()
    shared_cost: Callable[[View], int] = no_images
    length: Callable[[View], tuple[int, str]] | None = None

    def __post_init__(self) -> None:
        if not self.figures or len({(each.kind, each.key) for each in self.figures}) < len(self.figures):
            raise TypeError(f"the figures of {self.title} should be at least one, with different keys")
        if missing := [preset for preset in PRESETS if preset not in self.presets]:
            raise TypeError(f"{self.title} has no sizes for the preset {missing[0]}")

    def unmet(self, view: View) -> list[str]:
        """Descriptions of the requirements that the view does not meet."""
        return [need.value for need in Need if need in self.needs and not need.met(view)]

    def progress(self, view: View, label: str, forecast: Forecast, *, quiet: bool) -> Progress:
        """A progress bar for `measure`; its pace tells the time of all images."""
        images = self.cost(view) + self.shared_cost(view)
        length, unit = self.length(view) if self.length else (images, "image")
        return forecast.progress(length, label, unit=unit, images=images, quiet=quiet)

    def __call__(self, view: View) -> dict[Figure, Any]:
        """The figures of a view, in the order of their declaration; images are made in float32 arithmetic.

        Raises:
            UserError: if the view does not meet the requirements.
            TypeError: if the metric returns a figure that it does not declare.
        """
        if unmet := self.unmet(view):
            raise UserError(f"{self.title} needs {' and '.join(unmet)}")
        with arithmetic(ARITHMETIC):
            found = self.measure(view)
        if unknown := [figure.key for figure in found if figure not in self.figures]:
            raise TypeError(f"{self.title} returns {', '.join(unknown)}, which it does not declare")
        return {figure: found[figure] for figure in self.figures if figure in found}
