"""The settings of a picture, kept in its file as one line of JSON, and read from there."""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from biggan_discovery.errors import UserError
from biggan_discovery.files import existing_file
from biggan_discovery.installed import version

_BEGINNING = b'{"program": "biggan-discovery'
_LONGEST = 64_000  # bytes; longer settings lose their command and lists of samples
_EXIF_FLAG, _DESCRIPTION = 0x08, 0x010E


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings as one line of ASCII, for `settings_of`; those that are None or empty are left out."""
    kept = {"program": f"biggan-discovery {version()}".rstrip()}
    kept |= {
        key: value
        for key, value in settings.items()
        if value is not None and value is not False and value != "" and value != {}
    }
    text = json.dumps(kept)
    if len(text) > _LONGEST:
        text = json.dumps({key: value for key, value in kept.items() if len(json.dumps(value)) < 2_000})
    return text


def settings_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings that a picture of `draw`, `edit` or `contact_sheet` was made with.

    Args:
        path: a .png, .gif, .mp4 or .webp file.

    Returns:
        What was drawn, by name: the command line, directions, generator, seed, classes, amounts, ...

    Raises:
        UserError: if there is no such file, or it has no settings of this project.

    Example:
        >>> settings_of("directions.mp4")["seed"]
        0
    """
    path = existing_file(path)
    if path.stat().st_size:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            start = content.rfind(_BEGINNING)
            text = content[start : start + 2 * _LONGEST] if start >= 0 else b""
            gif = content[:4] == b"GIF8"
            # The first piece of a GIF's comment is preceded by its length.
            pieces = content[start - 1 : start + 2 * _LONGEST] if gif and start > 0 else b""
        try:
            found, _ = json.JSONDecoder().raw_decode((_joined(pieces) if gif else text).decode("latin-1"))
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
    raise UserError(f"{path} has no settings of biggan-discovery")


def png_text(text: str) -> PngImagePlugin.PngInfo:
    """Settings as a text chunk of a PNG."""
    info = PngImagePlugin.PngInfo()
    if text:
        info.add_text("Comment", text)
    return info


def append_to_gif(path: Path, text: str) -> None:
    """Add settings to a GIF, as a comment at its end."""
    content = text.encode()
    pieces = (content[i : i + 255] for i in range(0, len(content), 255))
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b";":
            raise OSError(f"{path} does not end as a GIF does")
        file.seek(-1, os.SEEK_END)
        file.write(b"!\xfe" + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0;")


def append_to_webp(path: Path, text: str) -> None:
    """Add settings to a WebP, as the image description of an Exif chunk."""
    exif = Image.Exif()
    exif[_DESCRIPTION] = text
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = b"EXIF" + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    _extend_webp(path)
    with path.open("r+b") as file:
        start = file.read(21)
        file.seek(20)
        file.write(bytes([start[20] | _EXIF_FLAG]))
        end = file.seek(0, os.SEEK_END)
        file.write(chunk)
        file.seek(4)
        file.write(struct.pack("<I", end + len(chunk) - 8))


def _extend_webp(path: Path) -> None:
    """Give a WebP the header that further chunks need; encoders leave it out if all frames of a film are the same."""
    content = path.read_bytes()
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        raise OSError(f"{path} does not begin as a WebP does")
    if content[12:16] == b"VP8X":
        return
    with Image.open(path) as image:
        width, height = image.size
    header = (
        b"VP8X" + struct.pack("<II", 10, 0) + b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    )
    chunks = b"WEBP" + header + content[12:]
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)


def _joined(pieces: bytes) -> bytes:
    """The content of sub-blocks, each preceded by a byte with its length."""
    joined, at = b"", 0
    while at < len(pieces) and pieces[at]:
        joined += pieces[at + 1 : at + 1 + pieces[at]]
        at += 1 + pieces[at]
    return joined
