"""`compare`: the agreement of sets of directions."""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import classes_for
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.agreement import Agreement, agreement, chance_agreement
from biggan_discovery.evaluation.estimates import Estimate
from biggan_discovery.evaluation.forecast import Forecast
from biggan_discovery.evaluation.metrics.activeness import activeness, activeness_cost
from biggan_discovery.files import atomic_write, check_writable
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import ClassChoice, labels_of
from biggan_discovery.generators.mixes import Class, to_stored
from biggan_discovery.numerics.trial import loaded
from biggan_discovery.progress import Progress
from biggan_discovery.rendering import Label, Sheet, open_writer, sample_latents, strip_amounts, to_uint8, traversal
from biggan_discovery.reports import figures
from biggan_discovery.reports.content import circumstances, occasion, plain
from biggan_discovery.reports.document import (
    FIGURES,
    HTML,
    JSON,
    MARKDOWN,
    Code,
    Document,
    Heading,
    Picture,
    Table,
    Text,
    as_text,
    shown,
)
from biggan_discovery.reports.pages import strip_scale
from biggan_discovery.reports.pieces import Scores, save_scores, saved_scores
from biggan_discovery.reports.sets import DirectionSet, class_options, command_line, open_sets, setting

_log = logging.getLogger(__name__)
_SAMPLES = 8  # of activeness
_STRIPS, _STRIP_LENGTH = 24, 7
_ANGLE = 1.0  # degrees; spaces that are closer are the same


@dataclass(frozen=True)
class Pair:
    """Two sets by their labels, how they agree, and how two random sets of that size do.

    Attributes:
        labels: of both.
        agreement: which directions match, their cosines, and principal angles.
        chance: mean |cos| of matched directions of random sets.
        activeness: of the directions of the first.
    """

    labels: tuple[str, str]
    agreement: Agreement
    chance: Estimate
    activeness: Sequence[Estimate]

    @property
    def weighted(self) -> float:
        """Mean |cos| of matched directions, weighted by the activeness of the first set's."""
        return self.agreement.weighted_mean(torch.tensor([each.mean for each in self.activeness]))


@dataclass(frozen=True)
class Comparison:
    """The pairwise agreement of sets of directions.

    Attributes:
        generator: generator of the directions.
        sets: the sets by label.
        pairs: agreement of each pair of sets.
        classes: classes of the film strips.
        path_size: extent of the film strips.
        seed: random seed.
        command: command line of the same comparison; "" if there is none.
    """

    generator: FrozenGenerator
    sets: Mapping[str, Directions]
    pairs: Sequence[Pair]
    classes: list[Class]
    path_size: float
    seed: int
    command: str = ""

    def table(self) -> str:
        """Mean |cos|, chance and principal angles of each pair of sets as plain text."""
        return as_text(_summary(self.pairs))

    def to_json(self) -> str:
        """All results as JSON."""
        return json.dumps(plain(_content(self)), indent=1, allow_nan=False) + "\n"

    def save(self, folder: str | os.PathLike[str], *, quiet: bool = True) -> None:
        """Write report.html, report.md, report.json and figures; generates some images for the film strips.

        Args:
            folder: created if missing; files of an existing report are replaced.
            quiet: show no progress.

        Raises:
            UserError: if the folder is not writable.
        """
        check_writable(Path(folder, HTML))
        images = sum(map(_cost, self.pairs))
        with Progress(images, "pictures", unit="image", quiet=quiet) as progress:
            _write(self, Path(folder), progress)


def compare(
    generator: FrozenGenerator | str | os.PathLike[str],
    *directions: Directions | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    labels: Sequence[str] | None = None,
    layers: str | None = None,
    classes: ClassChoice = None,
    path_size: float | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Comparison:
    """Compare sets of directions pairwise, matched one to one, and the spaces they span.

    Over runs with different seeds, this measures the consistency of a method.

    Args:
        generator: a frozen generator, or anything that `load_generator` accepts.
        directions: two or more sets, each a `Directions` object or the path of a directions file.
        out: folder for report.html, report.md, report.json and figures. What is measured of a set is saved when it is
            finished, so that the same call resumes after an interruption. Defaults to writing nothing.
        labels: label of each set. Defaults to the names of files or their folders.
        layers: take the directions for exactly these layers, such as "3" of a search layer by layer. Defaults to all.
        classes: class indices, a string such as "cone" or "0-2", or soft classes, see `class_list`. Defaults to those
            of the first set, or to all.
        path_size: extent of the film strips, > 0. Defaults to that of the search that found the first set.
        seed: random seed of the samples for activeness and of the random sets.
        quiet: log no costs and show no progress.

    Returns:
        The comparison: `pairs`, `table()`, `to_json()` and `save(folder)`.

    Raises:
        UserError: for fewer than two sets, directions that do not fit the generator, or a folder that is not writable,
            or one with an unfinished comparison that has other settings.

    Example:
        >>> one, other = (discover("scenes-64", samples=4, seed=seed) for seed in range(2))
        >>> comparison = compare("scenes-64", one, other)
        >>> comparison.pairs[0].agreement.mean > comparison.pairs[0].chance.mean
        True
    """
    if len(directions) < 2:
        raise UserError(f"{len(directions)} set of directions is given; a comparison needs two or more")
    if out is not None:
        check_writable(Path(out, HTML))
    generator = loaded(generator)
    given = open_sets(generator, directions, labels, layers)
    chosen = classes_for(given[0].directions, generator, classes)
    extent = setting("path_size", path_size, given[0], generator)
    scores = _measured(generator, given, chosen, seed=seed, out=out, quiet=quiet)
    pairs = []
    for one, other in itertools.combinations(given, 2):
        space = generator.search_space(one.layers)
        sizes = len(one.directions), len(other.directions)
        chance = chance_agreement(*sizes, space.stop - space.start, seed=seed)
        found = agreement(one.directions.Q, other.directions.Q)
        pairs.append(Pair((one.label, other.label), found, chance, scores[one.label]))
    options = {"layers": layers, **class_options(classes), "path-size": path_size, "seed": seed or None, "out": out}
    comparison = Comparison(
        generator,
        {each.label: each.directions for each in given},
        pairs,
        chosen,
        extent,
        seed,
        command_line("compare", given, generator, options),
    )
    if out is not None:
        comparison.save(out, quiet=quiet)
    return comparison


def _measured(
    generator: FrozenGenerator,
    given: Sequence[DirectionSet],
    classes: list[Class],
    *,
    seed: int,
    out: str | os.PathLike[str] | None,
    quiet: bool,
) -> Scores:
    """Activeness of all sets but the last, resumed where an unfinished report has some; says first what it takes."""
    file = None if out is None else Path(out, JSON)
    conditions = {**circumstances(generator), "classes": to_stored(classes), "samples": _SAMPLES, "seed": seed}
    scores = {} if file is None else saved_scores(file, conditions, given)
    costs = {
        each.label: activeness_cost(len(each.directions), samples=_SAMPLES)
        for each in given[:-1]
        if each.label not in scores
    }
    pictures = 0 if out is None else sum(_strips_cost(*sizes) for sizes in itertools.combinations(map(_size, given), 2))
    if not quiet:
        sets = ", ".join(f"{each.label} ({_size(each)})" for each in given)
        done = f"{len(scores)} of {len(given) - 1} measured before, " if scores else ""
        _log.info(
            "comparing %d sets of directions in %s: %s; %s%s images for activeness, %s for pictures",
            len(given), generator.name, sets, done, f"{sum(costs.values()):,}", f"{pictures:,}",
        )  # fmt: skip
    forecast = Forecast(sum(costs.values()) + pictures, quiet=quiet)
    try:
        for each in given[:-1]:
            if each.label in scores:
                continue
            cost = costs[each.label]
            label = f"{each.label}: activeness"
            with forecast.progress(cost, label, unit="image", images=cost, quiet=quiet) as progress:
                scores[each.label] = activeness(
                    generator,
                    each.directions.Q,
                    classes=classes,
                    samples=_SAMPLES,
                    layers=each.layers,
                    seed=seed,
                    progress=progress,
                )
            if file is not None:
                save_scores(file, conditions, given, scores)
    except (KeyboardInterrupt, SystemExit) as error:
        if out is not None:
            error.add_note(f"finished sets are saved in {out}, and the same call continues from there")
        raise
    return scores


def _size(given: DirectionSet) -> int:
    return len(given.directions)


def _strips_cost(one: int, other: int) -> int:
    """Images for the film strips of two sets of so many directions."""
    return min(one, other, _STRIPS) * 2 * _STRIP_LENGTH


def _cost(pair: Pair) -> int:
    return _strips_cost(len(pair.agreement.partners), len(pair.agreement.partners))


def _write(comparison: Comparison, folder: Path, progress: Progress) -> None:
    generator, sets, pairs = comparison.generator, comparison.sets, comparison.pairs
    document = Document(f"Directions of {Path(generator.name).name}: {' and '.join(sets)}")
    document.add(*([Code(comparison.command)] if comparison.command else []), _summary(pairs), Text(_HOW_TO_READ))
    if len(sets) > 2:
        _add_consistency(document, folder, list(sets), pairs)
    y = labels_of(comparison.classes[:1], generator.num_classes)
    z = sample_latents(generator, 1, comparison.seed)
    for number, pair in enumerate(pairs):
        section = _Section(folder, f"{number:02d}", sets, pair)
        document.add(Heading(2, " and ".join(pair.labels)))
        strips = section.strips(generator, z, y, comparison.path_size)
        document.add(strips, section.heat_map(), section.angles(), section.table())
        progress.advance(_cost(pair))
    atomic_write(folder / JSON, comparison.to_json())
    atomic_write(folder / MARKDOWN, document.markdown())
    atomic_write(folder / HTML, document.html(folder))


_HOW_TO_READ = (
    "Directions are matched one to one such that the sum of |cos| is largest (Hungarian method). Chance is that of "
    "random orthonormal sets of the same sizes. Inactive directions are arbitrary, so the mean that is "
    "weighted by activeness says more about what is seen. Sets that span the whole space have principal angles of 0."
)


class _Section:
    """What the report shows of two sets: its figures are files that begin with its number."""

    def __init__(self, folder: Path, number: str, sets: Mapping[str, Directions], pair: Pair):
        self._folder, self._number, self._pair = folder, number, pair
        self._sets = tuple(sets[label] for label in pair.labels)
        found = pair.agreement
        self._matches = sorted(
            zip(found.partners, found.cosines, strict=True),
            key=lambda match: -pair.activeness[match[0][0]].mean,
        )

    def strips(self, generator: FrozenGenerator, z: Tensor, y: Tensor, path_size: float) -> Picture:
        shown_ = self._matches[:_STRIPS]
        amounts = strip_amounts(_STRIP_LENGTH, path_size)
        sheet = Sheet(
            [Label(self._numbers(match), f"|cos| {abs(cosine):.2f}") for match, cosine in shown_],
            tile=generator.resolution,
            rows=2,
            columns=len(amounts),
            header=[f"{amount:+.3g}" if amount else "0" for amount in amounts],
            scale=strip_scale(generator),
        )

        def tiles():
            for match, cosine in shown_:
                for directions, row, sign in zip(self._sets, match, (1, -1 if cosine < 0 else 1), strict=True):
                    # The same path for both, so that equal directions look equal.
                    walk = traversal(generator, directions, z, y, row, [sign * amount for amount in amounts])
                    yield from to_uint8(torch.cat(list(walk)))

        with open_writer(self._path("strips"), 1) as writer:
            writer.add(sheet.draw(tiles()))
        one, other = self._pair.labels
        return self._picture("strips", f"Matched directions, {one} above {other}, most active first.")

    def heat_map(self) -> Picture:
        rows, columns = zip(*(match for match, _ in self._matches), strict=True)
        left = [row for row in range(len(self._sets[0])) if row not in rows]
        right = [column for column in range(len(self._sets[1])) if column not in columns]
        matrix = self._pair.agreement.matrix[[*rows, *left]][:, [*columns, *right]].numpy()
        figures.cosine_heat_map(
            matrix,
            [str(row) for row in (*rows, *left)],
            [str(column) for column in (*columns, *right)],
            self._pair.labels,
            self._path("cosines"),
        )
        return self._picture("cosines", "|cos| of all directions, in the order in which they are matched.")

    def angles(self) -> Picture | Text:
        angles = self._pair.agreement.angles
        if angles[-1] < _ANGLE:
            return Text(f"Both sets span the same space: no principal angle is larger than {_ANGLE:g}°.")
        figures.angle_curve(angles, self._path("angles"))
        return self._picture("angles", "Principal angles; as many zeros as dimensions that both spaces share.")

    def table(self) -> Table:
        one, other = self._pair.labels
        rows = [
            [
                self._name(0, match[0]),
                self._name(1, match[1]),
                f"{cosine:+.3f}",
                shown(self._pair.activeness[match[0]]),
            ]
            for match, cosine in self._matches
        ]
        return Table((one, other, "cos", f"activeness in {one}"), rows)

    def _name(self, side: int, row: int) -> str:
        return f"{row} {self._sets[side].names[row]}".strip()

    def _numbers(self, match: tuple[int, int]) -> str:
        return f"{match[0]} / {match[1]}"

    def _path(self, name: str) -> Path:
        return self._folder / FIGURES / f"{self._number}-{name}.png"

    def _picture(self, name: str, caption: str) -> Picture:
        return Picture(f"{FIGURES}/{self._number}-{name}.png", caption)


def _summary(pairs: Sequence[Pair]) -> Table:
    header = ("sets", "matched", "mean |cos|", "weighted by activeness", "chance", "largest principal angle")
    rows = [
        [
            " – ".join(each.labels),
            str(len(each.agreement.partners)),
            f"{each.agreement.mean:.3f}",
            f"{each.weighted:.3f}",
            shown(each.chance),
            f"{each.agreement.angles[-1]:.1f}°",
        ]
        for each in pairs
    ]
    return Table(header, rows)


def _add_consistency(document: Document, folder: Path, labels: list[str], pairs: Sequence[Pair]) -> None:
    matrix = np.eye(len(labels))
    for each in pairs:
        row, column = map(labels.index, each.labels)
        matrix[row, column] = matrix[column, row] = each.agreement.mean
    chance = sum(each.chance.mean for each in pairs) / len(pairs)
    means = [each.agreement.mean for each in pairs]
    weighted = [each.weighted for each in pairs]
    figures.consistency_matrix(matrix, labels, chance, folder / FIGURES / "consistency.png")
    document.add(
        Heading(2, "Consistency"),
        Text(
            f"Over {len(means)} pairs of sets: mean |cos| {np.mean(means):.3f} ({min(means):.3f} to {max(means):.3f}), "
            f"weighted by activeness {np.mean(weighted):.3f}; chance {chance:.3f}."
        ),
        Picture(f"{FIGURES}/consistency.png", "Mean |cos| of matched directions."),
    )


def _content(comparison: Comparison) -> dict[str, Any]:
    return {
        "format": 2,
        "command": comparison.command,
        **circumstances(comparison.generator),
        **occasion(),
        "sets": {label: {"directions": len(each), "names": each.names} for label, each in comparison.sets.items()},
        "comparisons": [
            {
                "sets": list(each.labels),
                "partners": [list(pair) for pair in each.agreement.partners],
                "cosines": each.agreement.cosines,
                "mean": each.agreement.mean,
                "weighted_by_activeness": each.weighted,
                "chance": each.chance._asdict(),
                "principal_angles": each.agreement.angles,
            }
            for each in comparison.pairs
        ],
    }
