"""Frames to files, one frame at a time: GIF, MP4, animated WebP, PNG for a still, and a folder of PNG files."""

from __future__ import annotations

import abc
import contextlib
import errno
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.files import atomic_path, atomic_write, check_writable
from biggan_discovery.rendering.settings import append_to_gif, append_to_webp, png_text
from biggan_discovery.rendering.table import FRAMES, NO_LIMITS, Limits


class Writer(abc.ABC):
    """A sink of frames, see `open_writer`."""

    fastest: ClassVar[float] = 1000.0  # The maximum frames per second.
    even: ClassVar[bool] = False  # whether sides are padded to even lengths
    limits: ClassVar = NO_LIMITS  # Of a frame.

    def __init__(self, path: Path, fps: float, note: str = ""):
        self._path, self._fps, self._note = path, fps, note

    @abc.abstractmethod
    def add(self, frame: np.ndarray) -> None:
        """Add a frame (H, W, 3) uint8; all frames have one size."""

    @abc.abstractmethod
    def finish(self) -> None:
        """Complete the file."""

    def abort(self) -> None:  # noqa: B027 - Optional.
        """Stop early and leave an incomplete file."""


class _Ffmpeg:
    """An ffmpeg process that reads raw RGB frames, or no input, and whose failure is one line.

    It is equivalent to `imageio_ffmpeg.write_frames` and imageio's plugin based on it, with the same films (MP4: 38.3
    dB) and memory (87 and 91 MB), but keeps ffmpeg's exit code, without which a short GIF or WebP on a full disk ends
    without an error, its error message, and a handle to stop the process. imageio's pyav plugin cannot set quality or
    colours (37.2 dB). Its pillow plugin holds the whole film and takes over twice as long. See `python -m
    benchmarks.encode`.
    """

    def __init__(self, *arguments: str | Path):
        """The last argument is the output file."""
        try:
            program = imageio_ffmpeg.get_ffmpeg_exe()
        except RuntimeError as error:
            raise UserError(
                "ffmpeg, needed for GIF, MP4 and WebP, is not found; install imageio-ffmpeg, or write .png"
            ) from error
        command = [program, "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *map(str, arguments)]
        self._program, self._output = program, Path(arguments[-1])
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - Closed when the process has ended.
        # In its own process group, so that Ctrl-C reaches only the caller, which stops ffmpeg.
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._errors, start_new_session=True
            )
        except OSError as error:
            self._errors.close()
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
                raise
            raise UserError(
                f"ffmpeg cannot be run: {error.strerror} ({program}); is IMAGEIO_FFMPEG_EXE right?"
            ) from error
        assert self._process.stdin is not None
        self._input = self._process.stdin

    def write(self, frame: np.ndarray) -> None:
        try:
            self._input.write(np.ascontiguousarray(frame).data)
        except BrokenPipeError:
            self.wait()
            raise OSError(errno.EIO, f"ffmpeg ended before the film was complete ({self._program})") from None

    def wait(self) -> None:
        """Wait for the process to end; raise OSError with ffmpeg's error message if it failed."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        code = self._process.wait()
        self._errors.seek(0)
        messages = self._errors.read().decode(errors="replace").strip().splitlines()
        self._errors.close()
        # The exit code is that of ffmpeg's last error; its message is lost if the disk has no room for it.
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            if code == 256 - number or any(os.strerror(number) in line for line in messages):
                raise OSError(number, os.strerror(number))
        if code < 0:
            ended = errno.EFBIG if -code == getattr(signal, "SIGXFSZ", None) else errno.EIO
            reason = os.strerror(ended) if ended == errno.EFBIG else f"ffmpeg was stopped by {_signal_name(-code)}"
            raise OSError(ended, reason)
        if code:
            raise OSError(errno.EIO, f"ffmpeg failed: {messages[-1] if messages else f'exit code {code}'}")
        if not (self._output.exists() and self._output.stat().st_size):
            raise OSError(errno.EIO, f"ffmpeg wrote nothing; is {self._program} an ffmpeg?")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        self._errors.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Video(Writer):
    """Frames piped into one ffmpeg process."""

    options: ClassVar[tuple[str, ...]] = ()
    limits = Limits(side=16384, memory=80)  # libx264, which also makes the copies for GIF; measured at 8 megapixels.

    _process: _Ffmpeg | None = None
    _shape: tuple[int, ...] = ()

    def add(self, frame: np.ndarray) -> None:
        if self.even:
            frame = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
        if self._process is None:
            if max(frame.shape) > self.limits.side:
                raise UserError(
                    f"a {self._path.suffix} of {frame.shape[1]} x {frame.shape[0]} pixels is too large, a side has at "
                    f"most {self.limits.side}; write .png"
                )
            self._shape = frame.shape
            self._process = self._start(*frame.shape[:2])
        if frame.shape != self._shape:
            raise ValueError(f"a frame of shape {frame.shape} after frames of {self._shape}")
        self._process.write(frame)

    def _start(self, height: int, width: int) -> _Ffmpeg:
        raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{self._fps:g}", "-i", "pipe:0")
        # One frame at a time bounds the memory.
        bounds = ("-filter_threads", "1", "-thread_queue_size", "1", "-threads", "1")
        return _Ffmpeg(*bounds, *raw, *self._outputs(height, width))

    def _outputs(self, height: int, width: int) -> tuple[str | Path, ...]:
        return *self.options, self._path

    def finish(self) -> None:
        if self._process is None:
            raise ValueError("no frames were added")
        self._process.wait()

    def abort(self) -> None:
        if self._process is not None:
            self._process.kill()


class _Mp4(_Video):
    even: ClassVar[bool] = True
    # yuv420p is what every player shows. A short lookahead, few references and slices instead of frames in parallel
    # bound the memory for very large frames.
    options = (
        *("-c:v", "libx264", "-crf", "16", "-preset", "medium", "-threads", "2", "-rc-lookahead", "2", "-refs", "2"),
        *("-bf", "2", "-x264-params", "sync-lookahead=0:sliced-threads=1"),
        *("-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
        *("-movflags", "+faststart"),
    )

    def _outputs(self, height: int, width: int) -> tuple[str | Path, ...]:
        return *self.options, *(("-metadata", f"comment={self._note}") if self._note else ()), self._path


class _Webp(_Video):
    options = ("-c:v", "libwebp_anim", "-quality", "90", "-compression_level", "4", "-loop", "0")
    limits = Limits(side=16383, memory=80)

    def finish(self) -> None:
        super().finish()
        if self._note:
            append_to_webp(self._path, self._note)


class _Gif(_Video):
    """Writes a lossless copy and a palette for all frames first, and the film from both at the end.

    With a palette per frame, or with error diffusion, static regions flicker: by 2.1 of 255 levels on sheets of
    scenes-64 with both, and by 0 with one palette and ordered dithering, in 0.7 of the bytes.
    """

    fastest = 50.0  # Most viewers clamp frame delays below 20 ms.
    _enough = 100_000  # pixels of a frame to choose a palette by; by all of them it would look the same and take longer
    _copied = ("-c:v", "libx264rgb", "-qp", "0", "-preset", "ultrafast", "-threads", "2")

    def __init__(self, path: Path, fps: float, note: str = ""):
        super().__init__(path, fps, note)
        # In a folder: what ffmpeg writes after this process was killed and its files were removed has no place to go.
        self._parts = path.with_name(f"{path.name}.parts")
        self._copy, self._palette = self._parts / "film.nut", self._parts / "palette.png"

    def _outputs(self, height: int, width: int) -> tuple[str | Path, ...]:
        self._parts.mkdir()
        n = max(1, math.isqrt(height * width // self._enough))
        every_nth = f"scale={max(1, width // n)}:{max(1, height // n)}:flags=neighbor"
        graph = f"split[film][a];[a]{every_nth},palettegen=reserve_transparent=0[palette]"
        first = ("-map", "[film]", *self._copied, self._copy)
        return "-lavfi", graph, *first, "-map", "[palette]", "-update", "1", self._palette

    def finish(self) -> None:
        super().finish()
        dither = "paletteuse=dither=bayer:bayer_scale=4"
        sources = ("-threads", "1", "-i", self._copy, "-i", self._palette)
        self._process = _Ffmpeg(*sources, "-lavfi", dither, "-loop", "0", self._path)
        self._process.wait()
        if self._note:
            append_to_gif(self._path, self._note)
        self._clear()

    def abort(self) -> None:
        super().abort()
        self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self._parts, ignore_errors=True)


class _Png(Writer):
    """A still: takes one frame."""

    def add(self, frame: np.ndarray) -> None:
        self._path.write_bytes(_png(frame, self._note))

    def finish(self) -> None:
        """Nothing is left to do."""


class _Frames(Writer):
    """A folder with a PNG for each frame; frames of a former film in it are replaced."""

    def __init__(self, path: Path, fps: float, note: str = ""):
        super().__init__(path, fps, note)
        self._count = 0

    def add(self, frame: np.ndarray) -> None:
        atomic_write(self._file(self._count), _png(frame, self._note))
        self._count += 1

    def finish(self) -> None:
        for file in self._path.iterdir():
            if int(file.stem) >= self._count:
                file.unlink()

    def abort(self) -> None:
        for index in range(self._count):
            self._file(index).unlink(missing_ok=True)

    def _file(self, index: int) -> Path:
        return self._path / f"{index:05d}.png"


def _png(frame: np.ndarray, note: str) -> bytes:
    # As bytes, because imageio prints a traceback when it closes a file on a full disk.
    return iio.imwrite("<bytes>", frame, extension=".png", plugin="pillow", pnginfo=png_text(note))


WRITERS: dict[str, type[Writer]] = {".gif": _Gif, ".mp4": _Mp4, ".png": _Png, ".webp": _Webp}
SUFFIXES = tuple(WRITERS)


def check_output(path: str | os.PathLike[str], fps: float, form: str | None = None) -> None:
    """Check the arguments of `open_writer` before any slow work.

    Raises:
        UserError: if the suffix is not a known format, the format does not support the frame rate, or the folder is not
            writable; if frames go to a folder with other files.
    """
    if form == FRAMES:
        _check_folder(Path(path))
        return
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise UserError(f"cannot write {suffix!r} ({path}){near_matches(suffix, SUFFIXES)}; use {', '.join(SUFFIXES)}")
    if not 0 < fps <= WRITERS[suffix].fastest:
        raise UserError(
            f"fps is {fps:g}; {suffix} allows more than 0 and at most {WRITERS[suffix].fastest:g} frames per second"
        )
    check_writable(path)


def _check_folder(folder: Path) -> None:
    check_writable(folder / "00000.png")
    if folder.is_dir():
        other = next((file.name for file in folder.iterdir() if not re.fullmatch(r"\d{5,}\.png", file.name)), None)
        if other is not None:
            raise UserError(f"cannot write frames to {folder}: it has other files, such as {other}; give a new folder")


@contextlib.contextmanager
def open_writer(
    path: str | os.PathLike[str], fps: float, *, form: str | None = None, note: str = ""
) -> Iterator[Writer]:
    """A writer whose `add` takes frames (H, W, 3) uint8 one by one, without storing them.

    Films are encoded by a separate process, which encodes a frame while the caller generates the next one. `add` blocks
    while the encoder has not read the previous frame.

    The format follows the suffix of `path`: .gif, .mp4 (H.264), .webp (animated), or .png, which takes one frame. The
    file appears under its name only if the block ends without an error. GIF and WebP loop forever.

    Args:
        path: the file, or the folder of frames.
        fps: frames per second.
        form: "frames" for a folder with a PNG for each frame. Defaults to the format that the suffix names.
        note: one line of ASCII that is kept in the file, see `settings_text`.

    Raises:
        UserError: see `check_output`; where the folder cannot be written, or ffmpeg is missing.
        OSError: where encoding fails, for example on a full disk.
    """
    check_output(path, fps, form)
    path = Path(path)
    with contextlib.nullcontext(path) if form == FRAMES else atomic_path(path) as target:
        writer = (_Frames if form == FRAMES else WRITERS[path.suffix.lower()])(target, fps, note)
        try:
            yield writer
            writer.finish()
        except BaseException:
            writer.abort()
            raise
