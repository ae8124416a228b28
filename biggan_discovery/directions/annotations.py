"""People's words for directions, as other projects keep them beside their matrices."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from biggan_discovery.directions.directions import Directions
from biggan_discovery.directions.metadata import LONGEST_NAME, LONGEST_NOTE, is_number
from biggan_discovery.errors import UserError
from biggan_discovery.reading.limits import LARGEST_TABLE, check_bytes
from biggan_discovery.reading.source import decoded, open_place

_LINE = re.compile(r"\s*(\d{1,9})\s*:\s*(.*?)\s*")
_ID, _WORDS = "d_id", "annotation"
_BETWEEN = " / "


def annotate(directions: Directions, path: Path) -> int:
    """Give directions the names in a file of annotations, and notes where several people described one.

    Args:
        directions: changed in place; their rows must be in the order of the file's indices.
        path: `human_annotation.txt` of Voynov & Babenko (2020), with lines "index: words"; or `annotations.csv` of the
            Visual Concept Vocabulary (Schwettmann et al. 2021), with the columns d_id and annotation, any number of
            lines per direction. The first words become the name, all of them the note.

    Returns:
        Number of directions that got a name.

    Raises:
        UserError: no such file, it is neither, or names a direction that does not exist.
    """
    words = _read(path)
    beyond = [index for index in words if index >= len(directions)]
    if beyond:
        raise UserError(f"{path} describes direction {beyond[0]}, but there are only 0 to {len(directions) - 1}")
    taken: set[str] = set()
    for index in sorted(words):
        name = _free(_one_line(words[index][0], LONGEST_NAME - 5), taken)
        taken.add(name.casefold())
        directions.rename(index, name)
        if len(words[index]) > 1:
            directions.annotate(index, _one_line(_BETWEEN.join(words[index]), LONGEST_NOTE))
    return len(words)


def _read(path: Path) -> dict[int, list[str]]:
    """All words for each index."""
    if not path.is_file():
        raise UserError(f"no file of annotations {path}")
    with open_place(path) as file:
        content = file.read(LARGEST_TABLE + 1)
    check_bytes(len(content), LARGEST_TABLE, str(path))
    lines = decoded(content).splitlines()
    header = [cell.strip() for cell in lines[0].split(",")] if lines else []
    pairs = _of_table(lines, path) if {_ID, _WORDS} <= set(header) else _of_lines(lines, path)
    words: dict[int, list[str]] = {}
    for index, text in pairs:
        if text and text not in words.setdefault(index, []):
            words[index].append(text)
    return {index: texts for index, texts in words.items() if texts}


def _of_table(lines: list[str], path: Path) -> list[tuple[int, str]]:
    pairs = []
    try:
        for number, row in enumerate(csv.DictReader(io.StringIO("\n".join(lines))), start=2):
            index, text = (row.get(key) or "" for key in (_ID, _WORDS))
            if not re.fullmatch(r"\d{1,9}", index.strip()):
                raise UserError(
                    f"{path}, line {number}: {_ID} is {index[:40]!r}; it should be the index of a direction"
                )
            pairs.append((int(index), text.strip()))
    except csv.Error as error:
        raise UserError(f"{path}: {error}") from error
    return pairs


def _of_lines(lines: list[str], path: Path) -> list[tuple[int, str]]:
    pairs = []
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match:
            pairs.append((int(match[1]), match[2]))
        elif line.strip():
            raise UserError(
                f"{path}, line {number} is {line.strip()[:40]!r}; expected 'index: words', or a table with the columns "
                f"{_ID} and {_WORDS}"
            )
    if not pairs:
        raise UserError(f"{path} describes no direction; expected lines 'index: words'")
    return pairs


def _one_line(text: str, most: int) -> str:
    plain = " ".join("".join(c if c.isprintable() else " " for c in text.replace("_", " ")).split())
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number behind it if it is one, or if another direction has it."""
    name = f"'{name}'" if is_number(name) else name
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{name} {number}"
    return free
