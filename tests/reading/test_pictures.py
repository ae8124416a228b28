"""Pictures of every kind: sizes, bits, transparency, colour spaces, orientation; and hostile ones."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biggan_discovery.errors import UserError
from biggan_discovery.reading.pictures import read_picture, read_square

RED, BLUE = (200, 30, 40), (20, 40, 180)


def halves() -> Image.Image:
    """The upper half red, the lower one blue; 8 × 16 pixels."""
    picture = Image.new("RGB", (8, 16), RED)
    picture.paste(BLUE, (0, 8, 8, 16))
    return picture


def test_a_square_is_the_centre(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), (255, 255, 255))
    picture.paste(RED, (2, 0, 38, 20))  # Resizing looks a little over the edges.
    picture.save(tmp_path / "wide.png")
    pixels, size = read_square(tmp_path / "wide.png", 10)
    assert size == (40, 20)
    assert (pixels == RED).all()


@pytest.mark.parametrize(("colour", "side"), [((1, 2, 3), 1), (RED, 3)])
def test_small_pictures_are_enlarged(colour: tuple[int, int, int], side: int, tmp_path: Path) -> None:
    Image.new("RGB", (side, side), colour).save(tmp_path / "dot.png")
    assert (read_square(tmp_path / "dot.png", 8)[0] == colour).all()


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_16_bits_keep_their_greys(form: str, tmp_path: Path) -> None:
    levels = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / f"grey.{form}")
    expected = np.arange(256).reshape(16, 16)
    assert np.array_equal(read_picture(tmp_path / f"grey.{form}", "L"), expected)
    assert np.array_equal(read_square(tmp_path / f"grey.{form}", 16)[0], expected[..., None].repeat(3, axis=2))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_without_a_range_are_refused(dtype: type, tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 300, dtype)).save(tmp_path / "wide.tiff")
    with pytest.raises(UserError, match="8 or 16 bits per channel"):
        read_square(tmp_path / "wide.tiff", 4)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_black(mode: str, tmp_path: Path) -> None:
    picture = Image.new("RGBA", (4, 4), (255, 255, 255, 0))
    picture.paste((255, 255, 255, 255), (0, 0, 2, 4))
    picture.convert(mode).save(tmp_path / "clear.png")
    pixels = read_square(tmp_path / "clear.png", 4)[0]
    assert (pixels[:, :2] == 255).all()
    assert (pixels[:, 2:] == 0).all()


def test_cmyk_is_converted(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), RED).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert np.abs(read_square(tmp_path / "print.jpg", 8)[0].astype(int) - RED).max() <= 6


def test_rotated_photos_are_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was held upright: rotate by 90° clockwise.
    halves().rotate(90, expand=True).save(tmp_path / "held.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "held.png"), np.asarray(halves()))


def test_bombs_and_other_files_are_refused(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 9_500, 9_500, 8, 2, 0, 0, 0)  # PIL would only warn of so many.
    chunks = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    )
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(UserError, match=r"9500 × 9500 pixels; at most 67,108,864 are read"):
        read_square(tmp_path / "bomb.png", 8)
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(UserError, match=r"notes\.png: it is damaged, or not a JPEG"):
        read_square(tmp_path / "notes.png", 8)
    with pytest.raises(UserError, match="is a folder"):
        read_picture(tmp_path)
