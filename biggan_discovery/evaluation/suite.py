"""All metrics of several sets of directions: cost, measurement and results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.directions.activity import active_first, inactive
from biggan_discovery.evaluation.estimates import Estimate, Ratio
from biggan_discovery.evaluation.forecast import Forecast
from biggan_discovery.evaluation.metric import Figure, Kind, Metric, View
from biggan_discovery.evaluation.metrics.activeness import CHANGE, SCORES
from biggan_discovery.evaluation.metrics.factors import true_directions
from biggan_discovery.evaluation.table import metric_named
from biggan_discovery.generators import FrozenGenerator


@dataclass
class Judged:
    """A set of directions and its figures.

    Attributes:
        label: label of the set.
        view: the directions and the settings for judging.
        names: names of the directions; () if there are none.
        file: file of the directions, if any.
        found: the figures, in the order of measurement.
        measured: names of the finished metrics.
    """

    label: str
    view: View
    names: tuple[str, ...] = ()
    file: str = ""
    found: dict[Figure, Any] = field(default_factory=dict)
    measured: list[str] = field(default_factory=list)

    @property
    def figures(self) -> dict[str, Estimate | Ratio]:
        """Figures of the set by their keys."""
        return self._of(Kind.SET)

    @property
    def of_directions(self) -> dict[str, list[Estimate]]:
        """A figure for each direction, by their keys."""
        return self._of(Kind.DIRECTION)

    @property
    def matrices(self) -> dict[str, Tensor]:
        """Matrices by their keys."""
        return self._of(Kind.MATRIX)

    @property
    def active_first(self) -> list[int]:
        """Directions by activeness, inactive ones last."""
        scores = [each.mean for each in self.found[SCORES]]
        order = sorted(range(len(scores)), key=lambda direction: -scores[direction])
        return [order[place] for place in active_first([self.found[CHANGE][direction].mean for direction in order])]

    @property
    def inactive(self) -> list[int]:
        """The inactive directions."""
        return inactive([change.mean for change in self.found[CHANGE]])

    def name_of(self, direction: int) -> str:
        """Number and name of a direction."""
        return f"{direction} {self.names[direction] if self.names else ''}".strip()

    def _of(self, kind: Kind) -> dict[str, Any]:
        return {figure.key: value for figure, value in self.found.items() if figure.kind is kind}


def true_rows(generator: FrozenGenerator, ndirs: int) -> tuple[Tensor, tuple[str, ...]]:
    """The true directions and their names, completed to `ndirs` rows by orthogonal directions.

    Raises:
        UserError: if the true directions of the generator are unknown.
    """
    truth = true_directions(generator)
    rest = torch.linalg.qr(truth.double().T, mode="complete").Q.T[len(truth) :]
    rows = torch.cat((truth, rest.to(truth)))[: max(ndirs, len(truth))]
    return rows, (*generator.factor_names, *[""] * (len(rows) - len(truth)))


@dataclass(frozen=True)
class Suite:
    """Metrics with the sizes of a preset.

    Attributes:
        names: names of the metrics, including those that others need, see `table.with_needed`.
        preset: "quick" or "full".
        sizes: sizes that replace those of the preset in all metrics that have them, such as {"probes": 4}.
    """

    names: Sequence[str]
    preset: str
    sizes: Mapping[str, Any] = field(default_factory=dict)

    def metrics(self, view: View) -> Iterator[tuple[str, Metric, View]]:
        """The metrics whose needs a view meets, by name, and the view with their sizes."""
        for name in self.names:
            metric = metric_named(name)
            if not metric.unmet(view):
                yield name, metric, replace(view, sizes=self._sizes(metric))

    def sizes_by_metric(self) -> dict[str, dict[str, Any]]:
        """The sizes of each metric by its name."""
        return {name: self._sizes(metric_named(name)) for name in self.names}

    def left_out(self, sets: Sequence[Judged]) -> list[str]:
        """A sentence for each metric whose needs some sets do not meet."""
        needed_by: dict[tuple[str, str], list[str]] = {}
        for each in sets:
            for metric in map(metric_named, self.names):
                if unmet := metric.unmet(each.view):
                    needed_by.setdefault((metric.title, " and ".join(unmet)), []).append(each.label)
        notes = []
        for (title, unmet), labels in needed_by.items():
            of_some = "" if len(labels) == len(sets) else f" for {', '.join(labels)}"
            notes.append(f"Not measured{of_some}: {title}, which needs {unmet}.")
        return notes

    def costs(self, sets: Sequence[Judged]) -> dict[str, int]:
        """Remaining images of each metric for all sets together, by its title, if any."""
        costs: dict[str, int] = {}
        planned = set[tuple[str, int, str]]()
        for each in sets:
            for name, metric, view in self._left(each):
                shared = (name, len(view.Q), str(view.layers))
                images = metric.cost(view) + (0 if shared in planned else metric.shared_cost(view))
                planned.add(shared)
                if images:
                    costs[metric.title] = costs.get(metric.title, 0) + images
        return costs

    def measure(
        self,
        sets: Sequence[Judged],
        *,
        quiet: bool = False,
        forecast: Forecast | None = None,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        """Measure the remaining metrics of all sets, in place.

        Args:
            sets: sets, possibly with some figures.
            quiet: show no progress.
            forecast: tells how long all images will take. Defaults to one of the remaining images.
            done: called after each metric.
        """
        forecast = forecast or Forecast(sum(self.costs(sets).values()), quiet=quiet)
        for each in sets:
            for name, metric, view in list(self._left(each)):
                with metric.progress(view, f"{each.label}: {metric.title}", forecast, quiet=quiet) as progress:
                    each.found.update(metric(replace(view, found=each.found, progress=progress)))
                if _is_reported(metric):
                    each.measured.append(name)
                done()
            for figure in [figure for figure in each.found if figure.kind is Kind.INTERMEDIATE]:
                del each.found[figure]

    def _sizes(self, metric: Metric) -> dict[str, Any]:
        own = metric.presets[self.preset]
        return {**own, **{name: size for name, size in self.sizes.items() if name in own}}

    def _left(self, judged: Judged) -> Iterator[tuple[str, Metric, View]]:
        """The metrics that are not yet measured, and the intermediate metrics that they need."""
        every = list(self.metrics(judged.view))
        waiting = [name for name, metric, _ in every if name not in judged.measured and _is_reported(metric)]
        needed = {each for name in waiting for each in metric_named(name).after}
        for name, metric, view in every:
            if name in waiting or (name in needed and not _is_reported(metric)):
                yield name, metric, view


def _is_reported(metric: Metric) -> bool:
    return any(figure.kind is not Kind.INTERMEDIATE for figure in metric.figures)
