from __future__ import annotations

import errno
import gc
import re
import stat
import subprocess
import sys
import weakref
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from biggan_discovery.errors import UserError
from biggan_discovery.rendering import check_output, encode, open_writer

MOVING = (".gif", ".mp4", ".webp")


def _frame(phase: float, height: int = 60, width: int = 90) -> np.ndarray:
    """A moving smooth gradient of many hues."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(2 * np.pi * (phase + x * 0.7 + y * 0.4 + shift / 3)) for shift in range(3)]
    return np.round(127.5 + 90 * np.stack(waves, -1)).astype(np.uint8)


def _write(path: Path, count: int = 8, fps: float = 20, **size: int) -> list[np.ndarray]:
    frames = [_frame(i / count, **size) for i in range(count)]
    with open_writer(path, fps) as writer:
        for frame in frames:
            writer.add(frame)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return frames


def _read(path: Path) -> tuple[np.ndarray, list[int]]:
    """Frames and their durations in milliseconds."""
    if path.suffix == ".mp4":
        return _read_mp4(path)
    frames, durations = [], []
    with Image.open(path) as image:  # imageio does not report frame durations of WebP.
        assert image.info["loop"] == 0
        for i in range(image.n_frames):
            image.seek(i)
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
    return np.stack(frames), durations


def _read_mp4(path: Path) -> tuple[np.ndarray, list[int]]:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    done = subprocess.run(command, capture_output=True, check=True)
    told = re.search(r"Video: h264 .*yuv420p.* (\d+)x(\d+).* ([0-9.]+) fps", done.stderr.decode())
    assert told is not None
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, int(told[2]), int(told[1]), 3)
    return frames, [round(1000 / float(told[3]))] * len(frames)


@pytest.mark.parametrize("suffix", MOVING)
def test_what_is_written_looks_the_same_and_keeps_time(tmp_path: Path, suffix: str) -> None:
    frames = np.stack(_write(tmp_path / f"a{suffix}")).astype(float)
    read, durations = _read(tmp_path / f"a{suffix}")
    assert read.shape == frames.shape
    assert durations == [50] * 8
    error = read - frames
    assert np.sqrt((error**2).mean()) < 5
    # What the eye sees of a dithered gradient: the mean over a few pixels.
    seen = error.reshape(8, 15, 4, 18, 5, 3).mean((2, 4))
    assert np.sqrt((seen**2).mean()) < 2


@pytest.mark.parametrize("fps", [50, 30, 100 / 3, 24])
def test_gif_keeps_time_at_any_rate(tmp_path: Path, fps: float) -> None:
    _write(tmp_path / "a.gif", count=30, fps=fps, height=8, width=8)
    _, durations = _read(tmp_path / "a.gif")
    assert sum(durations) == pytest.approx(1000 * 30 / fps, abs=10)
    assert min(durations) >= 20


@pytest.mark.parametrize("suffix", MOVING)
def test_odd_and_tiny_sides(tmp_path: Path, suffix: str) -> None:
    _write(tmp_path / f"a{suffix}", count=2, height=37, width=51)
    read, _ = _read(tmp_path / f"a{suffix}")
    assert read.shape[1:] == ((38, 52, 3) if suffix == ".mp4" else (37, 51, 3))


def test_what_stands_still_in_a_gif_does_not_flicker(tmp_path: Path) -> None:
    frames = np.stack([_frame(0)] * 8)
    for i, frame in enumerate(frames):
        frame[:, i * 5 : i * 5 + 30] = _frame(i / 8)[:, :30, ::-1]
    with open_writer(tmp_path / "a.gif", 20) as writer:
        for frame in frames:
            writer.add(frame)
    read, _ = _read(tmp_path / "a.gif")
    same = (np.diff(frames.astype(int), axis=0) == 0).all(-1)
    assert same.mean() > 0.5
    assert not np.diff(read.astype(int), axis=0)[same].any()


def test_png_is_exact(tmp_path: Path) -> None:
    frames = _write(tmp_path / "a.PNG", count=1)
    np.testing.assert_array_equal(iio.imread(tmp_path / "a.PNG"), frames[0])


@pytest.mark.parametrize("suffix", MOVING)
def test_writers_hold_no_frames(tmp_path: Path, suffix: str) -> None:
    seen = []
    with open_writer(tmp_path / f"a{suffix}", 20) as writer:
        for i in range(6):
            frame = _frame(i / 6)
            seen.append(weakref.ref(frame))
            writer.add(frame)
            del frame
            gc.collect()
            assert not any(reference() is not None for reference in seen)


@pytest.mark.parametrize("suffix", [*MOVING, ".png"])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), open_writer(path, 20) as writer:  # noqa: PT012
        writer.add(_frame(0))
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("path", "fps", "said"),
    [
        ("a.avi", 20, "cannot write '.avi'"),
        ("a.gfi", 20, "did you mean '.gif'"),
        ("a", 20, "cannot write ''"),
        ("a.gif", 60, "fps is 60; .gif allows more than 0 and at most 50 frames per second"),
        ("a.mp4", 0, "fps is 0; "),
        ("a.mp4", -1, "fps is -1; "),
        ("a.mp4", float("nan"), "fps is nan; "),
    ],
)
def test_bad_output(path: str, fps: float, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_output(path, fps)


@pytest.mark.parametrize("suffix", MOVING)
def test_a_film_too_large_is_refused(tmp_path: Path, suffix: str) -> None:
    side = encode.WRITERS[suffix].limits.side
    with pytest.raises(UserError, match=f"at most {side}"), open_writer(tmp_path / f"a{suffix}", 20) as writer:
        writer.add(np.zeros((side + 1, 2, 3), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", MOVING)
def test_the_largest_side_is_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with open_writer(path, 20) as writer:
        writer.add(np.zeros((16, encode.WRITERS[suffix].limits.side, 3), np.uint8))
    assert path.stat().st_size


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="after frames of"), open_writer(tmp_path / "a.gif", 20) as writer:  # noqa: PT012
        writer.add(_frame(0))
        writer.add(_frame(0, height=10))


def test_ffmpeg_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise RuntimeError("No ffmpeg exe could be found.\nInstall ffmpeg.")

    monkeypatch.setattr(encode.imageio_ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(UserError, match=r"write \.png"), open_writer(tmp_path / "a.gif", 20) as writer:
        writer.add(_frame(0))
    _write(tmp_path / "a.png", count=1)


_REAL = imageio_ffmpeg.get_ffmpeg_exe()


def _replace_ffmpeg(monkeypatch: pytest.MonkeyPatch, *programs: Path | str) -> None:
    """Replace ffmpeg by the programs in turn, then always by the last one."""
    left = list(map(str, programs))
    monkeypatch.setattr(encode.imageio_ffmpeg, "get_ffmpeg_exe", lambda: left.pop(0) if len(left) > 1 else left[0])


def _script(folder: Path, text: str) -> Path:
    fake = folder / "ffmpeg"
    fake.write_text(text)
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    return fake


@pytest.mark.parametrize(
    ("words", "code", "number", "said"),
    [
        ("av_interleaved_write_frame(): No space left on device", 1, errno.ENOSPC, "No space left"),
        ("", 228, errno.ENOSPC, "No space left"),
        ("odd", 1, errno.EIO, "odd"),
        ("File too large", 1, errno.EFBIG, "File too large"),
        ("'; kill -XFSZ $$; echo '", 0, errno.EFBIG, "File too large"),
        ("'; kill -SEGV $$; echo '", 0, errno.EIO, "stopped by SIGSEGV"),
        ("", 1, errno.EIO, "exit code 1"),
    ],
)
def test_ffmpeg_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, code: int, number: int, said: str
) -> None:
    _replace_ffmpeg(monkeypatch, _script(tmp_path, f"#!/bin/sh\necho '{words}' >&2\nexit {code}\n"))
    (tmp_path / "out").mkdir()
    with pytest.raises(OSError, match=said) as caught, open_writer(tmp_path / "out" / "a.mp4", 20) as writer:  # noqa: PT012
        for i in range(50):
            writer.add(_frame(i, 100, 1000))
    assert caught.value.errno == number
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("suffix", MOVING)
@pytest.mark.parametrize("size", [(60, 90), (600, 900)])  # fits a pipe, and does not
def test_a_program_that_is_not_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, size: tuple[int, int]
) -> None:
    _replace_ffmpeg(monkeypatch, "/bin/true")
    path = tmp_path / f"a{suffix}"
    with pytest.raises(OSError, match=r"ffmpeg .*/bin/true") as caught, open_writer(path, 20) as writer:  # noqa: PT012
        for i in range(3):
            writer.add(_frame(i / 3, *size))
    assert caught.value.errno == errno.EIO
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", ["nowhere/ffmpeg", "plain"])
def test_a_program_that_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    (tmp_path / "plain").write_text("no program")
    _replace_ffmpeg(monkeypatch, tmp_path / program)
    with pytest.raises(UserError, match=program), open_writer(tmp_path / "a.mp4", 20) as writer:
        writer.add(_frame(0))
    assert [file.name for file in tmp_path.iterdir()] == ["plain"]


def test_a_gif_that_fails_at_its_end_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_ffmpeg(monkeypatch, _REAL, "/bin/false")
    with pytest.raises(OSError, match="exit code 1"), open_writer(tmp_path / "a.gif", 20) as writer:  # noqa: PT012
        for i in range(3):
            writer.add(_frame(i / 3))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("suffix", [*MOVING, ".png"])
def test_a_full_disk(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Even at the end of a film, and with no output but the error."""
    film = tmp_path / f"a{suffix}"
    film.symlink_to("/dev/full")
    writer = encode.WRITERS[suffix](film, 20)
    with pytest.raises(OSError, match="No space left") as caught:  # noqa: PT012
        writer.add(_frame(0))
        writer.finish()
    writer.abort()
    assert caught.value.errno == errno.ENOSPC
    gc.collect()
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == [film]


def test_the_next_frame_is_made_while_one_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an encoder that reads a frame, larger than any pipe, only after the next one has been generated."""
    frame, count = _frame(0, 500, 1000), 3
    fake = tmp_path / "ffmpeg"
    fake.write_text(
        f"""#!{sys.executable}
import os, sys, time
for i in range(1, {count + 1}):
    assert len(sys.stdin.buffer.read({frame.nbytes})) == {frame.nbytes}
    end = time.monotonic() + 60
    while not os.path.exists("{tmp_path}/made" + str(i)):
        assert time.monotonic() < end, "frame " + str(i) + " was not made"
        time.sleep(0.01)
open(sys.argv[-1], "wb").write(b"film")
"""
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(encode.imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(fake))
    with open_writer(tmp_path / "a.mp4", 20) as writer:
        for i in range(count):
            (tmp_path / f"made{i}").touch()
            writer.add(frame)
        (tmp_path / f"made{count}").touch()


def test_mp4_keeps_plain_colours(tmp_path: Path) -> None:
    colours = np.array(
        [(255, 255, 255), (0, 0, 0), (220, 40, 40), (40, 180, 60), (40, 60, 200), (128, 128, 128)], np.uint8
    )
    with open_writer(tmp_path / "a.mp4", 20) as writer:
        for colour in colours:
            writer.add(np.full((32, 32, 3), colour, np.uint8))
    read, _ = _read(tmp_path / "a.mp4")
    np.testing.assert_allclose(read[:, 16, 16].astype(int), colours, atol=4)
