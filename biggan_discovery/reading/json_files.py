"""Reading JSON from strangers. Needs no torch."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from biggan_discovery.errors import UserError
from biggan_discovery.reading.limits import LARGEST_HEADER, check_bytes, check_items
from biggan_discovery.reading.source import open_place

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(place: Path | zipfile.Path, most: int = LARGEST_HEADER) -> Any:
    """The content of a JSON file in UTF-8, with or without a byte order mark, UTF-16 or UTF-32.

    Args:
        place: the file.
        most: largest size in bytes.

    Raises:
        UserError: the file is missing, unreadable, too large or too deep, or not JSON.
    """
    with open_place(place) as file:
        content = file.read(most + 1)
    check_bytes(len(content), most, str(place))
    try:
        return parse_json(content)
    except UserError as error:
        raise UserError(f"{place} {error}") from error


def parse_json(content: bytes | str) -> Any:
    """JSON as Python objects, of a checked depth and size, with text that can be printed and encoded.

    Raises:
        UserError: without the name of the file, to follow it.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"is not valid JSON: {' '.join(str(error).split())[:200]}") from error
    try:
        check_items(value)
    except UserError as error:
        raise UserError(f"is not read: {error}") from error
    if _has_lone_surrogate(value):
        raise UserError("is not read: it has half of a surrogate pair, which is no character")
    return value


def _has_lone_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return _LONE_SURROGATE.search(value) is not None
    if isinstance(value, dict):
        return any(map(_has_lone_surrogate, value)) or any(map(_has_lone_surrogate, value.values()))
    return isinstance(value, list) and any(map(_has_lone_surrogate, value))
