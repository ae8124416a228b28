"""The report of `biggan-discovery evaluate`: JSON, Markdown, HTML and the figures that they show."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biggan_discovery.directions import Directions
from biggan_discovery.evaluation import inactive, penalty_map
from biggan_discovery.evaluation.factors import leakage
from biggan_discovery.evaluation.suite import Conditions, Judgement, Preset, Subject
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw
from biggan_discovery.rendering import Film, Label, Sheet, open_writer, sample_classes, sample_latents, strip_amounts
from biggan_discovery.rendering.sheet import to_uint8
from biggan_discovery.reports import figures
from biggan_discovery.reports.document import Code, Document, Heading, Picture, Table, Text, shown
from biggan_discovery.reports.metrics import METRICS

JSON, MARKDOWN, HTML, FIGURES = "report.json", "report.md", "report.html", "figures"

_MAPS, _MAP_PROBES = 5, 16
_STRIPS, _STRIP_SAMPLES, _STRIP_LENGTH = 24, 2, 7


@dataclass(frozen=True)
class Judged:
    """A set of directions, what came out, and where it comes from, as far as it comes from a file."""

    subject: Subject
    judgement: Judgement
    file: str = ""
    history: Path | None = None


def picture_cost(ndirs: int) -> int:
    """Forward passes of one image for the pictures of one set of directions."""
    return _MAPS * (1 + 2 * _MAP_PROBES) + min(ndirs, _STRIPS) * _STRIP_SAMPLES * _STRIP_LENGTH


def strip_scale(generator: FrozenGenerator) -> int:
    """How much to enlarge the pictures of film strips: 64 pixels can be seen, and many fit on a page."""
    return max(1, 64 // generator.resolution)


def write_evaluation(
    folder: Path,
    generator: FrozenGenerator,
    conditions: Conditions,
    preset: tuple[str, Preset],
    sets: Sequence[Judged],
    *,
    command: str,
    costs: Sequence[tuple[str, int]],
    notes: Sequence[str] = (),
    drawn: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the report of one or more judged sets to a folder.

    Args:
        folder: made where it is not there; files of a report in it are replaced.
        generator: what the sets were judged in.
        conditions: what they have in common.
        preset: its name and what it is.
        sets: at least one, with different labels.
        command: that made the report.
        costs: what was done, and its forward passes of one image.
        notes: sentences for the reader, such as baselines that could not be had.
        drawn: called with the number of images made for the pictures of a set.
    """
    document = Document(_title(generator, sets))
    document.add(Code(command), Text(_introduction(generator, conditions, preset[0])), *map(Text, notes))
    document.add(Heading(2, "All figures" if len(sets) == 1 else "All sets"), _table(sets), _legend(sets))
    if len(sets) > 1:
        scores = {each.subject.label: each.judgement.of_directions["activeness"] for each in sets}
        figures.activeness_curves(scores, folder / FIGURES / "activeness.png")
        document.add(Picture(f"{FIGURES}/activeness.png", "Activeness of all sets, directions sorted in each."))
    for index, each in enumerate(sets):
        _Section(folder, f"{index:02d}", generator, conditions, each).add_to(document)
        drawn(picture_cost(len(each.subject.Q)))
    total = sum(images for _, images in costs)
    document.add(
        Heading(2, "Cost"),
        Text("In forward passes of one image through the generator; nothing was differentiated."),
        Table(("task", "images"), [(title, f"{images:,}") for title, images in [*costs, ("in all", total)]]),
    )
    atomic_write(folder / JSON, json.dumps(_content(generator, conditions, preset, sets, command), indent=1) + "\n")
    atomic_write(folder / MARKDOWN, document.markdown())
    atomic_write(folder / HTML, document.html())


class _Section:
    """What the report shows of one set: its figures are files that begin with its number."""

    def __init__(self, folder: Path, number: str, generator: FrozenGenerator, conditions: Conditions, judged: Judged):
        self._folder, self._number = folder, number
        self._generator, self._conditions, self._judged = generator, conditions, judged
        self._order = judged.judgement.strongest_first
        self._names = [_name(judged.subject, direction) for direction in self._order]

    def add_to(self, document: Document) -> None:
        judged, judgement = self._judged, self._judged.judgement
        source = f" ({judged.file})" if judged.file else ""
        document.add(Heading(2, f"{judged.subject.label}{source}"))
        scores = judgement.of_directions["activeness"]
        document.add(self._strips())
        names = [_name(judged.subject, direction) for direction in range(len(scores))]
        figures.activeness_bars(scores, names, inactive(scores), self._path("activeness"))
        document.add(self._picture("activeness", "Activeness: mean variance of pixels at w = -2, 0, 2, sorted."))
        if "mean |H|" in judgement.matrices:
            magnitudes = judgement.matrices["mean |H|"][self._order][:, self._order].numpy()
            figures.hessian_heat_map(magnitudes, self._names, self._path("hessian"))
            document.add(self._picture("hessian", "Mean |H| over samples, channels and pixels."))
        document.add(self._penalty_maps())
        history = {} if judged.history is None else figures.read_history(judged.history)
        columns = [name for name in history if name not in ("step", "lr")]
        if columns and "step" in history:
            figures.search_curve(history, columns[0], self._path("search"))
            document.add(self._picture("search", f"The {columns[0]} over the steps of the search."))
        self._add_factors(document)
        document.add(self._table())

    def _add_factors(self, document: Document) -> None:
        titles = {"response of latents": "by the true latents", "response of images": "read off the images"}
        matrices = {
            title: self._judged.judgement.matrices[key][self._order].numpy()
            for key, title in titles.items()
            if key in self._judged.judgement.matrices
        }
        if matrices:
            figures.response_matrices(matrices, self._names, self._generator.factor_names, self._path("response"))
            caption = "Mean change of each factor, which lies in [0, 1], when a direction is walked from -1 to +1."
            document.add(self._picture("response", caption))

    def _strips(self) -> Picture:
        subject = self._judged.subject
        directions = Directions(subject.Q, subject.Q, {"settings": {"orthogonalize": "none"}, "layers": subject.layers})
        shown_ = self._order[:_STRIPS]
        amounts = strip_amounts(_STRIP_LENGTH, self._conditions.path_size)
        sheet = Sheet(
            [Label(str(direction), subject.names[direction] if subject.names else "") for direction in shown_],
            tile=self._generator.resolution,
            rows=_STRIP_SAMPLES,
            columns=len(amounts),
            header=[f"{amount:+.3g}" if amount else "0" for amount in amounts],
            scale=strip_scale(self._generator),
        )
        z = sample_latents(self._generator, _STRIP_SAMPLES, self._conditions.seed)
        film = Film(self._generator, directions, z, sample_classes(self._conditions.classes, _STRIP_SAMPLES))
        with open_writer(self._path("strips"), 1) as writer:
            for frame in film.strip(shown_, amounts, sheet):
                writer.add(frame)
        count = "" if len(shown_) == len(self._order) else f" The {len(shown_)} strongest of {len(self._order)}."
        return self._picture("strips", f"Film strips, most active direction first.{count}")

    def _penalty_maps(self) -> Picture:
        samples = draw(
            self._generator,
            self._conditions.classes,
            len(self._order),
            count=_MAPS,
            probes=_MAP_PROBES,
            path_size=self._conditions.path_size,
            seed=self._conditions.seed,
            stream=Stream.PENALTY_MAP,
            step=0,
        )
        subject = self._judged.subject
        maps = penalty_map(self._generator, subject.Q, samples, self._conditions.epsilon, subject.layers)
        Q = subject.Q.to(samples.w)
        with torch.no_grad():
            images = self._generator(self._generator.shift(samples.z, samples.w @ Q, subject.layers), samples.y)
        figures.penalty_maps(to_uint8(images), maps.float().cpu().numpy(), self._path("penalty"))
        return self._picture("penalty", "Where the Hessian Penalty lies: images above, mean over channels below.")

    def _table(self) -> Table:
        """A row for each direction."""
        judgement = self._judged.judgement
        titles = {
            "activeness": "activeness",
            "change per unit": "RMS change per unit step",
            "path length": "path length",
            "path length (LPIPS)": "path length (LPIPS)",
            "class transfer": "class transfer",
        }
        columns = [
            (title, judgement.of_directions[key]) for key, title in titles.items() if key in judgement.of_directions
        ]
        rows = [
            [name, *(shown(scores[direction]) for _, scores in columns)]
            for name, direction in zip(self._names, self._order, strict=True)
        ]
        header = ["direction", *(title for title, _ in columns)]
        response = judgement.matrices.get("response of images", judgement.matrices.get("response of latents"))
        if response is not None:
            header += ["first factor", "leakage"]
            for row, direction in zip(rows, self._order, strict=True):
                row += [
                    self._generator.factor_names[int(response[direction].argmax())],
                    f"{leakage(response)[0][direction]:.2f}",
                ]
        return Table(header, rows)

    def _path(self, name: str) -> Path:
        return self._folder / FIGURES / f"{self._number}-{name}.png"

    def _picture(self, name: str, caption: str) -> Picture:
        return Picture(f"{FIGURES}/{self._number}-{name}.png", caption)


def _title(generator: FrozenGenerator, sets: Sequence[Judged]) -> str:
    return f"Directions of {Path(generator.name).name}: " + (
        sets[0].subject.label if len(sets) == 1 else f"{len(sets)} sets compared"
    )


def _introduction(generator: FrozenGenerator, conditions: Conditions, preset: str) -> str:
    classes = [generator.class_names[y] for y in conditions.classes]
    of = ", ".join(classes[:6]) + (f" and {len(classes) - 6} more" if len(classes) > 6 else "")
    return (
        f"Preset {preset}, seed {conditions.seed}; classes: {of}; truncation {generator.truncation:g}; "
        f"η = {conditions.path_size:g}, ε = {conditions.epsilon:g}. "
        "All sets are judged on the same samples, which no search has seen. ± is one standard error."
    )


def _table(sets: Sequence[Judged]) -> Table:
    header = ["metric", "better", *(each.subject.label for each in sets)]
    rows = [["directions", "", *(str(len(each.subject.Q)) for each in sets)]]
    for metric in METRICS:
        found = [each.judgement.figures.get(metric.key) for each in sets]
        if any(found):
            rows.append([metric.title, metric.better, *map(shown, found)])
    return Table(header, rows)


def _legend(sets: Sequence[Judged]) -> Table:
    known = [metric for metric in METRICS if any(metric.key in each.judgement.figures for each in sets)]
    rows = [[metric.title, metric.meaning] for metric in known]
    sizes = sorted({len(each.subject.Q) for each in sets})
    chance = ", ".join(f"1/{ndirs} = {1 / ndirs:.3f}" for ndirs in sizes)
    rows.append(["chance", f"Of VP and RCA {chance}; of the shift error about 0.5; of contrastive accuracy 0.5."])
    return Table(("metric", "what it says"), rows, words=frozenset({1}))


def _name(subject: Subject, direction: int) -> str:
    name = subject.names[direction] if subject.names else ""
    return f"{direction} {name}".strip()


def _content(
    generator: FrozenGenerator,
    conditions: Conditions,
    preset: tuple[str, Preset],
    sets: Sequence[Judged],
    command: str,
) -> dict[str, Any]:
    return {
        "format": 1,
        "command": command,
        "generator": generator.name,
        "generator_sha256": generator.sha256,
        "truncation": generator.truncation,
        "factor_names": list(generator.factor_names),
        "preset": preset[0],
        "samples": asdict(preset[1]),
        "conditions": asdict(conditions),
        "sets": [
            {
                "label": each.subject.label,
                "file": each.file,
                "layers": each.subject.layers,
                "directions": len(each.subject.Q),
                "names": list(each.subject.names),
                "figures": {key: _plain(value) for key, value in each.judgement.figures.items()},
                "of_directions": {
                    key: [_plain(value) for value in values] for key, values in each.judgement.of_directions.items()
                },
                "matrices": {key: _rows(value.numpy()) for key, value in each.judgement.matrices.items()},
            }
            for each in sets
        ],
    }


def _plain(value: tuple[float, float]) -> dict[str, float | None]:
    return {"mean": _number(value[0]), "standard_error": _number(value[1])}


def _rows(matrix: np.ndarray) -> list[list[float | None]]:
    return [[_number(value) for value in row] for row in matrix.tolist()]


def _number(value: float) -> float | None:
    """JSON has no nan and no infinity."""
    return value if math.isfinite(value) else None
