"""All signals that mean "stop" save a search, and leave no partial file of anything else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from biggan_discovery.runs.interrupts import SIGNALS
from tests.processes import Command, save_fast_biggan
from tests.runs.test_interrupts import LONG, steps_saved, wait_for

CLONE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_fast_biggan(tmp_path_factory.mktemp("fast"))


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_saves_a_search(tmp_path: Path, generator: Path, number: int) -> None:
    options = ("--steps", str(LONG), "--save-every", "5", "--batch", "2", "--quiet", "--out", tmp_path / "run")
    running = Command(tmp_path, "discover", "--generator", generator, *options)
    wait_for(lambda: steps_saved(tmp_path / "run"))
    running.send(number)
    ended = running.wait()
    assert ended.code == 128 + number
    said = f"stopped; the run is saved in {tmp_path / 'run'}, run the same command again to resume"
    assert ended.err.split() == said.split()
    assert not list((tmp_path / "run").glob(".*-*"))


def python(program: str, *, ignored: int | None = None) -> subprocess.Popen[str]:
    """Run a program in which `work()` starts to wait for a signal, as a command does."""
    start = "import signal, sys, time\nfrom biggan_discovery.cli import run\nimport click\n"
    ignoring = ["sh", "-c", f"trap '' {ignored}; exec \"$@\"", "sh"] if ignored else []
    return subprocess.Popen(
        [*ignoring, sys.executable, "-c", start + textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(CLONE), "GLIBC_TUNABLES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


WAITS = """
@click.command()
def work():
    print("ready", flush=True)
    time.sleep({seconds})

run(work)
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_ends_a_command_with_one_line(number: int) -> None:
    running = python(WAITS.format(seconds=60))
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    words = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    assert err.strip() == f"error: {words}"
    assert running.returncode == 128 + number


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_signals_that_are_ignored_stay_ignored(number: int) -> None:
    """nohup ignores SIGHUP, and shells ignore SIGINT for processes in the background of a script."""
    running = python(WAITS.format(seconds=1), ignored=number)
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")


IMPORTS = """
import pathlib
pathlib.Path({folder!r}, "slow_module.py").write_text(
    "import time\\nprint('ready', flush=True)\\ntime.sleep(1)\\nprint('imported', flush=True)\\n"
)

@click.command()
def work():
    sys.path.insert(0, {folder!r})
    try:
        import slow_module
    except BaseException:
        print("half imported", flush=True)
    print("not reached?" if "slow_module" in sys.modules else "lost", flush=True)
    time.sleep(60)

run(work)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_an_import_is_finished_before_a_signal_is_heeded(tmp_path: Path, number: int) -> None:
    running = python(IMPORTS.format(folder=str(tmp_path)))
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert out.startswith("imported\n")
    assert "half imported" not in out
    assert "Traceback" not in err
    assert running.returncode == 128 + number


DELETES = """
import os

class Kept:
    def __del__(self):
        os.kill(os.getpid(), {number})
        time.sleep(0.2)
        print("deleted", flush=True)

@click.command()
def work():
    kept = Kept()
    del kept
    time.sleep(60)
    print("lost", flush=True)

run(work)
"""


def test_an_object_is_deleted_before_a_signal_is_heeded() -> None:
    """Python prints an exception in `__del__`, and forgets it."""
    out, err = python(DELETES.format(number=int(signal.SIGTERM))).communicate(timeout=60)
    assert (out, err.strip()) == ("deleted\n", "error: stopped by SIGTERM")


def test_asked_twice_an_import_is_not_finished(tmp_path: Path) -> None:
    running = python(IMPORTS.format(folder=str(tmp_path)).replace("sleep(1)", "sleep(50)"))
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    begin = time.monotonic()
    while running.poll() is None:
        running.send_signal(signal.SIGINT)
        time.sleep(0.01)
    out, err = running.communicate()
    assert time.monotonic() - begin < 30
    assert (running.returncode, out) == (130, "")
    assert "Traceback" not in err


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3, 0.6, 1.2, 2.5])
def test_a_signal_while_a_command_starts_is_no_traceback(tmp_path: Path, delay: float) -> None:
    command = [sys.executable, "-m", "biggan_discovery", "discover", "--samples", "200", "--no-judge"]
    running = subprocess.Popen(
        [*command, "--out", tmp_path / "run"],
        env={**os.environ, "PYTHONPATH": str(CLONE)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    time.sleep(delay)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=120)
    assert "Traceback" not in err
    assert running.returncode in (143, -signal.SIGTERM)
