"""Pictures keep the settings that they were made with."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from biggan_discovery.errors import UserError
from biggan_discovery.rendering import settings_of
from biggan_discovery.rendering.encode import open_writer
from biggan_discovery.rendering.settings import settings_text

SUFFIXES = [".png", ".gif", ".webp", ".mp4"]
GIVEN = {
    "command": "biggan-discovery edit 'größe' --set 0=1",
    "seed": 0,
    "names": ["размер", "漢字", "\n\x1b[31m"],
    "a": 0.5,
}


def write(path: Path, given_: dict[str, Any], frames: int = 3) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (frames, 24, 36, 3), np.uint8)
    with open_writer(path, 10, note=settings_text(given_)) as writer:
        for frame in noise[: 1 if path.suffix == ".png" else None]:
            writer.add(frame)


def without_program(path: Path) -> dict[str, Any]:
    found = settings_of(path)
    assert found.pop("program").startswith("biggan-discovery ")
    return found


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("long", [False, True])
def test_settings_come_back(tmp_path: Path, suffix: str, long: bool) -> None:
    path = tmp_path / f"a{suffix}"
    given_ = GIVEN | ({"samples": [f"{number} cone" for number in range(3000)]} if long else {})
    write(path, given_)
    assert without_program(path) == given_


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_programs_read_the_picture_as_before(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, GIVEN)
    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "null", "-"],
        capture_output=True,
        check=False,
    )
    assert suffix == ".webp" or (done.returncode, done.stderr) == (0, b"")  # This ffmpeg reads no animated WebP.
    if suffix != ".mp4":
        with Image.open(path) as image:
            assert getattr(image, "n_frames", 1) == (1 if suffix == ".png" else 3)
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                assert np.asarray(image.convert("RGB")).shape == (24, 36, 3)
    content = path.read_bytes()
    if suffix == ".webp":
        assert struct.unpack("<I", content[4:8])[0] == len(content) - 8
        with Image.open(path) as image:
            assert image.getexif()[0x010E].startswith('{"program"')
    if suffix == ".png":
        with Image.open(path) as image:
            assert image.info["Comment"].startswith('{"program"')


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=300), max_size=4))
def test_any_text_is_kept(tmp_path_factory: pytest.TempPathFactory, given_: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("any") / "a.png"
    given_ = {key: value for key, value in given_.items() if value and key != "program"}
    write(path, given_)
    assert without_program(path) == given_


def test_settings_too_long_are_kept_without_their_long_parts(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", {"command": "x" * 10**6, "seed": 3})
    assert without_program(tmp_path / "a.mp4") == {"seed": 3}


@pytest.mark.parametrize(
    "content",
    [b"", b"GIF89a;", b'{"program": "biggan-discovery', b'{"program": "biggan-discovery 1"' + b'{"a":' * 50_000],
)
def test_what_has_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(content)
    with pytest.raises(UserError, match="has no settings"):
        settings_of(path)


def test_frames_are_files_in_a_folder_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "frames"
    noise = np.random.default_rng(0).integers(0, 255, (5, 8, 9, 3), np.uint8)
    for count in (5, 3):
        with open_writer(folder, 10, form="frames", note=settings_text(GIVEN)) as writer:
            for frame in noise[:count]:
                writer.add(frame)
        files = sorted(folder.iterdir())
        assert [file.name for file in files] == [f"{index:05d}.png" for index in range(count)]
        for file, frame in zip(files, noise, strict=False):
            np.testing.assert_array_equal(np.asarray(Image.open(file)), frame)
            assert without_program(file) == GIVEN


def test_no_frames_are_left_after_an_error(tmp_path: Path) -> None:
    def stopped() -> None:
        with open_writer(tmp_path / "frames", 10, form="frames") as writer:
            writer.add(np.zeros((8, 8, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not list((tmp_path / "frames").iterdir())


def test_frames_do_not_go_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with (
        pytest.raises(UserError, match="has other files, such as thesis"),
        open_writer(tmp_path, 10, form="frames"),
    ):
        pass


def test_a_webp_in_which_nothing_moves_keeps_its_settings(tmp_path: Path) -> None:
    """Encoders write a still of it, without the header that further chunks need."""
    frame = np.full((16, 24, 3), 200, np.uint8)
    with open_writer(tmp_path / "still.webp", 10, note=settings_text({"seed": 7})) as writer:
        for _ in range(3):
            writer.add(frame)
    assert settings_of(tmp_path / "still.webp")["seed"] == 7
    with Image.open(tmp_path / "still.webp") as image:
        image.load()
        assert image.size == (24, 16)
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - frame).max() < 8
