"""Amounts that change over time: from a few values, or from a table of times, directions and amounts."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biggan_discovery.directions import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.reading.limits import LARGEST_TABLE, check_bytes
from biggan_discovery.reading.source import decoded, open_place
from biggan_discovery.rendering.table import LARGEST

_COLUMNS = ("time", "direction", "amount")


@dataclass(frozen=True)
class Envelope:
    """Amounts along one direction, linear between points in time and constant before the first and after the last.

    Attributes:
        direction: row of the directions.
        times: in seconds, rising.
        amounts: at these times, in units of z.
    """

    direction: int
    times: tuple[float, ...]
    amounts: tuple[float, ...]

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """The amounts (N,) at times (N,)."""
        return np.interp(seconds, self.times, self.amounts)


def spread(direction: int, amounts: Sequence[float], duration: float, *, loop: bool) -> Envelope:
    """Amounts at even intervals over a film; in a loop, the first follows on the last.

    Args:
        direction: row of the directions.
        amounts: one or more.
        duration: of the film in seconds.
        loop: whether the film begins again after its end.

    Raises:
        UserError: no amounts, or they are not finite in float32.
    """
    values = [float(amount) for amount in amounts]
    if not values or not all(abs(value) <= LARGEST for value in values):
        raise UserError(f"amounts of direction {direction} are {list(amounts)}; give numbers, finite in float32")
    if len(values) > 1 and loop:
        values.append(values[0])
    return Envelope(direction, tuple(np.linspace(0, duration, len(values)).tolist()), tuple(values))


def read_envelopes(path: str | os.PathLike[str], directions: Directions) -> list[Envelope]:
    """Envelopes from a table with the columns time (in seconds), direction (number or name) and amount.

    Lines of a direction may be in any order, and between those of others.

    Raises:
        UserError: no such file; it is not such a table, names a direction that does not exist, or gives two amounts at
            one time.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no envelope file {path}")
    with open_place(path) as file:
        content = file.read(LARGEST_TABLE + 1)
    check_bytes(len(content), LARGEST_TABLE, str(path))
    try:
        lines = list(csv.reader(io.StringIO(decoded(content))))
    except csv.Error as error:
        raise UserError(f"{path}: {error}") from error
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    if not set(_COLUMNS) <= set(header):
        raise UserError(f"{path} should begin with a line time,direction,amount; found {','.join(header)[:60]!r}")
    places = [header.index(name) for name in _COLUMNS]
    points: dict[int, dict[float, float]] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise UserError(f"{path}, line {number} has {len(cells)} cells, but the first has {len(header)}")
        time, direction, amount = (cells[place].strip() for place in places)
        try:
            row = directions.index(direction)
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from error
        of_row = points.setdefault(row, {})
        seconds = _number(time, "time", 1e9, path, number)
        if seconds in of_row:
            raise UserError(f"{path}, line {number} is a second amount of direction {row} at {time} s")
        of_row[seconds] = _number(amount, "amount", LARGEST, path, number)
    if not points:
        raise UserError(f"{path} has no line with a time, a direction and an amount")
    return [Envelope(row, *zip(*sorted(of_row.items()), strict=True)) for row, of_row in points.items()]


def _number(text: str, what: str, most: float, path: Path, line: int) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= most:
        raise UserError(f"{path}, line {line}: the {what} is {text[:40]!r}, which is not a number")
    return number
