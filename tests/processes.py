"""Commands in other processes that load torch once for many: forked ones that can be killed, or one after the other."""

from __future__ import annotations

import functools
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.tiny import save_tiny_biggan

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    # Adam has torch import its compiler, which takes longer than a test. Modules of tests import the last two.
    [
        "tests.processes",
        "biggan_discovery.search",
        "biggan_discovery.rendering",
        "torch._dynamo",
        "pytest",
        "hypothesis.strategies",
    ]
)


def save_fast_biggan(folder: Path) -> Path:
    """A BigGAN of 8 pixels with z_dim 6, on which a step of a search takes a few milliseconds."""
    return save_tiny_biggan(
        folder,
        output_dim=8,
        z_dim=6,
        class_embed_dim=6,
        channel_width=4,
        layers=[[False, 16, 8], [False, 8, 4], [False, 4, 2], [True, 2, 1]],
        attention_layer_position=-1,
    )


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


class Command:
    """A running command `biggan-discovery ...`, with its output in files in `folder`, which `inside` makes its own.

    Held-out judging of a search is shortened, unless `judge`.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str | Path,
        judge: bool = False,
        inside: bool = False,
        environment: Mapping[str, str] | None = None,
    ):
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        target = (folder if inside else None, self._out, self._err, [*map(str, arguments)], judge, environment or {})
        self.process: BaseProcess = CONTEXT.Process(target=_run, args=target)
        self.process.start()

    def send(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def wait(self, seconds: float = 300) -> Ended:
        """The exit code as in a shell, and the output."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
        assert code is not None, "it did not end"
        return Ended(
            128 - code if code < 0 else code,
            *(path.read_text(errors="surrogateescape") for path in (self._out, self._err)),
        )


def _run(
    folder: Path | None, out: Path, err: Path, arguments: list[str], judge: bool, environment: Mapping[str, str]
) -> None:
    os.environ.update(environment)
    if folder is not None:
        os.chdir(folder)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, under which tests may run, has it ignored.
    if not judge:
        judging = importlib.import_module("biggan_discovery.search.judging")
        judging.held_out_values = functools.partial(judging.held_out_values, samples=2, probes=2)
        judging.HELD_OUT_SAMPLES = judging._UNSEEN_SAMPLES = 2
    sys.argv = ["biggan-discovery", *arguments]
    main = importlib.import_module("biggan_discovery.cli").main
    try:
        main()
    finally:
        sys.stdout.flush()


_ONE_AFTER_THE_OTHER = """
import contextlib, io, json, sys
from biggan_discovery.cli import main
ends = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["biggan-discovery", *words]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    ends.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(ends))
"""


def run_all(
    commands: Sequence[Sequence[str]], folder: Path, environment: Mapping[str, str], python: str | Path = sys.executable
) -> list[Ended]:
    """Run commands `biggan-discovery ...` in a folder, one after the other in one new process."""
    program = [python, "-c", _ONE_AFTER_THE_OTHER, json.dumps(commands)]
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [Ended(*end) for end in json.loads(done.stdout)]
