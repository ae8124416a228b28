"""Printing that never stops the work: streams may be closed, full, broken or narrow, and text may be hostile.

Everything that commands, progress bars and the log print goes through here.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import logging
import math
import os
import re
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

from biggan_discovery.errors import cut

# Control characters, characters that change the direction of text, and separators of lines and paragraphs.
_UNSAFE = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_UNSAFE_IN_TEXT = re.compile(f"[{_UNSAFE}]")  # Progress bars need carriage returns.
_UNSAFE_IN_LINE = re.compile(rf"[{_UNSAFE}\t\n\r]")


def clean(text: str) -> str:
    r"""Make one line that is safe to print: control characters are escaped, and its length is at most `LONGEST`.

    Example:
        >>> clean("red\x1b[31m")
        'red\\x1b[31m'
    """
    return cut(_escaped(_UNSAFE_IN_LINE, cut(text)))


def result(text: str) -> None:
    """Print a line that is the purpose of the command on stdout.

    Raises:
        OSError: if it cannot be written, for example on a full disk or because the reader has left. If stdout was
            closed from the start, the line is dropped.
    """
    stream = tolerant(sys.stdout)
    stream.line(text)
    if stream.failure is not None:
        raise OSError(stream.failure.errno, f"cannot write to stdout: {stream.failure.strerror}")


def status(text: str) -> None:
    """Print a line on stdout about work that is done and kept; dropped if it cannot be written."""
    tolerant(sys.stdout).line(text)


def message(text: str) -> None:
    """Print a line on stderr, above the progress bar if there is one; dropped if it cannot be written."""
    stream = tolerant(sys.stderr)
    bars = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if bars is None or not hasattr(
        bars, "_lock"
    ):  # It comes with the first bar; where memory is short, it cannot be made.
        stream.line(text)
    else:
        bars.write(clean(text), file=stream)


def human_time(seconds: float) -> str:
    """A duration in the two largest units that matter.

    Example:
        >>> human_time(12_000), human_time(760_000)
        ('3 h 20 min', '8 days 19 h')
    """
    if not math.isfinite(seconds):
        return "an unknown time"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return _two_units(minutes // 60, "h", minutes % 60, "min")
    hours = round(minutes / 60)
    return _two_units(hours // 24, "days", hours % 24 if hours < 100 * 24 else 0, "h")


def _two_units(large: int, of_large: str, small: int, of_small: str) -> str:
    return f"{large:,} {of_large} {small} {of_small}" if small else f"{large:,} {of_large}"


class Tolerant(io.TextIOBase):
    """A text stream that escapes what could change a terminal, and drops everything after its first failure.

    Attributes:
        failure: the first error of the stream, if any.
    """

    def __init__(self, stream: TextIO | None):
        self._stream = stream
        self.failure: OSError | None = None

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Encoding of the stream; tqdm draws its bar with letters that it has."""
        return getattr(self._stream, "encoding", None) or "ascii"

    def line(self, text: str) -> None:
        """Write one line."""
        self.write(f"{clean(text)}\n")

    def write(self, text: str) -> int:
        """Write `text`, with characters that the encoding lacks as escapes."""
        if self._stream is not None and self.failure is None:
            shown = _escaped(_UNSAFE_IN_TEXT, text)
            try:
                try:
                    self._stream.write(shown)
                except UnicodeEncodeError:
                    self._stream.write(shown.encode(self.encoding, "backslashreplace").decode(self.encoding))
                self._stream.flush()
            except OSError as error:
                self.failure = error
            except ValueError as error:  # The stream is closed.
                self.failure = BrokenPipeError(errno.EPIPE, str(error))
        return len(text)

    def writable(self) -> bool:
        """Whether `write` may be called: always."""
        return True

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # It is closed.
            return False

    def fileno(self) -> int:
        """The descriptor of the stream."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def use_bytes_of_names(self) -> None:
        """Print file names that are not valid UTF-8 unchanged."""
        if isinstance(self._stream, io.TextIOWrapper) and codecs.lookup(self.encoding).name == "utf-8":
            self._stream.reconfigure(errors="surrogateescape")

    def abandon(self) -> None:
        """After a failure, discard what the stream still holds, so that the interpreter can exit."""
        if self.failure is not None:
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)


def tolerant(stream: TextIO | None) -> Tolerant:
    """Return a `Tolerant` stream that writes to `stream`."""
    return stream if isinstance(stream, Tolerant) else Tolerant(stream)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Context manager for a command: stdout and stderr become `Tolerant`, and the log and warnings are printed.

    The level of the log "biggan_discovery" is INFO.
    """
    _open_missing_descriptors()
    log = logging.getLogger("biggan_discovery")
    before = sys.stdout, sys.stderr, warnings.showwarning, log.handlers, log.level
    out, errors = tolerant(sys.stdout), tolerant(sys.stderr)
    for stream in (out, errors):
        stream.use_bytes_of_names()
    sys.stdout, sys.stderr, warnings.showwarning, log.handlers = out, errors, _show_warning, [_Lines()]
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        sys.stdout, sys.stderr, warnings.showwarning, log.handlers, level = before
        log.setLevel(level)
        for stream in (out, errors):
            stream.abandon()


def _open_missing_descriptors() -> None:
    """Open the standard descriptors that are closed, which the next files would take: libraries print to them."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        message(("warning: " if record.levelno >= logging.WARNING else "") + record.getMessage())


def _show_warning(warning: Warning | str, *_: object) -> None:
    message(f"warning: {' '.join(str(warning).split())}")


def _escaped(unsafe: re.Pattern[str], text: str) -> str:
    return unsafe.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
