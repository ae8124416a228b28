"""Parsing JSON that others wrote. Needs no torch."""

from __future__ import annotations

import json
import re
from typing import Any

from biggan_discovery.errors import UserError

MOST_CHARACTERS = 4 * 2**20
MOST_LEVELS = 64
MOST_CONTAINERS, MOST_VALUES = 2**17, 2**21
HALVES = re.compile("[\ud800-\udfff]")
_NO_FILE_NAME = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON of limited length and depth, with or without a byte order mark.

    Halves of surrogate pairs, which are not text and cannot be written, are replaced by U+FFFD, except those that
    Python uses for bytes of file names.

    Args:
        text: at most 4 MiB, in UTF-8, UTF-16 or UTF-32 if bytes.

    Returns:
        The value, nested at most 64 levels deep.

    Raises:
        UserError: If it is not JSON, too long, has too many values, or is nested too deeply.

    Example:
        >>> parse_json('{"names": ["hue"]}')
        {'names': ['hue']}
    """
    if len(text) > MOST_CHARACTERS:
        raise UserError(f"it has {len(text):,} characters of JSON; at most {MOST_CHARACTERS:,} are read")
    # Counted before parsing, which takes half a minute for some 16 MiB of empty lists.
    if _count(text, "[") + _count(text, "{") > MOST_CONTAINERS or _count(text, ",") > MOST_VALUES:
        raise UserError(f"its JSON has more than {MOST_CONTAINERS:,} lists or {MOST_VALUES:,} values")
    try:
        # json.loads recognises encodings and byte order marks in bytes only.
        value = json.loads(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    except RecursionError as error:
        raise UserError(_too_deep()) from error
    except ValueError as error:
        raise UserError(f"it is not valid JSON: {str(error)[:200]}") from error
    _check_depth(value)
    return well_formed(value, _NO_FILE_NAME)


def _count(text: str | bytes, character: str) -> int:
    return text.count(character) if isinstance(text, str) else text.count(character.encode())


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise UserError(_too_deep())


def _too_deep() -> str:
    return f"its JSON is nested more than {MOST_LEVELS} levels deep"


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def well_formed(value: Any, halves: re.Pattern[str] = HALVES) -> Any:
    """A JSON value with halves of surrogate pairs in its strings replaced by U+FFFD.

    Args:
        value: any JSON.
        halves: what to replace. Defaults to all halves.
    """
    if isinstance(value, str):
        return halves.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [well_formed(each, halves) for each in value]
    if isinstance(value, dict):
        return {well_formed(key, halves): well_formed(each, halves) for key, each in value.items()}
    return value
