"""Printing survives every stream, and lets no text change the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from biggan_discovery import output
from biggan_discovery.errors import LONGEST
from biggan_discovery.output import Tolerant, clean, guarded, human_time
from biggan_discovery.progress import Progress
from tests.processes import save_fast_biggan

TEXTS = st.text(st.characters(), max_size=40)  # surrogates and control characters included


@given(TEXTS)
def test_a_line_has_no_control_characters(text: str) -> None:
    shown = clean(text)
    assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(c) in BIDI for c in shown)
    kept = [c for c in text if c.isprintable()]
    assert [c for c in shown if c in kept] or not kept


BIDI = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@pytest.mark.parametrize("text", ["größe", "高さ", "👩‍🎤", "naïve — 5 °"])
def test_letters_are_kept(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1, 148_000])
def test_long_lines_keep_their_beginning_and_end(length: int) -> None:
    shown = clean("error: " + "x" * (length - 16) + "; use -5y")
    assert len(shown) == LONGEST
    assert shown.startswith("error: x")
    assert shown.endswith("; use -5y")
    assert len(clean("\x1b" * length)) <= LONGEST


class Stream(io.TextIOWrapper):
    """A stream in an encoding, whose bytes can be read."""

    def __init__(self, encoding: str):
        self.raw_bytes = io.BytesIO()
        super().__init__(self.raw_bytes, encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "latin-1", "utf-8", "utf-16", "shift_jis"])
@given(TEXTS)
def test_every_text_can_be_written_in_every_encoding(encoding: str, text: str) -> None:
    stream = Stream(encoding)
    tolerant = Tolerant(stream)
    tolerant.use_bytes_of_names()
    tolerant.line(f"<{text}>")
    assert tolerant.failure is None
    shown = stream.raw_bytes.getvalue().decode(encoding, "surrogateescape")
    assert shown[0] == "<"
    assert shown[-2:] == ">\n"


def test_names_that_are_not_utf8_are_printed_as_bytes() -> None:
    stream = Stream("utf-8")
    tolerant = Tolerant(stream)
    tolerant.use_bytes_of_names()
    tolerant.line(os.fsdecode(b"caf\xe9.npy"))
    assert stream.raw_bytes.getvalue() == b"caf\xe9.npy\n"


class Broken(io.StringIO):
    def __init__(self, error: Exception):
        super().__init__()
        self.error = error

    def write(self, _: str) -> int:
        raise self.error

    def isatty(self) -> bool:
        return True


BROKEN = [
    None,
    *(Broken(error) for error in (OSError(28, "full"), BrokenPipeError(32, "gone"), OSError(5, "no terminal"))),
    Broken(ValueError("I/O operation on closed file")),
]


@pytest.mark.parametrize("stream", BROKEN)
def test_progress_goes_on_in_silence(stream: Broken | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress(3, "searching") as progress:
        for _ in range(3):
            progress.advance(loss=0.5)
            output.message("a line")


def test_a_message_needs_no_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise MemoryError

    monkeypatch.delattr(tqdm, "_lock", raising=False)
    monkeypatch.setattr(tqdm, "get_lock", fail)
    output.message("out of memory")
    assert capsys.readouterr().err == "out of memory\n"


@pytest.mark.parametrize("stream", BROKEN)
def test_results_that_are_lost_are_an_error(stream: Broken | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream)
    output.status("wrote a.gif")
    lost = stream is not None
    with pytest.raises(OSError, match="cannot write to stdout") if lost else contextlib.nullcontext():
        output.result("207 golden retriever")


def test_the_log_and_warnings_are_single_safe_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with guarded():
        logging.getLogger("biggan_discovery.any").info("loading %s", "a\x1b[2Jb\nc")
        logging.getLogger("biggan_discovery.any").warning("odd")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("two\nlines", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "loading a\\x1b[2Jb\\nc\nwarning: odd\nwarning: two lines\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (3569, "59 min"),
        (3599, "1 h"),
        (12_000, "3 h 20 min"),
        (47.999 * 3600, "2 days"),
        (759_365, "8 days 19 h"),
        (1_360_033, "15 days 18 h"),
        (2e7, "231 days"),
        (1e9, "11,574 days"),
        (float("inf"), "an unknown time"),
        (float("nan"), "an unknown time"),
    ],
)
def test_times_are_said_as_people_do(seconds: float, words: str) -> None:
    assert human_time(seconds) == words


COMMANDS = {
    "classes": "python -m biggan_discovery classes {to}",
    "export": "python -m biggan_discovery export d.safetensors d.npy {to}",
    "search": "python -m biggan_discovery discover --method random --directions 2 --no-judge --out run {to}",
    "adam": "python -m biggan_discovery discover --generator tiny --steps 2 --batch 1 --precision float32 --no-judge "
    "--out run {to}",
}
WRITTEN = {"export": "d.npy", "search": "run/directions.safetensors", "adam": "run/directions.safetensors"}


@pytest.fixture
def shell(tmp_path: Path):
    """Run a command of `COMMANDS` in a shell."""
    clone = Path(__file__).parents[1]
    save_fast_biggan(tmp_path / "tiny")
    (tmp_path / "d.safetensors").write_bytes((clone / "directions" / "scenes-64.safetensors").read_bytes())
    environment = {
        **os.environ,
        "PYTHONPATH": str(clone),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }

    def run(name: str, to: str, **variables: str) -> tuple[subprocess.CompletedProcess[bytes], bool]:
        line = COMMANDS[name].format(to=to)
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment | variables, capture_output=True, check=False
        )
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr
        return done, name not in WRITTEN or (tmp_path / WRITTEN[name]).exists()

    return run


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("to", [">&-", "2>&-", ">&- 2>&- <&-", "2>/dev/full", ">/dev/full", "2>&1 | :"])
def test_commands_do_their_work_whatever_the_streams_are(shell, name: str, to: str) -> None:
    done, written = shell(name, to)
    assert written
    lost = name == "classes" and to == ">/dev/full"
    assert done.returncode == lost
    if ">/dev/full" in to and "2>" not in to:
        said = b"error: cannot write to stdout: No space left on device\n"
        assert done.stderr.endswith(said) == lost
