"""The logic around CUDA graphs, with graphs that record calls instead of kernels; `test_on_a_gpu` has real ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch

from biggan_discovery.training.recording import Recorded

CPU = torch.device("cpu")


class Graph:
    """A graph of one step, which replays it with the generator that it was recorded with."""

    def __init__(self) -> None:
        self.replays = 0
        self.call: Callable[[], None] = lambda: None

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.generator = generator

    def replay(self) -> None:
        self.replays += 1
        self.call()


class Case:
    """A step that adds random numbers up, to be recorded after three calls.

    Attributes:
        graphs: those that were made.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.graphs: list[Graph] = []
        self.total = torch.zeros(())
        self.recorded = Recorded(self.step, CPU)
        self.recorded._calls_before = 3
        monkeypatch.setattr(torch.cuda, "CUDAGraph", self.make)
        monkeypatch.setattr(torch.cuda, "graph", self.capture)
        for name in ("current_stream", "synchronize"):
            monkeypatch.setattr(torch.cuda, name, lambda _: None)

    def step(self, generator: torch.Generator) -> None:
        self.total.add_(torch.rand((), generator=generator))

    def make(self) -> Graph:
        self.graphs.append(Graph())
        return self.graphs[-1]

    @contextlib.contextmanager
    def capture(self, graph: Graph, **_: object) -> Iterator[None]:
        """Calls have no effect while they are captured, as on a GPU."""
        before = self.total.clone()
        yield
        self.total.copy_(before)
        graph.call = self.recorded._call

    def sums(self, count: int) -> list[float]:
        """The totals after each of some steps."""
        found = []
        for seed in range(count):
            self.recorded(seed)
            found.append(self.total.item())
        return found


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(monkeypatch)


def expected(count: int) -> list[float]:
    """What the step adds up to on its own."""
    found, total = [], torch.zeros(())
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        torch.rand(4, generator=generator)
        found.append(total.add_(torch.rand((), generator=generator)).item())
    return found


def test_replays_are_the_step(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert case.sums(8) == expected(8)
    assert [graph.replays for graph in case.graphs] == [5]
    assert caplog.messages == ["steps are replayed as a CUDA graph"]


def test_a_step_that_cannot_be_recorded_goes_on_without(
    case: Case, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(Graph, "register_generator_state", fail)
    assert case.sums(6) == expected(6)
    [message] = caplog.messages
    assert message.endswith("slower: operation not permitted when stream is capturing")
    assert case.graphs[0].replays == 0


def test_a_recording_with_random_numbers_of_its_own_is_dropped(
    case: Case, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def frozen(graph: Graph) -> None:
        graph.generator.manual_seed(123)
        graph.replays += 1
        graph.call()

    monkeypatch.setattr(Graph, "replay", frozen)
    case.sums(6)
    assert case.graphs[0].replays == 1
    assert "random numbers do not follow the seed" in caplog.messages[0]


def test_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU")
    device = torch.device("cuda")
    sums = {}
    for record in (False, True):
        total = torch.zeros((), device=device)

        def step(generator: torch.Generator, total: torch.Tensor = total) -> None:
            total.add_(torch.randn(1000, device=device, generator=generator).sum())

        with torch.cuda.stream(torch.cuda.Stream()):
            recorded = Recorded(step, device, record=record)
            for seed in range(8):
                recorded(seed)
            sums[record] = total.item()
    assert sums[True] == sums[False]


def test_a_cpu_records_nothing(case: Case) -> None:
    plain = Recorded(lambda _: None, CPU)
    for seed in range(6):
        plain(seed)
    assert not case.graphs
