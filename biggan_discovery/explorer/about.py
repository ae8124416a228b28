"""What a page is told about a directions file and its generator."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

from biggan_discovery.directions.activity import inactive, stored_changes
from biggan_discovery.directions.defaults import classes_for
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.suggestions import suggest_names
from biggan_discovery.explorer.sources import Shown, mark_of
from biggan_discovery.generators.classes import describe_class
from biggan_discovery.generators.layer_range import THIRDS
from biggan_discovery.rendering.captions import class_name, listed
from biggan_discovery.rendering.ranges import range_of
from biggan_discovery.reports.beside import reported


def about(source: Shown) -> dict[str, Any]:
    """A file and its generator as JSON values: everything but pictures.

    Raises:
        UserError: the generator is missing or does not fit.
    """
    generator, directions = source.generator(), source.directions
    layers = [] if generator.num_layers == 1 else list(THIRDS if generator.num_layers >= len(THIRDS) else ())
    return {
        "label": source.label,
        "generator": {
            "name": Path(generator.name).name,
            "resolution": generator.resolution,
            "layers": generator.num_layers,
            "layer_words": layers,
            "truncation": generator.truncation,
            "classes": _classes(generator.class_names),
            "device": str(generator.device),
        },
        "classes": listed([class_name(generator, each) for each in classes_for(directions, generator)], "classes"),
        "ranges": [list(range_of(directions, generator, row)) for row in range(len(directions))],
        "metrics": _metrics(source),
        "suggestions": _suggestions(source),
        **marks(source),
    }


def marks(source: Shown) -> dict[str, Any]:
    """What the file says now: its directions with names, notes, stars and ranges."""
    directions = source.directions
    idle = set(inactive(stored_changes(directions) or []))
    return {
        "path": source.path,
        "locked": source.why_not_writable(),
        "sha256": directions.sha256,
        "directions": [
            {**mark_of(directions, row), "layers": directions.layers_of(row), "inactive": row in idle}
            for row in range(len(directions))
        ],
    }


def _classes(names: tuple[str, ...]) -> list[dict[str, str]]:
    """Name, and other names to search for; nothing for a generator without classes."""
    if len(names) == 1:
        return []
    return [{"name": name, "also": describe_class(names, index)} for index, name in enumerate(names)]


def _metrics(source: Shown) -> list[dict[str, Any]]:
    """What directions can be sorted by: title, and a value for each; from the file and from the report beside it."""
    directions = source.directions
    found: list[dict[str, Any]] = []
    if directions.strengths is not None:
        found.append({"title": "strength", "values": [_finite(each) for each in directions.strengths]})
    if (angles := directions.error_angles) is not None:
        found.append({"title": "error angle in degrees", "values": [_finite(each) for each in angles]})
    if known := reported(directions):
        found += [{"title": title, "values": values} for title, values in known.of_directions.items()]
    return found


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _suggestions(source: Shown) -> dict[int, str]:
    """Names of known factors for unnamed directions, see `suggest_names`; nothing where factors are unknown."""
    directions = copy.copy(source.directions)
    directions.metadata = copy.deepcopy(directions.metadata)
    try:
        return {row: directions.names[row] for row in suggest_names(directions, source.generator())}
    except UserError:
        return {}
