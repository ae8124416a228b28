"""Distributed searches with gloo on CPUs.

Most of them are forked and find each other by a store that the test keeps, as torchrun's agent does; that is fast, and
each can be stopped by itself. The last tests go through torchrun.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist

from biggan_discovery import Directions
from biggan_discovery.runs import processes
from biggan_discovery.runs.folder import PREVIOUS
from biggan_discovery.runs.interrupts import SIGNALS, Interrupts
from tests.processes import Command, Ended, save_fast_biggan
from tests.runs.test_interrupts import RESULTS, assert_same, steps_saved, wait_for

CLONE = Path(__file__).parents[2]
LOST = "error: another process of this run has exited; run the same command to resume from the last checkpoint"
STEPS = 30
BATCH = 3  # two processes have two samples and one
ADAM = ("--steps", str(STEPS), "--batch", str(BATCH), "--save-every", "2")


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_fast_biggan(tmp_path_factory.mktemp("fast"))


Start = Callable[..., list[Command]]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, generator: Path) -> Iterator[Start]:
    """Start `discover` in several processes; `extra` are options of single processes."""
    started: list[Command] = []

    def begin(count: int, *options: str | Path, extra: tuple[tuple[str, ...], ...] = ()) -> list[Command]:
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        commands = []
        for rank, own in enumerate(extra or ((),) * count):
            environment = {
                "RANK": str(rank),
                "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(store.port),
                "TORCHELASTIC_USE_AGENT_STORE": "True",
            }
            folder = tmp_path_factory.mktemp("process")
            arguments = ("discover", "--generator", generator, "--device", "cpu", *options, *own)
            commands.append(Command(folder, *arguments, environment=environment))
        started.extend(commands)
        stores.append(store)
        return commands

    stores: list[dist.TCPStore] = []
    yield begin
    for command in started:
        command.process.kill()
        command.process.join()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, start: Start) -> Callable[[int], Path]:
    """The folder of an uninterrupted search, by number of processes."""
    folders: dict[int, Path] = {}

    def folder(count: int) -> Path:
        if count not in folders:
            folders[count] = tmp_path_factory.mktemp("whole")
            assert [each.code for each in ended(start(count, *ADAM, "--out", folders[count]))] == [0] * count
        return folders[count]

    return folder


def ended(commands: list[Command]) -> list[Ended]:
    return [each.wait() for each in commands]


def error_lines(ends: list[Ended]) -> list[str]:
    """The error lines of all processes."""
    said = "".join(each.err for each in ends)
    assert "Traceback" not in said
    return [line for line in said.splitlines() if line.startswith("error: ")]


def assert_alike(folder: Path, whole: Path) -> None:
    """Equal up to summation order: float32 rounds by 6e-8, accumulated over a few dozen steps."""
    one, other = (Directions.load(each / "directions.safetensors") for each in (folder, whole))
    assert torch.allclose(one.A, other.A, atol=1e-5, rtol=0)
    assert one.metadata["settings"] == other.metadata["settings"]
    assert len((folder / "history.csv").read_text().splitlines()) == STEPS + 1


# The parts


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_shares_make_up_the_whole_and_are_even(monkeypatch, size, count):
    monkeypatch.setattr(processes, "size", lambda: size)
    shares = []
    for rank in range(size):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        shares.append(processes.share(count))
    assert [index for share in shares for index in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_alone_exchanges_nothing():
    assert (processes.rank(), processes.size()) == (0, 1)
    values = torch.arange(3.0)
    assert processes.total(values) is values
    assert processes.gathered(lambda: 5) == [5]
    assert processes.from_first(lambda: 6) == 6
    assert processes.first_then_others(lambda: 7) == 7


def test_a_signal_is_heeded_when_it_is_agreed_on():
    interrupts = Interrupts()
    with interrupts.remembered():
        for _ in range(2):  # as from a scheduler, and from torchrun that has it from there
            os.kill(os.getpid(), signal.SIGTERM)
    assert interrupts.votes() == [float(each == signal.SIGTERM) for each in SIGNALS]
    assert interrupts.signal == 0
    interrupts.agree([2 * vote for vote in interrupts.votes()])
    assert interrupts.signal == signal.SIGTERM
    other = Interrupts()
    other.agree([float(each == signal.SIGINT) for each in SIGNALS])
    with pytest.raises(KeyboardInterrupt):
        other.leave()


@pytest.mark.parametrize(
    ("device", "environment", "gpus", "own"),
    [
        ("auto", {"LOCAL_RANK": "2"}, True, "cuda:2"),
        ("cuda", {"LOCAL_RANK": "2"}, True, "cuda:2"),
        ("cuda:1", {"LOCAL_RANK": "2"}, True, "cuda:1"),
        ("cpu", {"LOCAL_RANK": "2"}, True, "cpu"),
        ("auto", {}, True, "auto"),
        ("auto", {"LOCAL_RANK": "2"}, False, "auto"),
    ],
)
def test_each_process_has_a_gpu_of_its_own(monkeypatch, device, environment, gpus, own):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    assert processes.own_device(device) == own


# Whole runs


@pytest.mark.parametrize("count", [2, 4])
def test_any_number_of_processes_finds_the_same(whole, count):
    """With four processes for three samples, one process has none."""
    assert_alike(whole(count), whole(1))


@pytest.mark.parametrize("options", [("--sketches", "0"), ("--sketches", "2")])
def test_joint_diagonalization_is_the_same_to_the_last_bit(tmp_path, start, options):
    for count in (1, 3):
        ends = ended(start(count, "--samples", "5", *options, "--out", tmp_path / str(count)))
        assert [each.code for each in ends] == [0] * count
    assert_same(tmp_path / "3", tmp_path / "1")


def test_the_first_process_alone_speaks_and_writes(tmp_path, start):
    first, second = ended(start(2, *ADAM, "--out", tmp_path / "run"))
    assert first.out.splitlines()[-1].startswith("saved ")
    assert "judging: " in first.err
    assert (second.out, second.err) == ("", "")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted([".lock", *RESULTS, PREVIOUS])
    first, second = ended(start(2, *ADAM, "--out", tmp_path / "run"))
    assert first.out.splitlines()[-1].startswith("already finished: ")
    assert (second.code, second.out, second.err) == (0, "", "")


def test_methods_without_a_search(tmp_path, start):
    for count in (1, 2):
        ends = ended(start(count, "--method", "sefa", "--out", tmp_path / str(count)))
        assert [each.code for each in ends] == [0] * count
    assert_same(tmp_path / "2", tmp_path / "1")


@pytest.mark.parametrize(("number", "code", "then"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)])
def test_a_signal_to_one_process_stops_all_after_the_same_step(tmp_path, start, whole, number, code, then):
    run = tmp_path / "run"
    running = start(2, *ADAM, "--out", run)
    wait_for(lambda: steps_saved(run))
    running[1].send(number)
    ends = ended(running)
    assert [each.code for each in ends] == [code, code]
    assert sum(each.err.count(f"stopped; the run is saved in {run}") for each in ends) == 1
    assert error_lines(ends) == []
    assert 2 <= steps_saved(run) < STEPS
    assert [each.code for each in ended(start(then, *ADAM, "--out", run))] == [0] * then
    if then == 2:
        assert_same(run, whole(2))
    else:
        assert_alike(run, whole(1))


@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_dies_stops_the_run_in_one_line(tmp_path, start, whole, killed):
    run = tmp_path / "run"
    running = start(2, *ADAM, "--out", run)
    wait_for(lambda: steps_saved(run))
    running[killed].send(signal.SIGKILL)
    ends = ended(running)
    assert ends[1 - killed].code == 1
    assert error_lines(ends) == [LOST]
    ends = ended(start(2, *ADAM, "--out", run))
    assert [each.code for each in ends] == [0, 0]
    assert_same(run, whole(2))


@pytest.mark.parametrize(
    ("options", "extra", "message"),
    [
        (("--batch", "0"), (), "'--batch': 0 is not in the range"),
        (("--class", "cube,cow"), (), "'cow'"),
        (ADAM, (("--seed", "0"), ("--seed", "1")), "seed is 0 in the first process and 1 in process 1"),
        (ADAM, ((), ("--class", "cow")), "'cow'"),
        ((*ADAM, "--path-size", "3e38"), (), "the penalty became nan at step 1"),
        (("--path-size", "3e38"), (), "not finite at latent 1"),
    ],
)
def test_bad_input_is_one_line_of_all_processes(tmp_path, start, options, extra, message):
    ends = ended(start(2, *options, "--out", tmp_path / "run", extra=extra))
    assert ends[1].code == 2
    (line,) = error_lines(ends)
    assert message in line


def test_what_the_first_process_alone_meets_is_told_by_it(tmp_path, start):
    (tmp_path / "state.safetensors").write_bytes(b"damaged")
    ends = ended(start(2, *ADAM, "--out", tmp_path))
    assert [each.code for each in ends] == [2, 2]
    (line,) = error_lines(ends)
    assert "not a readable state" in line


def test_a_class_that_fails_does_not_keep_the_others(tmp_path, start):
    (tmp_path / "3-cone").mkdir()
    (tmp_path / "3-cone" / "state.safetensors").write_bytes(b"damaged")
    ends = ended(start(2, *ADAM, "--no-judge", "--class", "cone,torus", "--each", "--out", tmp_path))
    assert [each.code for each in ends] == [2, 2]
    (line,) = error_lines(ends)
    assert line.startswith("error: 3-cone: ")
    assert (tmp_path / "4-torus" / "directions.safetensors").exists()


# Through torchrun


class Torchrun:
    """`torchrun --nproc-per-node 2 discover.py` on a free port."""

    def __init__(self, generator: Path, *options: str | Path):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command += ["discover.py", "--generator", generator, "--no-judge", *options]
        self.process = subprocess.Popen(
            command,
            cwd=CLONE,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def wait(self) -> Ended:
        out, err = self.process.communicate(timeout=300)
        return Ended(self.process.returncode, out, err)


@pytest.mark.long
def test_torchrun_is_killed_terminated_and_resumed(tmp_path, generator, start):
    run, options = tmp_path / "run", ("--steps", "120", "--batch", "3", "--save-every", "2")
    running = Torchrun(generator, *options, "--out", run)
    wait_for(lambda: steps_saved(run))
    workers = psutil.Process(running.process.pid).children()
    assert len(workers) == 2
    workers[1].kill()
    end = running.wait()
    assert end.code != 0
    assert [line for line in end.err.splitlines() if line.startswith("error: ")] == [LOST]
    assert 2 <= steps_saved(run) < 120

    running = Torchrun(generator, *options, "--out", run)
    before = steps_saved(run)
    wait_for(lambda: steps_saved(run) > before)
    running.process.terminate()
    end = running.wait()
    assert end.code != 0
    assert end.err.count("stopped; the run is saved in") == 1
    assert before < steps_saved(run) < 120

    for folder in (run, tmp_path / "whole"):
        assert [each.code for each in ended(start(2, *options, "--no-judge", "--out", folder))] == [0, 0]
    assert_same(run, tmp_path / "whole")
