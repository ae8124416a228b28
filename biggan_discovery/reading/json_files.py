"""Reading JSON files from strangers. Needs no torch."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from biggan_discovery.errors import UserError
from biggan_discovery.json_text import parse_json
from biggan_discovery.reading.limits import LARGEST_HEADER, check_bytes
from biggan_discovery.reading.source import open_place


def read_json(place: Path | zipfile.Path) -> Any:
    """The content of a JSON file of at most `LARGEST_HEADER` bytes; see `parse_json`.

    Raises:
        UserError: the file is missing, unreadable, too large or too deep, or not JSON.
    """
    with open_place(place) as file:
        content = file.read(LARGEST_HEADER + 1)
    check_bytes(len(content), LARGEST_HEADER, str(place))
    try:
        return parse_json(content)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
