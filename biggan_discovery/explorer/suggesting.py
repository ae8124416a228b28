"""Names for directions after what they change, one direction at a time, kept beside their file."""

from __future__ import annotations

import json
from typing import Any

from biggan_discovery.directions.defaults import classes_for
from biggan_discovery.directions.layers import subset
from biggan_discovery.evaluation.suggestions import suggest_from_changes
from biggan_discovery.explorer.pictures import DRAFT_SECONDS, seconds_per_image
from biggan_discovery.explorer.sources import Source, facts_key
from biggan_discovery.files import atomic_write

_FILE = "suggestions.json"


def suggestion_of(source: Source, row: int) -> str:
    """The edit that a direction clearly makes, see `suggest_from_changes`; "" if none, or if it has a name.

    Where the factors of the generator are known, `about` says what they are, and this is "". Where an image takes more
    than a tenth of a second, nothing is measured.

    Raises:
        UserError: there is no such direction, or its generator is missing.
    """
    generator, directions = source.generator(), source.directions
    if directions.names[row] or generator.true_directions is not None:
        return ""
    facts = [
        *(generator.sha256 or generator.name, generator.truncation, classes_for(directions, generator)),
        *(directions.row(row).tolist(), directions.layers_of(row)),
    ]
    path, key = source.folder / _FILE, facts_key(facts)
    known = _known(path)
    if key not in known:
        if seconds_per_image(generator) > DRAFT_SECONDS:
            return ""
        alone = subset(directions, [row])
        [found] = suggest_from_changes(alone, generator)
        known = {**_known(path), key: found.edit if found.named else ""}
        atomic_write(path, json.dumps(known))
    return known[key]


def _known(path: Any) -> dict[str, str]:
    try:
        return {str(key): str(value) for key, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
