"""What an unfinished comparison has measured: kept set by set, so that the same comparison resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import Estimate
from biggan_discovery.files import atomic_write
from biggan_discovery.reading.json_files import read_json
from biggan_discovery.reports.content import UNFINISHED, identity, plain
from biggan_discovery.reports.sets import DirectionSet

_KEY = "comparison"
Scores = dict[str, list[Estimate]]
"""Activeness of the directions of each set, by label."""


def save_scores(path: Path, conditions: Mapping[str, Any], sets: Sequence[DirectionSet], scores: Scores) -> None:
    """Write the scores of the sets that have some.

    Args:
        path: a JSON file.
        conditions: JSON values of all that scores depend on beside the directions.
        sets: the compared sets.
        scores: the scores.
    """
    measured = [{**_identity(each), "activeness": plain(scores[each.label])} for each in sets if each.label in scores]
    atomic_write(path, json.dumps({UNFINISHED: True, _KEY: dict(conditions), "measured": measured}, indent=1) + "\n")


def saved_scores(path: Path, conditions: Mapping[str, Any], sets: Sequence[DirectionSet]) -> Scores:
    """The scores in an unfinished comparison; none in another file.

    Raises:
        UserError: if that comparison has other settings or other directions, naming them.
    """
    try:
        content = read_json(path)
        if not content.get(UNFINISHED):
            return {}
        theirs, mine = content[_KEY], plain(dict(conditions))
        changed = [f"{key} {theirs[key]} (now {mine[key]})" for key in mine if theirs[key] != mine[key]]
        known = {each.label: each for each in sets}
        scores: Scores = {}
        for saved in content["measured"]:
            given = known.get(saved["label"])
            if given is None:
                continue
            if any(saved[key] != value for key, value in _identity(given).items()):
                changed.append(f"other directions in the set {saved['label']}")
            found = [Estimate(float(each["mean"]), float(each["standard_error"])) for each in saved["activeness"]]
            if len(found) == len(given.directions):
                scores[given.label] = found
    except (OSError, UserError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}  # No report, or one that this program did not write.
    if changed:
        raise UserError(
            f"{path} is the unfinished report of a comparison with {changed[0]}; "
            "give the same settings to resume, or another --out, or delete it to start anew"
        )
    return scores


def _identity(given: DirectionSet) -> dict[str, Any]:
    return identity(given.label, given.directions.Q, given.layers)
