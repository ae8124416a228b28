"""Content of reports: tables and JSON made from the declarations of the metrics, and reading of unfinished reports."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.evaluation.estimates import Estimate, Ratio
from biggan_discovery.evaluation.metric import ARITHMETIC, Figure, Kind
from biggan_discovery.evaluation.suite import Judged
from biggan_discovery.evaluation.table import metric_named
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.reports.document import Table, shown
from biggan_discovery.reports.results import Results

_FORMAT = 2
_UNFINISHED = "unfinished"
_SECTIONS = {Kind.SET: "figures", Kind.DIRECTION: "of_directions", Kind.MATRIX: "matrices"}


def declared(report: Results, *kinds: Kind) -> Iterator[Figure]:
    """The figures of some kinds that a set has, in the order of the metrics."""
    for name in report.suite.names:
        for figure in metric_named(name).figures:
            if figure.kind in kinds and any(figure in each.found for each in report.sets):
                yield figure


def table(report: Results) -> Table:
    """A table with one row per figure and one column per set."""
    header = ["metric", "better", *(each.label for each in report.sets)]
    rows = [["directions", "", *(str(len(each.view.Q)) for each in report.sets)]]
    for figure in declared(report, Kind.SET):
        rows.append([figure.title, figure.better, *(shown(each.found.get(figure)) for each in report.sets)])
    return Table(header, rows)


def legend(report: Results) -> Table:
    """A table with the meaning of each figure."""
    rows = [[figure.title, figure.meaning] for figure in declared(report, Kind.SET)]
    rows += [[f"{figure.title}, each direction", figure.meaning] for figure in declared(report, Kind.DIRECTION)]
    return Table(("figure", "what it says"), rows, words=frozenset({1}))


def to_json(report: Results, *, finished: bool) -> str:
    """The report as strict JSON: neither nan nor infinity."""
    content = {
        **_circumstances(report),
        **({} if finished else {_UNFINISHED: True}),
        "command": report.command,
        "metrics": list(report.suite.names),
        "notes": report.notes,
        "meanings": {
            section: {
                figure.key: {"title": figure.title, "better": figure.better, "meaning": figure.meaning}
                for figure in declared(report, kind)
            }
            for kind, section in _SECTIONS.items()
        },
        "sets": [of_set(each) for each in report.sets],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def take_over(report: Results, path: Path) -> None:
    """Take over what an unfinished report of the same sets and circumstances has; another is left alone."""
    try:
        content = json.loads(path.read_text())
        known = plain(_circumstances(report))
        if not content.get(_UNFINISHED) or {key: content[key] for key in known} != known:
            return
        for saved in content["sets"]:
            for each in report.sets:
                if all(saved[key] == value for key, value in _identity(each).items()):
                    restore(each, saved)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return  # No report, or one that this program did not write: all is measured.


def circumstances(generator: FrozenGenerator) -> dict[str, Any]:
    """What all figures of a generator depend on, as JSON values."""
    device = generator.device
    return {
        "version": _version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "arithmetic": ARITHMETIC,
        "generator": generator.name,
        "generator_sha256": generator.sha256,
        "truncation": generator.truncation,
    }


def _circumstances(report: Results) -> dict[str, Any]:
    """All that figures depend on beside the directions themselves."""
    view, suite = report.sets[0].view, report.suite
    return {
        "format": _FORMAT,
        **circumstances(report.generator),
        "factor_names": list(report.generator.factor_names),
        "preset": suite.preset,
        "sizes": suite.sizes_by_metric(),
        "conditions": {
            "classes": view.classes,
            "path_size": view.path_size,
            "epsilon": view.epsilon,
            "seed": view.seed,
        },
    }


def _identity(judged: Judged) -> dict[str, Any]:
    Q = judged.view.Q.detach().cpu().contiguous()
    return {
        "label": judged.label,
        "layers": str(judged.view.layers),
        "directions": len(Q),
        "sha256": hashlib.sha256(Q.numpy().tobytes()).hexdigest(),
    }


def of_set(judged: Judged) -> dict[str, Any]:
    """A set and its figures as JSON values."""
    found: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS.values()}
    for figure, value in judged.found.items():
        if figure.kind in _SECTIONS:
            found[_SECTIONS[figure.kind]][figure.key] = plain(value)
    return {
        **_identity(judged),
        "file": judged.file,
        "names": list(judged.names),
        "measured": judged.measured,
        **found,
    }


def restore(judged: Judged, saved: dict[str, Any]) -> None:
    """Give a set the figures of `of_set`."""
    for name in saved["measured"]:
        metric = metric_named(name)
        for figure in metric.figures:
            section = _SECTIONS.get(figure.kind)
            if section and figure.key in saved[section]:
                judged.found[figure] = _value(figure.kind, saved[section][figure.key])
        judged.measured.append(name)


def _value(kind: Kind, saved: Any) -> Any:
    match kind:
        case Kind.SET:
            return _estimate(saved)
        case Kind.DIRECTION:
            return [_estimate(each) for each in saved]
        case _:
            rows = [[math.nan if each is None else each for each in row] for row in saved]
            return torch.tensor(rows, dtype=torch.float64)


def _estimate(saved: dict[str, Any]) -> Estimate | Ratio:
    numbers: dict[str, Any] = {name: math.nan if value is None else value for name, value in saved.items()}
    return Ratio(**numbers) if "frames" in numbers else Estimate(**numbers)


def plain(value: Any) -> Any:
    """JSON values of figures; None for nan and infinity, which JSON does not have."""
    match value:
        case Estimate() | Ratio():
            return plain(value._asdict())
        case Tensor():
            return plain(value.tolist())
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def _version() -> str:
    try:
        return importlib.metadata.version("biggan-discovery")
    except importlib.metadata.PackageNotFoundError:
        return ""
