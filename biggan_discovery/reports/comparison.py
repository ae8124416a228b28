"""The report of `biggan-discovery compare`: how alike sets of directions are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.evaluation import Estimate
from biggan_discovery.evaluation.agreement import Agreement
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.rendering import Label, Sheet, open_writer, sample_latents, strip_amounts, to_uint8, traversal
from biggan_discovery.reports import figures
from biggan_discovery.reports.document import Code, Document, Heading, Picture, Table, Text, shown
from biggan_discovery.reports.evaluation import FIGURES, HTML, JSON, MARKDOWN, strip_scale

_STRIPS, _STRIP_LENGTH = 24, 7
_ANGLE = 1.0  # degrees; spaces that are closer are the same


@dataclass(frozen=True)
class Comparison:
    """Two sets by their labels, how they agree, and how two random sets of that size do."""

    labels: tuple[str, str]
    agreement: Agreement
    chance: Estimate
    activeness: Sequence[Estimate]  # of the first set

    @property
    def weighted(self) -> float:
        """Mean |cos| of matched directions, weighted by the activeness of the first set's."""
        return self.agreement.weighted_mean(torch.tensor([each.mean for each in self.activeness]))


def comparison_cost(comparisons: int, ndirs: int) -> int:
    """Forward passes of one image for the film strips of so many comparisons."""
    return comparisons * min(ndirs, _STRIPS) * 2 * _STRIP_LENGTH


def write_comparison(
    folder: Path,
    generator: FrozenGenerator,
    sets: Mapping[str, Directions],
    comparisons: Sequence[Comparison],
    *,
    classes: list[int],
    path_size: float,
    seed: int,
    command: str,
    drawn: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the report of a comparison to a folder.

    Args:
        folder: made where it is not there; files of a report in it are replaced.
        generator: whose directions they are.
        sets: by their labels, two or more.
        comparisons: of every two sets, in any order.
        classes: class indices of the film strips.
        path_size: extent of the film strips.
        seed: of their sample.
        command: that made the report.
        drawn: called with the number of images made for each comparison.
    """
    document = Document(f"Directions of {Path(generator.name).name}: {' and '.join(sets)}")
    document.add(Code(command), _summary(comparisons), Text(_HOW_TO_READ))
    if len(sets) > 2:
        _add_consistency(document, folder, list(sets), comparisons)
    y = torch.tensor(classes[:1])
    z = sample_latents(generator, 1, seed)
    for number, comparison in enumerate(comparisons):
        section = _Section(folder, f"{number:02d}", sets, comparison)
        document.add(Heading(2, " and ".join(comparison.labels)))
        document.add(section.strips(generator, z, y, path_size), section.heat_map(), section.angles(), section.table())
        drawn(comparison_cost(1, len(comparison.agreement.partners)))
    atomic_write(folder / JSON, json.dumps(_content(command, sets, comparisons), indent=1) + "\n")
    atomic_write(folder / MARKDOWN, document.markdown())
    atomic_write(folder / HTML, document.html())


_HOW_TO_READ = (
    "Directions are matched one to one such that the sum of |cos| is largest (Hungarian method). Chance is that of "
    "random orthonormal sets of the same sizes. Directions that do nothing point anywhere, so the mean that is "
    "weighted by activeness says more about what is seen. Sets that span the whole space have principal angles of 0."
)


class _Section:
    """What the report shows of two sets: its figures are files that begin with its number."""

    def __init__(self, folder: Path, number: str, sets: Mapping[str, Directions], comparison: Comparison):
        self._folder, self._number, self._comparison = folder, number, comparison
        self._sets = tuple(sets[label] for label in comparison.labels)
        found = comparison.agreement
        self._pairs = sorted(
            zip(found.partners, found.cosines, strict=True),
            key=lambda pair: -comparison.activeness[pair[0][0]].mean,
        )

    def strips(self, generator: FrozenGenerator, z: Tensor, y: Tensor, path_size: float) -> Picture:
        shown_ = self._pairs[:_STRIPS]
        amounts = strip_amounts(_STRIP_LENGTH, path_size)
        sheet = Sheet(
            [Label(self._numbers(pair), f"|cos| {abs(cosine):.2f}") for pair, cosine in shown_],
            tile=generator.resolution,
            rows=2,
            columns=len(amounts),
            header=[f"{amount:+.3g}" if amount else "0" for amount in amounts],
            scale=strip_scale(generator),
        )

        def tiles():
            for pair, cosine in shown_:
                for directions, row, sign in zip(self._sets, pair, (1, -1 if cosine < 0 else 1), strict=True):
                    # Walked the same way, so that what looks alike is alike.
                    walk = traversal(generator, directions, z, y, row, [sign * amount for amount in amounts])
                    yield from to_uint8(torch.cat(list(walk)))

        with open_writer(self._path("strips"), 1) as writer:
            writer.add(sheet.draw(tiles()))
        one, other = self._comparison.labels
        return self._picture("strips", f"Matched directions, {one} above {other}, most active first.")

    def heat_map(self) -> Picture:
        rows, columns = zip(*(pair for pair, _ in self._pairs), strict=True)
        left = [row for row in range(len(self._sets[0])) if row not in rows]
        right = [column for column in range(len(self._sets[1])) if column not in columns]
        matrix = self._comparison.agreement.matrix[[*rows, *left]][:, [*columns, *right]].numpy()
        figures.cosine_heat_map(
            matrix,
            [str(row) for row in (*rows, *left)],
            [str(column) for column in (*columns, *right)],
            self._comparison.labels,
            self._path("cosines"),
        )
        return self._picture("cosines", "|cos| of all directions, in the order in which they are matched.")

    def angles(self) -> Picture | Text:
        angles = self._comparison.agreement.angles
        if angles[-1] < _ANGLE:
            return Text(f"Both sets span the same space: no principal angle is larger than {_ANGLE:g}°.")
        figures.angle_curve(angles, self._path("angles"))
        return self._picture("angles", "Principal angles; as many zeros as dimensions that both spaces share.")

    def table(self) -> Table:
        one, other = self._comparison.labels
        rows = [
            [
                self._name(0, pair[0]),
                self._name(1, pair[1]),
                f"{cosine:+.3f}",
                shown(self._comparison.activeness[pair[0]]),
            ]
            for pair, cosine in self._pairs
        ]
        return Table((one, other, "cos", f"activeness in {one}"), rows)

    def _name(self, side: int, row: int) -> str:
        return f"{row} {self._sets[side].names[row]}".strip()

    def _numbers(self, pair: tuple[int, int]) -> str:
        return f"{pair[0]} / {pair[1]}"

    def _path(self, name: str) -> Path:
        return self._folder / FIGURES / f"{self._number}-{name}.png"

    def _picture(self, name: str, caption: str) -> Picture:
        return Picture(f"{FIGURES}/{self._number}-{name}.png", caption)


def _summary(comparisons: Sequence[Comparison]) -> Table:
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
        for each in comparisons
    ]
    return Table(header, rows)


def _add_consistency(document: Document, folder: Path, labels: list[str], comparisons: Sequence[Comparison]) -> None:
    matrix = np.eye(len(labels))
    for each in comparisons:
        row, column = map(labels.index, each.labels)
        matrix[row, column] = matrix[column, row] = each.agreement.mean
    chance = sum(each.chance.mean for each in comparisons) / len(comparisons)
    means = [each.agreement.mean for each in comparisons]
    weighted = [each.weighted for each in comparisons]
    figures.consistency_matrix(matrix, labels, chance, folder / FIGURES / "consistency.png")
    document.add(
        Heading(2, "Consistency"),
        Text(
            f"Over {len(means)} pairs of sets: mean |cos| {np.mean(means):.3f} ({min(means):.3f} to {max(means):.3f}), "
            f"weighted by activeness {np.mean(weighted):.3f}; chance {chance:.3f}."
        ),
        Picture(f"{FIGURES}/consistency.png", "Mean |cos| of matched directions."),
    )


def _content(command: str, sets: Mapping[str, Directions], comparisons: Sequence[Comparison]) -> dict:
    return {
        "format": 1,
        "command": command,
        "sets": {label: {"directions": len(each), "names": each.names} for label, each in sets.items()},
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
            for each in comparisons
        ],
    }
