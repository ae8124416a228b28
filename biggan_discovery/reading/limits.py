"""The judge of sizes: what a file may be, checked before anything is expanded. Needs no torch.

Every limit is above what the largest published networks and searches need, and low enough that no file, whatever it
claims, takes more than about 2 GiB of memory.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection, Sequence

from biggan_discovery.errors import UserError

LARGEST_FILE = 768 * 2**20
"""Bytes of a file with weights, unpacked. BigGAN's largest, of 512 pixels, has 330 MB."""
LARGEST_HEADER = 4 * 2**20
"""Bytes of a description: the header of a safetensors file, the pickle of a torch file, a JSON file."""
LARGEST_TABLE = 32 * 2**20
"""Bytes of numbers as text."""
MOST_WEIGHTS = 2**27
"""Numbers in a network. BigGAN's largest has 2^26.3."""
MOST_NUMBERS = 2**24
"""Numbers in a matrix of directions or in latents: 4,096 directions of a z_dim of 4,096."""
MOST_ITEMS = 2**22
"""Items of nested lists and objects."""
MOST_LINES, MOST_CELLS = 2**17, 2**21
"""Lines and cells of a table."""
DEEPEST = 32
"""Levels of nested lists and objects."""


def check_bytes(size: int, most: int, what: str) -> None:
    """Check a size in bytes.

    Raises:
        UserError: larger than `most`.
    """
    if size > most:
        raise UserError(f"{what} has {_bytes(size)}; at most {_bytes(most)} are read")


def check_shape(shape: Sequence[int], most: int, what: str) -> None:
    """Check the shape of an array before there is one.

    Raises:
        UserError: a size below 0, or more than `most` numbers.
    """
    if any(size < 0 or size > 2**62 for size in shape) or math.prod(shape) > most:
        shown = " × ".join(f"{size:,}" if abs(size) < 10**15 else "very many" for size in shape[:4])
        raise UserError(f"{what} claims {shown}{' × ...' * (len(shape) > 4)} numbers; at most {most:,} are read")


def check_zip(members: Collection[zipfile.ZipInfo], what: str) -> None:
    """Check the unpacked size of a zip, and that no two members share a name, of which readers may choose either.

    Raises:
        UserError: larger than `LARGEST_FILE`, or a name occurs twice.
    """
    check_bytes(sum(member.file_size for member in members), LARGEST_FILE, f"{what}, unpacked,")
    if len({member.filename.lower() for member in members}) < len(members):
        raise UserError(f"{what} is a damaged zip: it has several members of one name")


def check_items(value: object) -> None:
    """Check nested lists and dicts: how many items they have, and how deep.

    Raises:
        UserError: more than `MOST_ITEMS` (an item in two places counts twice), or deeper than `DEEPEST`.
    """
    level, count = [value], 0
    for _ in range(DEEPEST):
        deeper: list[object] = []
        for each in level:
            inner = _inside(each)
            count += len(inner)
            if count > MOST_ITEMS:
                raise UserError(f"it has more than {MOST_ITEMS:,} items")
            deeper.extend(item for item in inner if isinstance(item, list | tuple | dict))
        if not deeper:
            return
        level = deeper
    raise UserError(f"it is nested deeper than {DEEPEST} levels")


def _inside(value: object) -> Collection[object]:
    if isinstance(value, dict):
        return dict.values(value)  # Of the class: an attribute of the same name may hide an instance's.
    return value if isinstance(value, list | tuple) else ()


def _bytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
