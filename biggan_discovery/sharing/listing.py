"""A page that shows directions files by what is inside of them, without their generators."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from biggan_discovery.directions import Directions
from biggan_discovery.directions.directions import SUFFIX, is_directions_file
from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write, check_writable
from biggan_discovery.rendering.thumbnail import thumbnail_png
from biggan_discovery.reports.document import Document, Heading, Picture, Text
from biggan_discovery.sharing.card import facts, table

HTML = ".html"
_STATES = ("state.safetensors", "state.previous.safetensors")  # of runs
_MOST_FILES = 1_000
_SCALE = 3
_log = logging.getLogger(__name__)


def found_in(paths: Sequence[str | os.PathLike[str]]) -> list[Directions]:
    """The directions of files, and of all files in folders, in the order of their names; without their generators.

    In a folder, files that cannot be read are warned of.

    Raises:
        UserError: a file that is given cannot be read, or a folder has no directions or more than 1,000 files of them.

    Example:
        >>> [each.source for each in found_in(["runs", "hf://someone/cones"])]
        ['runs/demo/directions.safetensors', 'hf://someone/cones/directions.safetensors']
    """
    return [
        each for path in paths for each in (_in_folder(Path(path)) if Path(path).is_dir() else [Directions.load(path)])
    ]


def write_listing(found: Sequence[Directions], out: str | os.PathLike[str]) -> None:
    """Write a page with the thumbnail, origin and names of each set of directions; it needs no other file.

    Args:
        found: the directions.
        out: file, must end in .html.

    Raises:
        UserError: `out` has another suffix or cannot be written.
    """
    out = Path(out)
    check_page(out)
    document = Document("Directions")
    with tempfile.TemporaryDirectory() as folder:
        for number, directions in enumerate(found):
            document.add(Heading(2, directions.source), *_picture(directions, Path(folder), number))
            document.add(*facts(directions), *table(directions)[1:])
        atomic_write(out, document.html(Path(folder)))


def check_page(out: Path) -> None:
    """Raise what `write_listing` would raise about its output, before anything is read.

    Raises:
        UserError: the name does not end in .html, or the file cannot be written.
    """
    if out.suffix.lower() != HTML:
        raise UserError(f"cannot write {out}: the name of a page must end in {HTML}")
    check_writable(out)


def _in_folder(folder: Path) -> Iterator[Directions]:
    files = (
        path for path in sorted(folder.rglob(f"*{SUFFIX}")) if path.name not in _STATES and is_directions_file(path)
    )
    paths = list(islice(files, _MOST_FILES + 1))
    if not paths or len(paths) > _MOST_FILES:
        raise UserError(f"{folder} has {f'more than {_MOST_FILES:,}' if paths else 'no'} directions files")
    for path in paths:
        try:
            yield Directions.load(path)
        except UserError as error:
            _log.warning("%s", error)


def _picture(directions: Directions, folder: Path, number: int) -> list[Picture | Text]:
    try:
        content = thumbnail_png(directions, _SCALE)
    except UserError as error:
        return [Text(str(error))]
    if content is None:
        return []
    (folder / f"{number}.png").write_bytes(content)
    return [Picture(f"{number}.png", "The strongest directions.")]
