"""`evaluate`: how good directions are, in numbers and pictures."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from biggan_discovery.directions import Directions, pad, random_frame
from biggan_discovery.directions.defaults import classes_for
from biggan_discovery.directions.region import Region, region_of
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.forecast import Forecast
from biggan_discovery.evaluation.metric import PRESETS, View
from biggan_discovery.evaluation.suite import Judged, Suite, true_rows
from biggan_discovery.evaluation.table import check_metrics, with_needed
from biggan_discovery.files import atomic_write, check_writable
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import ClassChoice
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.numerics.trial import loaded
from biggan_discovery.progress import Progress
from biggan_discovery.reports import content
from biggan_discovery.reports.document import HTML, JSON, as_text
from biggan_discovery.reports.results import Results
from biggan_discovery.reports.sets import DirectionSet, class_options, command_line, open_sets, setting
from biggan_discovery.search.method import one_of

BASELINES = {"coordinates": "coordinates", "SeFa": "sefa", "GANSpace": "ganspace"}
"""Methods without a search that sets are judged beside, by their labels; random directions come on top."""

_log = logging.getLogger(__name__)


class Report(Results):
    """Sets of directions and their figures, to be shown, read and saved.

    Example:
        >>> report = evaluate("scenes-64", "scenes-64", metrics=["recovery"])
        >>> report.figures["scenes-64"]["recovery"].mean
        0.9934600447924193
        >>> report.save("report")
    """

    def table(self) -> str:
        """All figures of all sets as plain text, one column per set."""
        return as_text(content.table(self))

    def to_json(self) -> str:
        """All figures with their meaning and settings as JSON."""
        return content.to_json(self, finished=True)

    def save(self, folder: str | os.PathLike[str], *, figures: bool = True, quiet: bool = True) -> None:
        """Write report.html, report.md, report.json, report.csv, report.tex and pictures.

        Args:
            folder: created if missing; files of an existing report are replaced.
            figures: make pictures too, which takes some images.
            quiet: show no progress.

        Raises:
            UserError: if the folder is not writable.
        """
        from biggan_discovery.reports.pages import pictures_cost, write_pages

        check_writable(Path(folder, HTML))
        cost = pictures_cost(self) if figures else 0
        with Progress(cost, "pictures", unit="image", quiet=quiet or not figures) as progress:
            write_pages(self, Path(folder), progress, pictures=figures)
        atomic_write(Path(folder, JSON), self.to_json())


def evaluate(
    generator: FrozenGenerator | str | os.PathLike[str],
    *directions: Directions | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    metrics: Sequence[str] | str | None = None,
    preset: str = "quick",
    labels: Sequence[str] | None = None,
    baselines: bool = False,
    figures: bool = True,
    layers: str | None = None,
    classes: ClassChoice = None,
    path_size: float | None = None,
    epsilon: float | None = None,
    probes: int | None = None,
    region: str | None = None,
    mask: str | os.PathLike[str] | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Report:
    """Judge directions: held-out objectives, the Hessian, activeness, VP, RCA and more, and known factors if any.

    All sets are judged on the same held-out samples, in float32 on every device.

    Args:
        generator: a frozen generator, or anything that `load_generator` accepts.
        directions: one or more sets, each a `Directions` object or the path of a directions file.
        out: folder for report.html (one file with all pictures), report.md, report.json, and all figures as report.csv
            and report.tex. Each metric is saved when it is finished, so that the same call resumes after an
            interruption. Defaults to writing nothing.
        metrics: names of the metrics, a list or a string such as "hessian,vp"; see `evaluation.metric_names`. Defaults
            to all. Activeness is always measured, as reports put directions in its order.
        preset: "quick", which takes minutes on two cores for a small generator, or "full", for a GPU.
        labels: label of each set. Defaults to the names of files or their folders.
        baselines: also judge random, coordinate, SeFa and GANSpace directions, and the true ones if known.
        figures: make pictures for the report. Needs `out`.
        layers: take the directions for exactly these layers, such as "3" of a search layer by layer. Defaults to all.
        classes: class indices, a string such as "cone" or "0-2", or soft classes, see `class_list`. Defaults to those
            of the first set, or to all.
        path_size: η, extent to both sides, > 0. Defaults to that of the search that found the first set, or the
            generator's.
        epsilon: finite-difference step in w, > 0. Defaults as `path_size`.
        probes: Rademacher probes per sample of held-out objectives, at least 2. Defaults to the preset's.
        region: box x0,y0,x1,y1 in relative units, or "upper", "lower", "left", "right" or "centre", for the metric
            localization. Defaults to the one that the first set was found for.
        mask: picture file of a region instead, white inside.
        seed: random seed of all samples.
        quiet: log no costs and show no progress.

    Returns:
        The report: figures by set and metric, `table()`, `to_json()` and `save(folder)`.

    Raises:
        UserError: for an unknown metric or preset, directions that do not fit the generator, a folder that is not
            writable, or one with an unfinished report that has other settings.

    Example:
        >>> found = discover("scenes-64", samples=4)
        >>> report = evaluate("scenes-64", found, baselines=True, out="report")
        >>> report.figures["directions"]["Hessian Penalty / random"].mean < 1
        True
        >>> print(report.table())
    """
    asked = [name.strip() for name in metrics.split(",")] if isinstance(metrics, str) else metrics
    if asked is not None:
        check_metrics(asked)
    one_of("preset", preset, PRESETS)
    if probes is not None and (isinstance(probes, bool) or not isinstance(probes, int) or probes < 2):
        raise UserError(f"probes is {probes!r}; it should be an integer of at least 2")
    if not directions:
        raise UserError("no directions are given; give one or more sets, or directions files")
    if out is not None:
        check_writable(Path(out, HTML))
    generator = loaded(generator)
    given = open_sets(generator, directions, labels, layers)
    leading = given[0]
    view = View(
        generator,
        leading.directions.Q,
        leading.layers,
        classes_for(leading.directions, generator, classes),
        setting("path_size", path_size, leading, generator),
        setting("epsilon", epsilon, leading, generator),
        seed,
        generator.factor_predictor(),
        _region(generator, leading.directions, region, mask),
    )
    sets = [Judged(each.label, _view_of(view, each), tuple(each.directions.names), each.file) for each in given]
    more, notes = _baselines(view, [each.label for each in given]) if baselines else ([], [])
    suite = Suite(with_needed(asked), preset, {} if probes is None else {"probes": probes})
    sets += more
    command = command_line(
        "evaluate",
        given,
        generator,
        {
            "metrics": asked and ",".join(asked),
            "preset": preset if preset != "quick" else None,
            "baselines": baselines,
            "no-figures": not figures,
            "layers": layers,
            **class_options(classes),
            "path-size": path_size,
            "epsilon": epsilon,
            "probes": probes,
            "region": region,
            "mask": mask,
            "seed": seed or None,
            "out": out,
        },
    )
    report = Report(sets, suite, [*notes, *suite.left_out(sets)], {}, command)
    report.histories = {each.label: each.history for each in given if each.history is not None}
    _measure(report, None if out is None else Path(out), figures=figures, quiet=quiet)
    return report


def _measure(report: Report, out: Path | None, *, figures: bool, quiet: bool) -> None:
    from biggan_discovery.reports.pages import pictures_cost

    if out is not None:
        content.take_over(report, out / JSON)
    report.costs = report.suite.costs(report.sets)
    if out is not None and figures:
        report.costs["pictures"] = pictures_cost(report)
    if not quiet:
        for title, images in [*report.costs.items(), ("in all", sum(report.costs.values()))]:
            _log.info("%s images  %s", f"{images:>10,}", title)

    def keep() -> None:
        if out is not None:
            atomic_write(out / JSON, content.to_json(report, finished=False))

    try:
        forecast = Forecast(sum(report.costs.values()), quiet=quiet)
        report.suite.measure(report.sets, quiet=quiet, forecast=forecast, done=keep)
    except (KeyboardInterrupt, SystemExit) as error:
        if out is not None:
            error.add_note(f"finished metrics are saved in {out}, and the same call continues from there")
        raise
    if out is not None:
        report.save(out, figures=figures, quiet=quiet)


def _region(
    generator: FrozenGenerator, directions: Directions, region: str | None, mask: str | os.PathLike[str] | None
) -> Region | None:
    """The region that is asked for, or the box that directions were found for; their files name no masks to open."""
    found_for = directions.metadata.get("settings", {}).get("region")
    if region is None and mask is None:
        if not isinstance(found_for, str):
            return None
        region = found_for
    return region_of(generator, region, mask)


def _view_of(view: View, given: DirectionSet) -> View:
    return replace(view, Q=given.directions.Q, layers=given.layers)


def _baselines(view: View, taken: Sequence[str]) -> tuple[list[Judged], list[str]]:
    """As many directions as the first set has, found without a search; and a note on each method that has none."""
    from biggan_discovery.search.discovery import discover

    generator, ndirs, layers = view.generator, len(view.Q), str(view.layers)
    space = generator.search_space(layers)
    # None that a search starts from or that ratios divide by.
    random = random_frame(ndirs, space.stop - space.start, seed=view.seed, stream=Stream.BASELINE_FRAME)
    found = [Judged(_free("random", taken), replace(view, Q=pad(random, space, generator.z_dim)))]
    notes = []
    for label, method in BASELINES.items():
        run: dict[str, Any] = {"directions": ndirs, "layers": layers, "seed": view.seed, "judge": False, "quiet": True}
        try:
            rows = discover(generator, method=method, **run).Q
        except UserError as error:
            notes.append(f"No {label} directions: {error}.")
        else:
            found.append(Judged(_free(label, taken), replace(view, Q=rows)))
    if generator.true_directions is not None and view.layers.covers_all:
        rows, names = true_rows(generator, ndirs)
        found.append(Judged(_free("true", taken), replace(view, Q=rows), names))
    return found, notes


def _free(label: str, taken: Sequence[str]) -> str:
    return f"{label} (baseline)" if label in taken else label
