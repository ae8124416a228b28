"""Numbers as text: CSV and its relatives, as NumPy, pandas, R and spreadsheets write them. Needs no torch."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from biggan_discovery.errors import UserError
from biggan_discovery.reading.limits import LARGEST_TABLE, MOST_CELLS, MOST_LINES, check_bytes
from biggan_discovery.reading.source import decoded

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)
_INTEGER = re.compile(r"\d{1,9}")


@dataclass(frozen=True)
class Table:
    """A table of numbers.

    Attributes:
        numbers: (rows, columns) float64.
        rows: a name for each row; () if there are none.
        columns: a name for each column; () if there are none.
        left_out: what is not among the numbers, such as "a header"; () if nothing.
    """

    numbers: np.ndarray
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def parse_table(content: bytes) -> Table:
    """Read a table: cells separated by commas, semicolons, tabs or blanks, with decimal points or commas.

    Lines that are empty or begin with # are skipped. A header is a first line with a cell that is not a number, or that
    counts 0, 1, 2, ...; the first column is an index if the header has no name for it, or if it counts the rows.

    Raises:
        UserError: too large, empty, lines of different lengths, or a cell that is not a number.
    """
    check_bytes(len(content), LARGEST_TABLE, "a table")
    lines, numbers = _lines(decoded(content))
    if not lines:
        raise UserError("it is empty; expected one row of numbers per direction")
    cells = _split(lines)
    decimal_comma = _has_decimal_commas(cells)
    header, cells, numbers = _take_header(cells, numbers, decimal_comma)
    _check_lengths(cells, numbers)
    index, counted = _index(header, cells, decimal_comma)
    if index:
        header = header[1:] if len(header) == len(cells[0]) else header
    values = [
        [_number(cell, line, column, decimal_comma) for column, cell in enumerate(row[index:], start=1 + index)]
        for row, line in zip(cells, numbers, strict=True)
    ]
    named = () if counted or not index else tuple(row[0].strip() for row in cells)
    left_out = (("a header",) if header or len(numbers) < len(lines) else ()) + (("an index column",) if index else ())
    columns = tuple(header) if len(header) == len(values[0]) and not _counts(header) else ()
    return Table(np.array(values, np.float64), named, columns, left_out)


def _lines(text: str) -> tuple[list[str], list[int]]:
    """Lines with content, and their numbers in the file."""
    if text.count("\n") + text.count("\r") > 2 * MOST_LINES:
        raise UserError(f"it has more than {MOST_LINES:,} lines")
    lines = enumerate(re.split(r"\r\n|\r|\n", text.replace("\N{MINUS SIGN}", "-")), start=1)
    kept = [(line, number) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [line for line, _ in kept], [number for _, number in kept]


def _split(lines: list[str]) -> list[list[str]]:
    """The cells of each line."""
    delimiter = _delimiter(lines)
    if delimiter is None:
        rows = [line.split() for line in lines]
    else:
        try:
            rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
        except csv.Error as error:
            raise UserError(f"it is not a table: {error}") from error
        if len(rows) != len(lines):
            raise UserError("it is not a table of numbers: a quote that is opened in one line is not closed in it")
    if sum(map(len, rows)) > MOST_CELLS:
        raise UserError(f"it has more than {MOST_CELLS:,} cells")
    if all(len(row) > 1 and not row[-1].strip() for row in rows):  # A separator after the last cell.
        rows = [row[:-1] for row in rows]
    return [[cell.strip().strip("\"'") for cell in row] for row in rows]


def _delimiter(lines: list[str]) -> str | None:
    """The character between cells; None for blanks."""
    sample = max(lines, key=len)
    for delimiter in "\t;":
        if delimiter in sample.strip():
            return delimiter
    if "," not in sample:
        return None
    blanks = [cell.strip("\"'") for cell in sample.split()]
    if len(blanks) > 1 and 2 * sum(bool(_DECIMAL_COMMA.fullmatch(cell)) for cell in blanks) > len(blanks):
        return None
    return ","


def _has_decimal_commas(cells: Sequence[Sequence[str]]) -> bool:
    return any(_DECIMAL_COMMA.fullmatch(cell) for row in cells[-3:] for cell in row)


def _take_header(
    cells: list[list[str]], numbers: list[int], decimal_comma: bool
) -> tuple[list[str], list[list[str]], list[int]]:
    """The names in the first line, if it is a header, and the remaining lines."""
    first = cells[0]
    if len(cells) == 1 or (not _counts(first) and all(_is_number(cell, decimal_comma) for cell in first)):
        return [], cells, numbers
    # The name of a row may stand before its numbers; a header has no number.
    named = not _is_number(first[0], decimal_comma) and len(first) == len(cells[1]) > 1
    if named and all(_is_number(cell, decimal_comma) for cell in first[1:]) and first[0] and not _counts(first[1:]):
        return [], cells, numbers
    return first, cells[1:], numbers[1:]


def _counts(cells: Sequence[str]) -> bool:
    """Whether cells are 0, 1, 2, ..."""
    return len(cells) > 1 and list(cells) == [str(number) for number in range(len(cells))]


def _index(header: list[str], cells: list[list[str]], decimal_comma: bool) -> tuple[int, bool]:
    """How many columns, 0 or 1, are no numbers but names or counts of rows; and whether they are counts."""
    width = len(cells[0])
    column = [row[0] for row in cells]
    counted = len(column) > 1 and (_counts(column) or _counts(["0", *column]))
    if width == 1:
        return 0, False
    unnamed = bool(header) and (len(header) == width - 1 or not header[0] or header[0].startswith("Unnamed:"))
    if unnamed:
        return 1, all(_INTEGER.fullmatch(cell) for cell in column)
    if not any(_is_number(cell, decimal_comma) for cell in column):
        return 1, False
    fractions = any(not _INTEGER.fullmatch(cell) for row in cells for cell in row[1:])
    return int(counted and fractions), counted


def _check_lengths(cells: list[list[str]], numbers: list[int]) -> None:
    for row, number in zip(cells, numbers, strict=True):
        if len(row) != len(cells[0]):
            raise UserError(
                f"line {number} has {len(row)} numbers, but the first has {len(cells[0])}; they must be equal"
            )


def _is_number(cell: str, decimal_comma: bool) -> bool:
    try:
        _number(cell, 0, 0, decimal_comma)
    except UserError:
        return False
    return True


def _number(cell: str, line: int, column: int, decimal_comma: bool) -> float:
    try:
        return float(cell.replace(",", ".") if decimal_comma else cell)
    except ValueError as error:
        raise UserError(f"line {line}, column {column} is {cell.strip()[:40]!r}; expected a number") from error
