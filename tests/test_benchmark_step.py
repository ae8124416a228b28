"""The benchmark's reference implementation, and its command on a tiny network."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import step
from benchmarks.reference import reference_step
from benchmarks.step import flop_of
from biggan_discovery import load_generator
from biggan_discovery.generators.batching import Batch
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.gradient import objective_gradient
from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
from biggan_discovery.objectives.samples import draw
from tests.tiny import save_tiny_biggan


def test_reference_step_is_the_same_loss(tmp_path: Path) -> None:
    generator = load_generator(save_tiny_biggan(tmp_path), device="cpu").double()
    samples = draw(generator, [0, 3], 6, count=3, probes=3, path_size=2.0, seed=0, stream=Stream.SEARCH, step=0)
    Q = torch.linalg.qr(torch.randn(16, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0].T
    value, gradient = reference_step(generator, Q, samples, 0.1)
    found = objective_gradient(HESSIAN_PENALTY, generator, Q, samples, 0.1, batch=Batch(6))
    torch.testing.assert_close(torch.tensor(found.value), torch.tensor(value), rtol=1e-9, atol=0)
    torch.testing.assert_close(found.gradient, gradient, rtol=1e-8, atol=1e-9)


def test_products_that_are_added_in_place_are_counted() -> None:
    a, b, total = torch.ones(2, 3, 4), torch.ones(2, 4, 5), torch.ones(2, 3, 5)
    assert flop_of(lambda: total.baddbmm_(a, b)) == flop_of(lambda: torch.baddbmm(total, a, b)) == 2 * 2 * 3 * 4 * 5


@pytest.fixture
def measure(benchmark: Callable[..., str], tmp_path: Path) -> Callable[[str], tuple[dict[str, Any], str]]:
    """Run the command; returns the figures and the output."""
    folder = save_tiny_biggan(tmp_path / "tiny")

    def call(options: str) -> tuple[dict[str, Any], str]:
        printed = benchmark(step.benchmark, f"--generator {folder} --device cpu --out {tmp_path / 'step'} {options}")
        assert (tmp_path / "step.md").read_text() in printed
        return json.loads((tmp_path / "step.json").read_text()), printed

    return call


def test_command_writes_its_figures(measure: Callable[[str], tuple[dict[str, Any], str]]) -> None:
    figures, printed = measure("--rounds 2")
    assert figures["ours"]["gflop"] < figures["reference"]["gflop"]
    assert figures["ratio"]["smallest"] <= figures["ratio"]["median"] <= figures["ratio"]["largest"]
    assert "times as fast" in printed


class InThisProcess:
    """A side that needs no process of its own, as it is alone."""

    def __init__(self, _: ExitStack, prepare: Callable[..., None], *arguments: Any):
        prepare(*arguments)

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


def test_command_measures_our_side_alone(
    measure: Callable[[str], tuple[dict[str, Any], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "Side", InThisProcess)
    monkeypatch.setattr(step, "_side", {})
    figures, printed = measure("--rounds 1 --alone")
    assert "reference" not in figures
    assert figures["ours"]["gflop"] > 0
    assert "times as fast" not in printed
