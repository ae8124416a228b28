"""The pages of an evaluation, HTML and Markdown, and the figures that they show."""

from __future__ import annotations

from pathlib import Path

import torch

from biggan_discovery.directions import Directions
from biggan_discovery.directions.change_maps import change_maps, change_maps_cost
from biggan_discovery.directions.layers import layer_shares, shares_text
from biggan_discovery.evaluation.metric import Figure, Kind
from biggan_discovery.evaluation.metrics.activeness import SCORES
from biggan_discovery.evaluation.metrics.diagonalness import MAGNITUDES
from biggan_discovery.evaluation.metrics.factors import RESPONSE, RESPONSE_IN_IMAGES, leakage
from biggan_discovery.evaluation.metrics.held_out import penalty_map
from biggan_discovery.evaluation.suite import Judged
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import forward_batch
from biggan_discovery.generators.mixes import class_title
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw, draw_latents
from biggan_discovery.progress import Progress
from biggan_discovery.rendering import Film, Label, Sheet, open_writer, sample_classes, sample_latents, strip_amounts
from biggan_discovery.rendering.sheet import to_uint8
from biggan_discovery.rendering.ways import equal_reach, equal_reach_cost
from biggan_discovery.reports import content, figures
from biggan_discovery.reports.conclusion import conclusion
from biggan_discovery.reports.document import (
    CSV,
    FIGURES,
    HTML,
    LATEX,
    MARKDOWN,
    Code,
    Document,
    Heading,
    Picture,
    Table,
    Text,
    csv_text,
    latex,
    shown,
)
from biggan_discovery.reports.results import Results

_MAPS, _MAP_PROBES = 5, 16
_STRIPS, _STRIP_SAMPLES, _STRIP_LENGTH = 24, 2, 7
_CHANGE_SAMPLES = 4


def pictures_cost(report: Results) -> int:
    """Images through the generator for the pictures of all sets."""
    return sum(map(_pictures_cost, report.sets))


def _pictures_cost(judged: Judged) -> int:
    strips = min(len(judged.view.Q), _STRIPS)
    changes = change_maps_cost(strips, samples=_CHANGE_SAMPLES)
    return changes + _MAPS * (1 + 2 * _MAP_PROBES) + strips * _STRIP_SAMPLES * _STRIP_LENGTH + equal_reach_cost(strips)


def strip_scale(generator: FrozenGenerator) -> int:
    """The factor that enlarges pictures of film strips to about 64 pixels."""
    return max(1, 64 // generator.resolution)


def write_pages(report: Results, folder: Path, progress: Progress, *, pictures: bool = True) -> None:
    """Write report.html, report.md, report.csv, report.tex and the pictures to a folder.

    Args:
        report: with all that is to be shown.
        folder: made if it does not exist; files of a report in it are replaced.
        progress: advanced by one for each image.
        pictures: make pictures too.
    """
    sets = report.sets
    sections = [_Section(folder, f"{index:02d}", report, each) for index, each in enumerate(sets)]
    document = Document(_title(report))
    document.add(*map(Text, conclusion(report)))
    for section in sections:
        section.add_directions(document, pictures=pictures)
    every = content.table(report)
    document.add(Heading(2, "All figures"), Text("± is one standard error. ↑: more is better; ↓: less is better."))
    document.add(every, content.legend(report))
    if len(sets) > 1 and pictures:
        scores = {each.label: each.found[SCORES] for each in sets}
        figures.activeness_curves(scores, folder / FIGURES / "activeness.png")
        document.add(Picture(f"{FIGURES}/activeness.png", "Activeness of all sets, directions sorted in each."))
    for section in sections:
        section.add_details(document, pictures=pictures)
        progress.advance(_pictures_cost(section.judged) if pictures else 0)
    costs = [*report.costs.items(), ("in all", sum(report.costs.values()))]
    document.add(
        Heading(2, "How this was measured"),
        Text(_introduction(report)),
        *map(Text, report.notes),
        *([Code(report.command)] if report.command else []),
        Table(("", ""), _circumstances(report), words=frozenset({1})),
        Text("Planned forward passes of one image through the generator; nothing was differentiated:"),
        Table(("for", "images"), [(title, f"{images:,}") for title, images in costs]),
    )
    atomic_write(folder / CSV, csv_text(every))
    atomic_write(folder / LATEX, latex(every))
    atomic_write(folder / MARKDOWN, document.markdown())
    atomic_write(folder / HTML, document.html(folder))


def _circumstances(report: Results) -> list[list[str]]:
    """Version, device, arithmetic, date and machine, a row each."""
    known, occasion = content.circumstances(report.generator), content.occasion()
    machine = occasion["machine"]
    rows = {
        "version": f"biggan-discovery {known['version']}, torch {known['torch']}, Python {machine['python']}",
        "device": f"{known['device']}, {known['arithmetic']} arithmetic",
        "machine": f"{machine['processor']}, {machine['cores']} cores, {machine['system']}",
        "date": occasion["date"],
        "generator": f"{known['generator']}, sha256 {known['generator_sha256']}",
    }
    return [list(row) for row in rows.items()]


class _Section:
    """What the report shows of one set: its figures are files that begin with its number."""

    def __init__(self, folder: Path, number: str, report: Results, judged: Judged):
        self._folder, self._number, self._report, self.judged = folder, number, report, judged
        self._view = judged.view
        self._order = judged.active_first
        self._names = [judged.name_of(direction) for direction in self._order]

    def add_directions(self, document: Document, *, pictures: bool) -> None:
        """Film strips and a row for each direction."""
        judged = self.judged
        source = f" ({judged.file})" if judged.file else ""
        document.add(Heading(2, f"Directions of {judged.label}{source}"))
        if pictures:
            document.add(self._strips())
        document.add(self._table())

    def add_details(self, document: Document, *, pictures: bool) -> None:
        """Pictures of the figures, as far as there are any."""
        if not pictures:
            return
        judged = self.judged
        document.add(Heading(2, f"Details of {judged.label}"))
        scores = judged.found[SCORES]
        names = [judged.name_of(direction) for direction in range(len(scores))]
        figures.activeness_bars(scores, names, judged.inactive, self._path("activeness"))
        document.add(self._picture("activeness", f"Activeness: {_lowered(SCORES.meaning)}"))
        document.add(self._change_maps())
        if MAGNITUDES in judged.found:
            magnitudes = judged.found[MAGNITUDES][self._order][:, self._order].numpy()
            figures.hessian_heat_map(magnitudes, self._names, self._path("hessian"))
            document.add(self._picture("hessian", MAGNITUDES.meaning))
        document.add(self._penalty_maps())
        path = (self._report.histories or {}).get(judged.label)
        history = {} if path is None else figures.read_history(path)
        columns = [name for name in history if name not in ("step", "lr")]
        if columns and "step" in history:
            figures.search_curve(history, columns[0], self._path("search"))
            document.add(self._picture("search", f"The {columns[0]} over the steps of the search."))
        self._add_factors(document)

    def _add_factors(self, document: Document) -> None:
        known = [figure for figure in (RESPONSE, RESPONSE_IN_IMAGES) if figure in self.judged.found]
        if known:
            matrices = {figure.title: self.judged.found[figure][self._order].numpy() for figure in known}
            factors = self._view.generator.factor_names
            figures.response_matrices(matrices, self._names, factors, self._path("response"))
            caption = "Mean |change| of each true factor, which lies in [0, 1], from -1 to +1 along each direction."
            document.add(self._picture("response", caption))

    def _strips(self) -> Picture:
        view, generator = self._view, self._view.generator
        settings = {"settings": {"orthogonalize": "none"}, "layers": str(view.layers)}
        directions = Directions(view.Q, view.Q, settings)
        shown_ = self._order[:_STRIPS]
        reach = equal_reach(generator, directions, shown_, classes=view.classes, seed=view.seed)
        amounts = strip_amounts(_STRIP_LENGTH, 1.0)
        names = self.judged.names
        sheet = Sheet(
            [
                Label(str(direction), f"{names[direction] if names else ''} ±{reach[direction]:.2g}".strip())
                for direction in shown_
            ],
            tile=generator.resolution,
            rows=_STRIP_SAMPLES,
            columns=len(amounts),
            header=[f"{amount:+.0%}" if amount else "0" for amount in amounts],
            scale=strip_scale(generator),
        )
        z = sample_latents(generator, _STRIP_SAMPLES, view.seed)
        y = sample_classes(view.classes, _STRIP_SAMPLES, generator.num_classes)
        film = Film(generator, directions, z, y, reach=reach)
        with open_writer(self._path("strips"), 1) as writer:
            for frame in film.strip(shown_, amounts, sheet):
                writer.add(frame)
        count = "" if len(shown_) == len(self._order) else f" The first {len(shown_)} of {len(self._order)}."
        return self._picture(
            "strips",
            "Film strips, most active direction first, inactive ones last. Columns: shares of the extent beside each "
            f"direction, at which images change equally, or half the length of z.{count}",
        )

    def _change_maps(self) -> Picture:
        view = self._view
        shown_ = self._order[:_STRIPS]
        place = {"count": _CHANGE_SAMPLES, "seed": view.seed, "stream": Stream.LOCALIZATION}
        z, y = draw_latents(view.generator, view.classes, **place)
        maps = torch.stack(list(change_maps(view.generator, view.Q[shown_], z, y, layers=view.layers)))
        names = [self.judged.name_of(direction) for direction in shown_]
        figures.change_maps(maps.mean(dim=0).sqrt().numpy(), names, self._path("changes"))
        return self._picture(
            "changes",
            f"Where each direction changes the image: RMS over {_CHANGE_SAMPLES} latents, each on its own scale.",
        )

    def _penalty_maps(self) -> Picture:
        view, generator = self._view, self._view.generator
        samples = draw(
            generator,
            view.classes,
            len(view.Q),
            count=_MAPS,
            probes=_MAP_PROBES,
            path_size=view.path_size,
            seed=view.seed,
            stream=Stream.PENALTY_MAP,
            step=0,
        )
        maps = penalty_map(generator, view.Q, samples, view.epsilon, view.layers)
        with torch.no_grad():
            shifted = generator.shift(samples.z, samples.w @ view.Q.to(samples.w), view.layers)
            images = torch.cat(list(forward_batch(generator).map(generator, shifted, samples.y)))
        figures.penalty_maps(to_uint8(images), maps.float().cpu().numpy(), self._path("penalty"))
        return self._picture("penalty", "Where the Hessian Penalty lies: images above, mean over channels below.")

    def _table(self) -> Table:
        """A row for each direction."""
        found = self.judged.found
        idle = set(self.judged.inactive)
        columns: list[Figure] = [figure for figure in found if figure.kind is Kind.DIRECTION]
        rows = [
            [
                f"{name} (inactive)" if direction in idle else name,
                *(shown(found[figure][direction]) for figure in columns),
            ]
            for name, direction in zip(self._names, self._order, strict=True)
        ]
        header = ["direction", *(figure.title for figure in columns)]
        if shares := layer_shares(self._view.generator, self._view.Q.cpu()):
            header.append("energy by layer")
            for row, direction in zip(rows, self._order, strict=True):
                row.append(shares_text(shares, direction))
        response = found.get(RESPONSE_IN_IMAGES, found.get(RESPONSE))
        if response is not None:
            header += ["first factor", "leakage"]
            for row, direction in zip(rows, self._order, strict=True):
                row += [
                    self._view.generator.factor_names[int(response[direction].argmax())],
                    f"{leakage(response)[0][direction]:.2f}",
                ]
        return Table(header, rows)

    def _path(self, name: str) -> Path:
        return self._folder / FIGURES / f"{self._number}-{name}.png"

    def _picture(self, name: str, caption: str) -> Picture:
        return Picture(f"{FIGURES}/{self._number}-{name}.png", caption)


def _title(report: Results) -> str:
    sets = report.sets
    what = sets[0].label if len(sets) == 1 else f"{len(sets)} sets compared"
    return f"Directions of {Path(report.generator.name).name}: {what}"


def _introduction(report: Results) -> str:
    view, generator = report.sets[0].view, report.generator
    classes = [class_title(generator.class_names, y) for y in view.classes]
    of = ", ".join(classes[:6]) + (f" and {len(classes) - 6} more" if len(classes) > 6 else "")
    return (
        "All sets are judged on the same samples, which are held out from every search. "
        f"Preset {report.suite.preset}, seed {view.seed}; classes: {of}; truncation {generator.truncation:g}; "
        f"path size η = {view.path_size:g}, finite-difference step ε = {view.epsilon:g}."
    )


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
