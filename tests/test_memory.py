"""Errors that mean out of memory, refusing what cannot fit, and commands under limits."""

from __future__ import annotations

import errno
import logging
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import safetensors
import torch

from benchmarks.faults import memory as campaign
from biggan_discovery import Directions, FunctionGenerator, discover, load_generator
from biggan_discovery import memory as room
from biggan_discovery.cli import run
from biggan_discovery.errors import UserError
from biggan_discovery.generators import batching
from biggan_discovery.generators.batching import Batch
from biggan_discovery.installed import packages_required
from biggan_discovery.memory import (
    OutOfMemoryError,
    RoomForLibraries,
    asked,
    check_room,
    free_memory,
    in_units,
    is_out_of_memory,
    memory_errors_pass,
)
from biggan_discovery.numerics.derivatives import Derivative, jacobian_rows
from biggan_discovery.progress import Progress
from biggan_discovery.runs.folder import State
from biggan_discovery.runs.session import Session

CPU = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
MEMORY = [
    MemoryError(),
    MemoryError("std::bad_alloc"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ..."),
    RuntimeError(f"{CPU}4294967296 bytes. Error code 12 (Cannot allocate memory)"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 80 bytes."),
    RuntimeError("unable to mmap 1048576 bytes from file <weights>: Cannot allocate memory (12)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    RuntimeError("can't start new thread"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    OSError("libgomp.so.1: cannot allocate memory in static TLS block"),
    safetensors.SafetensorError("Error while deserializing header: Cannot allocate memory (os error 12)"),
    pickle.UnpicklingError("out of memory"),
]
OTHER = [
    RuntimeError("size mismatch"),
    ValueError("out of memory"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EAGAIN, "Resource temporarily unavailable"),
    ImportError("No module named 'nothing'"),
    UserError("weights are damaged"),
    KeyError("memory"),
]


@pytest.mark.parametrize("error", MEMORY, ids=str)
def test_errors_of_memory_are_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", MEMORY, ids=str)
def test_a_reader_that_takes_them_for_damage_is_corrected(error: Exception) -> None:
    @memory_errors_pass()
    def read() -> None:
        try:
            raise error
        except Exception as cause:
            raise UserError("weights.bin is not a torch file, or is damaged; download it again") from cause

    with pytest.raises(OutOfMemoryError, match=r"^out of memory"):
        read()


@pytest.mark.parametrize("error", OTHER, ids=str)
def test_other_errors_stay(error: Exception) -> None:
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)), memory_errors_pass():
        raise error


def test_what_was_handled_before_does_not_count() -> None:
    def fail() -> None:
        try:
            raise MemoryError
        except MemoryError:
            raise UserError("another") from None

    with pytest.raises(UserError) as caught:
        fail()
    assert not is_out_of_memory(caught.value)


def test_real_errors() -> None:
    for make in (lambda: torch.empty(2**60, dtype=torch.uint8), lambda: np.empty(2**60, dtype=np.uint8)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            make()
        assert is_out_of_memory(caught.value)
        assert asked(caught.value) == " (another 1 EiB could not be had)"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1024, "1 KiB"),
        (1.5 * 2**20, "1.5 MiB"),
        (2**40, "1 TiB"),
        (1e25, "8.67e+06 EiB"),
    ],
)
def test_units(size: float, text: str) -> None:
    assert in_units(size) == text


def test_what_cannot_fit_is_refused() -> None:
    check_room(2**21, "a little", "")
    with pytest.raises(
        OutOfMemoryError, match=r"^it all would take at least 1 EiB of memory, of which .* free; lower it$"
    ):
        check_room(2**60, "it all", "lower it")


@pytest.mark.parametrize(("limits", "left"), [({"a/b": 100}, [70]), ({"a": 90, "a/b": 100}, [70, 60]), ({}, [])])
def test_control_groups(tmp_path: Path, limits: dict[str, int], left: list[int]) -> None:
    (tmp_path / "membership").write_text("1:cpu:/x\n0::/a/b\n")
    root = tmp_path / "root"
    for group in ("a/b", "a", ""):
        folder = root / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limits.get(group, 'max')}\n")
        (folder / "memory.current").write_text("40\n")
        (folder / "memory.stat").write_text("anon 5\ninactive_file 10\nactive_file 7\n")
    assert room._left_in_groups(tmp_path / "membership", root) == left
    assert room._left_in_groups(tmp_path / "none", root) == []


def test_free_memory_is_a_size() -> None:
    assert 2**20 < free_memory() < 2**60


def test_libraries_are_not_half_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = RoomForLibraries()
    assert finder.find_spec("torch", None) is None
    monkeypatch.setattr(room, "can_map", lambda size: size < 2**20)
    assert finder.find_spec("json", None) is None
    with pytest.raises(OutOfMemoryError, match=r"loading torch takes .* of address space"):
        finder.find_spec("torch", None)


def test_batches_are_halved_before_layers_run_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(batching, "can_take", lambda size: size <= batching._SPARE_BYTES + 300)
    counts = [len(part) for part in Batch(16, each=100).map(lambda part: part, torch.zeros(5))]
    assert counts == [2, 2, 1]
    assert [record.getMessage() for record in caplog.records] == ["out of memory: continuing with 2 images at once"]
    with pytest.raises(OutOfMemoryError, match=r"one image .* would take about 32 MiB, of which .* are free"):
        list(Batch(4, each=1000).map(lambda part: part, torch.zeros(5)))


def _small(most: float, seen: list[int] | None = None, error: type[Exception] = torch.OutOfMemoryError) -> Any:
    weight = torch.randn(6, 48, generator=torch.Generator().manual_seed(0))

    def images(z: torch.Tensor) -> torch.Tensor:
        if seen is not None:
            seen.append(len(z))
        if len(z) > most:
            raise error("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return torch.sin(z @ weight).view(-1, 3, 4, 4)

    return FunctionGenerator(images, z_dim=6, resolution=4, channels=3)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "hessian", "samples": 2},
        {"method": "hessian", "samples": 2, "sketches": 2},
        {"method": "orojar", "samples": 2},
        {"method": "jacobian", "samples": 5},
        {"method": "hessian", "solver": "adam", "steps": 2, "batch": 4},
    ],
    ids=str,
)
def test_every_method_goes_on_with_less(settings: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    found = discover(_small(3), quiet=True, judge=False, **settings)
    whole = discover(_small(1e9), quiet=True, judge=False, **settings)
    torch.testing.assert_close(found.Q, whole.Q, atol=1e-3, rtol=0)
    messages = {record.getMessage() for record in caplog.records}
    tangents_share_a_pass = settings["method"] == "orojar"
    assert tangents_share_a_pass or any(message.startswith("out of memory: continuing with ") for message in messages)
    assert not any("central differences" in message for message in messages)
    with pytest.raises(OutOfMemoryError, match=r"one image .*another 2 GiB could not be had"):
        discover(_small(0), quiet=True, judge=False, **settings)


@pytest.mark.parametrize("derive", ["one by one", "together"])
def test_memory_is_never_a_missing_forward_mode(derive: str) -> None:
    def images(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    derivative = Derivative()
    calls: dict[str, Callable[[], object]] = {
        "together": lambda: jacobian_rows(images, torch.eye(2), Batch(2), derivative),
        "one by one": lambda: derivative(images, torch.zeros(1, 2), torch.ones(1, 2)),
    }
    with pytest.raises((RuntimeError, MemoryError), match="memory"):
        calls[derive]()
    assert derivative._has_forward_mode


@pytest.mark.parametrize("solver", ["adam", "joint-diagonalization"])
def test_finished_steps_are_saved_and_resumed(solver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"steps": 6, "batch": 2} if solver == "adam" else {"samples": 6}
    place: dict[str, Any] = {"solver": solver, "quiet": True, "judge": False, **sizes}
    full = False

    def after_step(session: Session, state: State, row: list[float], progress: Progress) -> bool:
        nonlocal full
        full = len(state.history) >= 2
        return recorded(session, state, row, progress)

    def images(z: torch.Tensor) -> torch.Tensor:
        if full:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return whole(z, torch.zeros(len(z), dtype=torch.int64))

    whole, recorded = _small(1e9), Session.after_step
    failing = FunctionGenerator(images, z_dim=6, resolution=4, channels=3)
    monkeypatch.setattr(Session, "after_step", after_step)
    with pytest.raises(OutOfMemoryError, match=r"one image .* 3 of 6 are saved in .*, and the same command"):
        discover(failing, out=tmp_path / "run", **place)
    monkeypatch.undo()
    resumed = discover(whole, out=tmp_path / "run", **place)
    assert torch.equal(resumed.Q, discover(whole, **place).Q)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"samples": 10**9, "sketches": 2},
            r"2,000,000,000 matrices of 16 x 16 .* TiB .*lower --samples or --sketches",
        ),
        ({"sketches": 10**6}, "1,000,000 sketches of an image .* lower --sketches|matrices"),
        ({"method": "jacobian", "samples": 10**9}, "1,000,000,000 samples"),
        ({"solver": "adam", "batch": 10**6, "probes": 10**4}, "1,000,000 samples .* lower --batch"),
        ({"solver": "adam", "probes": 10**6, "batch": 1}, "one sample with 1000000 probes .* lower --probes"),
    ],
    ids=str,
)
def test_giant_requests_are_refused_before_the_work(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(OutOfMemoryError, match=said):
        discover(load_generator("scenes-64", device="cpu"), out=tmp_path / "run", quiet=True, **settings)
    assert not (tmp_path / "run" / "state.safetensors").exists()


@pytest.mark.parametrize("error", MEMORY, ids=str)
def test_commands_end_with_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["visualize"])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(logging.getLogger("biggan_discovery"), "handlers", [])
    with pytest.raises(SystemExit) as end:
        run(click.Command("visualize", callback=fail), "visualize")
    assert end.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: out of memory")
    assert "lower --samples or --scale" in line


def test_whole_directions_are_not_called_damaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Directions(torch.eye(2, 4)).save(tmp_path / "d.safetensors")

    def fail(*_: Any, **__: Any) -> None:
        raise safetensors.SafetensorError("Cannot allocate memory (os error 12)")

    monkeypatch.setattr(safetensors, "safe_open", fail)
    with pytest.raises(OutOfMemoryError):
        Directions.load(tmp_path / "d.safetensors")


@pytest.mark.parametrize(
    "error",
    [MemoryError(), ImportError("failed to map segment from shared object"), OSError(errno.ENOMEM, "no", "resources")],
)
def test_no_memory_while_packages_load_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, packages_required():
        raise error
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: out of memory while loading; raise the limit (ulimit -v)\n"


@pytest.mark.parametrize("error", [ImportError("cannot import name"), OSError(errno.EACCES, "no")])
def test_other_errors_while_packages_load_are_passed_on(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, packages_required():
        raise error
    assert caught.value is error


@pytest.mark.parametrize(("limited", "ours", "is_memory"), [(1, 0, 1), (0, 0, 0), (1, 1, 0)])
def test_half_of_a_library_means_memory_under_a_limit_only(
    monkeypatch: pytest.MonkeyPatch, limited: int, ours: int, is_memory: int
) -> None:
    resource = pytest.importorskip("resource")
    limit = 2**30 if limited else resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    with pytest.raises(AttributeError) as caught:
        getattr(room.OutOfMemoryError if ours else Path, "_lock")  # noqa: B009
    assert room.is_out_of_memory(caught.value) == is_memory


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are tried on Linux")
def test_commands_under_limits(tmp_path: Path) -> None:
    commands = {name: campaign.COMMANDS[name] for name in ("generators", "export")}
    outcome = campaign.run(tmp_path, commands, limits=4)
    assert not outcome.faults
    assert outcome.counts["one line"] >= 2
    assert outcome.counts["done"] >= 2
