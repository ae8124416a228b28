"""Plant a mix-up wherever a tensor is moved to a device or made on one, and see whether `tests/device_jobs.py` notices.

    python -m benchmarks.faults devices --module rendering

A mix-up leaves a tensor where it is (`x.to(device)` and `x.cpu()` become `x`) or makes it on the CPU (`device=` is left
out). The jobs run on the stand-in device, those first that do least, and are compared with the CPU as the tests do.
"""

from __future__ import annotations

import ast
import functools
import gc
import importlib
import itertools
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT / "biggan_discovery"
_ENOUGH = 15.0  # seconds of jobs for one mix-up, those first that do least
_LONGEST = 300  # seconds until a job hangs
_ELSEWHERE = ("cli", "explorer", "sharing", "scenes", "training", "generators/fast/graphs.py")
"""Nothing of a device happens there, it is CUDA's own, or other tests than those of `test_devices.py` try it."""

_LOCALS = "<locals>"  # what Python puts between the names of a function and of one that is written in it

Place = tuple[str, str]
"""A file and the qualified name of a function in it."""


@dataclass(frozen=True)
class MixUp:
    """One place where a device is mixed up.

    Attributes:
        path: of the file, from the package.
        line: of the call.
        function: qualified name of the outermost function that the call is in, "" at the top of a module.
        source: the call as it is.
        code: of that function with the mix-up.
    """

    path: str
    line: int
    function: str
    source: str
    code: types.CodeType | None

    @property
    def place(self) -> Place:
        """Of the function."""
        return str(_PACKAGE / self.path), self.function


@click.command("devices")
@click.option("--module", "modules", multiple=True, help="Only files whose path in the package starts so.")
@click.option("--list", "listed", is_flag=True, help="Only say where mix-ups would be planted.")
def main(modules: tuple[str, ...], listed: bool) -> None:
    """Plant mix-ups of devices and count those that tests notice."""
    planted = [each for each in mix_ups() if each.path.startswith(modules or "")]
    if listed:
        for each in planted:
            click.echo(f"{each.path}:{each.line} {each.source}")
        return
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        bench = _Bench(Path(folder), patch)
        bench.learn()
        counts = {"noticed": 0, "not noticed": 0, "not reached": 0}
        for each in planted:
            verdict, said = bench.judge(each)
            counts[verdict] += 1
            click.echo(f"{verdict}: {each.path}:{each.line} {each.source}{said}")
    click.echo(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


def mix_ups() -> Iterator[MixUp]:
    """All places, by file and line."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        name = path.relative_to(_PACKAGE).as_posix()
        if not name.startswith(_ELSEWHERE):
            yield from _of_file(path, name)


def _of_file(path: Path, name: str) -> Iterator[MixUp]:
    text = path.read_text()
    count = sum(_mixed(each) is not None for each in ast.walk(ast.parse(text)))
    for index in range(count):
        planter = _Planter(index)
        tree = ast.fix_missing_locations(planter.visit(ast.parse(text)))
        call, function = planter.planted, planter.outermost
        code = _code_of(compile(tree, str(path), "exec", dont_inherit=True), function) if function else None
        yield MixUp(name, call.lineno, function, ast.unparse(call), code)


class _Planter(ast.NodeTransformer):
    """Mixes up the device of one call."""

    planted: ast.Call

    def __init__(self, index: int):
        self._left, self._scopes = index, list[str]()
        self.outermost = ""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._scopes.append(node.name)
        self.generic_visit(node)
        self._scopes.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._scopes += [node.name, _LOCALS]
        self.generic_visit(node)
        del self._scopes[-2:]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        mixed = _mixed(node)
        if mixed is not None:
            self._left -= 1
            if self._left == -1:
                self.planted = node
                if _LOCALS in self._scopes:
                    self.outermost = _outermost(".".join(self._scopes))
                return mixed
        self.generic_visit(node)
        return node


def _mixed(node: ast.AST) -> ast.expr | None:
    """A call without its device; None if it has none."""
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute) and node.func.attr == "cpu" and not node.args:
        return node.func.value
    words = [each for each in node.keywords if not (each.arg == "device" and _is_device(each.value))]
    if isinstance(node.func, ast.Attribute) and node.func.attr == "to":
        args = [each for each in node.args if not _is_device(each)]
        if len(args) + len(words) == len(node.args) + len(node.keywords):
            return None
        return ast.Call(node.func, args, words) if args or words else node.func.value
    made = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
    if made and node.func.value.id == "torch" and len(words) < len(node.keywords):  # pyright: ignore[reportAttributeAccessIssue]
        return ast.Call(node.func, node.args, words)
    return None


def _outermost(qualified: str) -> str:
    """The qualified name of the outermost function that another, or itself, is written in."""
    return qualified.partition(f".{_LOCALS}")[0]


def _is_device(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return node.value == "cpu"
    return any(
        (isinstance(each, ast.Name) and "device" in each.id)
        or (isinstance(each, ast.Attribute) and each.attr == "device")
        for each in ast.walk(node)
    )


def _code_of(module: types.CodeType, name: str) -> types.CodeType | None:
    for each in module.co_consts:
        if isinstance(each, types.CodeType):
            if each.co_qualname == name:
                return each
            found = _code_of(each, name)
            if found is not None:
                return found
    return None


class _Bench:
    """The jobs, what they give on the CPU, and which functions they pass through."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch):
        from tests import device_jobs, standin, test_devices  # Here, as they change how torch works.

        device_jobs.small(patch)
        self._folder, self._device, self._count = folder, standin.NAME, 0
        self._shared = device_jobs.make_shared(folder / "shared")
        self._jobs, self._bench = device_jobs.JOBS, device_jobs.Bench
        self._plain, self._check = test_devices.plain, test_devices.check
        self._expected: dict[str, Any] = {}
        self._passed: dict[str, set[Place]] = {}
        self._seconds: dict[str, float] = {}

    def learn(self) -> None:
        """Run all jobs as they are, on the CPU and on the device."""
        for job in self._jobs:
            learnt = _in_child(functools.partial(self._learnt, job))
            assert isinstance(learnt, tuple), f"{job} fails as it is: {learnt!r}"
            self._expected[job], self._passed[job], self._seconds[job] = learnt
            click.echo(f"{job}: {self._seconds[job]:.1f} s", err=True)

    def _learnt(self, job: str) -> tuple[Any, set[Place], float]:
        expected, passed = self._run(job, "cpu"), set[Place]()
        started = time.process_time()
        sys.setprofile(_watch(passed))
        found = self._run(job, self._device)
        sys.setprofile(None)
        seconds = time.process_time() - started
        self._check(found, expected, self._device, job)
        return expected, passed, seconds

    def judge(self, mix_up: MixUp) -> tuple[str, str]:
        """What becomes of a mix-up, and the first job that fails with how it does."""
        # Jobs that pass through few functions try each of them most directly.
        jobs = sorted(
            (job for job, passed in self._passed.items() if mix_up.place in passed),
            key=lambda job: len(self._passed[job]),
        )
        spent = itertools.accumulate((self._seconds[job] for job in jobs), initial=0.0)
        jobs = [job for job, before in zip(jobs, spent, strict=False) if before < _ENOUGH]
        if mix_up.code is None or not jobs:
            return "not reached", ""
        noticed = _in_child(functools.partial(self._first_failure, mix_up, jobs))
        assert not isinstance(noticed, Exception), noticed
        return ("noticed", f" ({noticed})") if noticed else ("not noticed", f" (by {len(jobs)} jobs)")

    def _first_failure(self, mix_up: MixUp, jobs: list[str]) -> str:
        module = mix_up.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        importlib.import_module(f"biggan_discovery.{module}")  # Some are imported when they are needed only.
        functions = _functions(mix_up.place)
        assert mix_up.code is not None
        assert functions
        for function in functions:
            function.__code__ = mix_up.code
        for job in jobs:
            try:
                self._check(self._run(job, self._device), self._expected[job], self._device)
            except Exception as error:
                return f"{job}: {type(error).__name__}: {' '.join(str(error).split())[:90]}"
        return ""

    def _run(self, job: str, device: str) -> Any:
        """The result of a job, with networks that are loaded anew."""
        self._count += 1
        bench = self._bench(device, self._folder / f"{os.getpid()}-{self._count}", self._shared)
        return self._plain(self._jobs[job](bench))


def _watch(passed: set[Place]) -> Callable[[types.FrameType, str, object], None]:
    """A profiler that notes the functions of the package, each by the outermost one that it is written in."""
    root = str(_PACKAGE)

    def watch(frame: types.FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(root):
            passed.add((code.co_filename, _outermost(code.co_qualname)))

    return watch


def _functions(place: Place) -> list[types.FunctionType]:
    found = (each for each in gc.get_objects() if isinstance(each, types.FunctionType))
    return [each for each in found if (each.__code__.co_filename, each.__code__.co_qualname) == place]


def _in_child(work: Callable[[], Any]) -> Any:
    """What a child process returns, or what it raised; anything may be changed there. It does all backward passes,
    after which a process can no longer fork."""
    child_end, own_end = multiprocessing.Pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_LONGEST)
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        try:
            child_end.send(work())
        except Exception as error:
            child_end.send(error)
        finally:
            os._exit(0)
    child_end.close()
    try:
        result = own_end.recv()
    except EOFError:
        result = "killed"
    os.waitpid(child, 0)
    return result
