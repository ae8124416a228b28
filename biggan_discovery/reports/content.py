"""Content of reports: tables and JSON made from the declarations of the metrics, and reading of unfinished reports."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import Estimate, Ratio
from biggan_discovery.evaluation.metric import ARITHMETIC, Figure, Kind
from biggan_discovery.evaluation.papers import PAPERS
from biggan_discovery.evaluation.suite import Judged
from biggan_discovery.evaluation.table import metric_named
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import to_stored
from biggan_discovery.installed import version
from biggan_discovery.reading.json_files import read_json
from biggan_discovery.reports.conclusion import conclusion
from biggan_discovery.reports.document import Link, Table, shown
from biggan_discovery.reports.results import Results

_FORMAT = 2
UNFINISHED = "unfinished"
"""Key that marks a report whose measurement goes on."""
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
    """A table with the meaning of each figure and a link to the paper that defines it."""
    rows = [[figure.title, figure.meaning, _paper(figure)] for figure in declared(report, Kind.SET)]
    for figure in declared(report, Kind.DIRECTION):
        rows.append([f"{figure.title}, each direction", figure.meaning, _paper(figure)])
    return Table(("figure", "what it says", "paper"), rows, words=frozenset({1}))


def _paper(figure: Figure) -> str | Link:
    address = PAPERS.get(figure.paper)
    return Link(figure.paper, address) if address else figure.paper


def to_json(report: Results, *, finished: bool) -> str:
    """The report as strict JSON: neither nan nor infinity."""
    content = {
        **_circumstances(report),
        **({} if finished else {UNFINISHED: True}),
        **occasion(),
        "conclusion": conclusion(report) if finished else [],
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
    """Take over the figures of an unfinished report. A finished one, or one that cannot be read, is left alone.

    Raises:
        UserError: if the unfinished report has other settings or other directions, naming them.
    """
    try:
        content = read_json(path)
        if not content.get(UNFINISHED):
            return
        changed = _changed(report, content)
        if not changed:
            for saved in content["sets"]:
                for each in report.sets:
                    if each.label == saved["label"]:
                        measured = [name for name in saved["measured"] if name in report.suite.names]
                        restore(each, {**saved, "measured": measured})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return  # No report, or one that this program did not write: all is measured.
    if changed:
        raise UserError(
            f"{path} is the unfinished report of an evaluation with {changed[0]}; "
            "give the same settings to go on, or another --out, or delete it to start anew"
        )


def _changed(report: Results, content: dict[str, Any]) -> list[str]:
    """Settings that differ from those of a report that was read, each with both values."""
    known = plain(_circumstances(report))
    theirs, mine = ({**each, **each["conditions"]} for each in (content, known))
    changed = [
        f"{name} {theirs[name]} (now {mine[name]})"
        for name in mine
        if name not in ("sizes", "conditions") and theirs[name] != mine[name]
    ]
    shared = [name for name in mine["sizes"] if name in theirs["sizes"]]
    changed += [
        f"sizes {theirs['sizes'][name]} of {name} (now {mine['sizes'][name]})"
        for name in shared
        if theirs["sizes"][name] != mine["sizes"][name]
    ]
    identities = {each.label: plain(_identity(each)) for each in report.sets}
    return changed + [
        f"other directions in the set {saved['label']}"
        for saved in content["sets"]
        if any(saved[key] != value for key, value in identities.get(saved["label"], {}).items())
    ]


def occasion() -> dict[str, Any]:
    """When and on what machine a report was made, as JSON values."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
    }


def circumstances(generator: FrozenGenerator) -> dict[str, Any]:
    """What all figures of a generator depend on, as JSON values."""
    device = generator.device
    return {
        "version": version(),
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
            "classes": to_stored(view.classes),
            "path_size": view.path_size,
            "epsilon": view.epsilon,
            "seed": view.seed,
            **({"region": view.region.text} if view.region else {}),
        },
    }


def _identity(judged: Judged) -> dict[str, Any]:
    return identity(judged.label, judged.view.Q, judged.view.layers)


def identity(label: str, Q: Tensor, layers: LayerRange | str) -> dict[str, Any]:
    """What tells a set of directions from others, as JSON values."""
    Q = Q.detach().cpu().contiguous()
    return {
        "label": label,
        "layers": str(layers),
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
