"""The report that `evaluate` wrote beside a directions file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from biggan_discovery.directions import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.reading.json_files import read_json
from biggan_discovery.reports.document import JSON


class Reported(NamedTuple):
    """What a report says of a set.

    Attributes:
        of_set: figures by title: mean and standard error, None where unknown.
        of_directions: by title, the mean for each direction.
    """

    of_set: dict[str, tuple[float, float | None]]
    of_directions: dict[str, list[float | None]]


def reported(directions: Directions) -> Reported | None:
    """The figures of some directions; None if there is no report beside their file, or it is of other directions."""
    path = Path(directions.source)
    try:
        report = read_json(path.with_name(f"{path.stem}-report") / JSON)
        of_rows = hashlib.sha256(directions.Q.numpy().tobytes()).hexdigest()
        [own] = [each for each in report["sets"] if each["sha256"] == of_rows][:1]
        of_set, of_directions = (_by_title(report, own, section) for section in ("figures", "of_directions"))
        return Reported(
            {title: (float(each["mean"]), each["standard_error"]) for title, each in of_set.items() if _is_known(each)},
            {
                title: [each["mean"] if _is_known(each) else None for each in figures]
                for title, figures in of_directions.items()
                if len(figures) == len(directions)
            },
        )
    except (OSError, UserError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _by_title(report: Any, own: Any, section: str) -> dict[str, Any]:
    return {str(report["meanings"][section][key]["title"]): value for key, value in own[section].items()}


def _is_known(figure: Any) -> bool:
    return isinstance(figure["mean"], int | float) and isinstance(figure["standard_error"], int | float | None)
