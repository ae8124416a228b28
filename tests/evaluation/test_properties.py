"""Properties of every metric: invariances, stated cost, and repeatability."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biggan_discovery.evaluation import (
    activeness,
    class_transfer,
    contrastive_accuracy,
    diagonalness,
    held_out_values,
    path_length,
)
from biggan_discovery.evaluation.metrics.activeness import activeness_cost
from biggan_discovery.evaluation.metrics.class_transfer import class_transfer_cost
from biggan_discovery.evaluation.metrics.contrastive import contrastive_accuracy_cost
from biggan_discovery.evaluation.metrics.diagonalness import diagonalness_cost
from biggan_discovery.evaluation.metrics.path_length import path_length_cost
from biggan_discovery.generators import FunctionGenerator, batching
from biggan_discovery.objectives.table import objective_named
from biggan_discovery.progress import Progress
from tests.evaluation.known import Z_DIM, Counted, curved, frame

EPSILON = 1e-3  # mixed differences are even in the signs up to O(ε²) only

Metric = Callable[[FunctionGenerator, Tensor], Tensor]


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


PER_DIRECTION: dict[str, Metric] = {
    "activeness": lambda G, Q: tensor(activeness(G, Q, samples=2)),
    "length": lambda G, Q: tensor(path_length(G, Q, samples=2).length),
    "change": lambda G, Q: tensor(path_length(G, Q, samples=2).change_per_unit),
    "class transfer": lambda G, Q: tensor(class_transfer(G, Q, classes=[0, 1], samples=2)),
    "mean |H|": lambda G, Q: diagonalness(G, Q, epsilon=EPSILON, samples=2).magnitudes.diagonal()[:, None],
}

OF_ALL: dict[str, Metric] = {
    "largest on diagonal": lambda G, Q: tensor(diagonalness(G, Q, epsilon=EPSILON, samples=2).largest_on_diagonal),
    "diagonal to off-diagonal": lambda G, Q: tensor(
        diagonalness(G, Q, epsilon=EPSILON, samples=2).diagonal_to_off_diagonal
    ),
    "contrastive": lambda G, Q: tensor(contrastive_accuracy(G, Q, samples=3)),
}


def two_classes() -> FunctionGenerator:
    return Counted(curved(), num_classes=2).generator


@pytest.mark.parametrize("name", [*PER_DIRECTION, *OF_ALL])
@settings(deadline=None, max_examples=5)
@given(
    order=st.permutations(range(Z_DIM)),
    signs=st.lists(st.sampled_from([-1.0, 1.0]), min_size=Z_DIM, max_size=Z_DIM),
)
def test_signs_and_order_of_directions_do_not_matter(name: str, order: list[int], signs: list[float]) -> None:
    Q = frame()
    changed = (tensor(signs)[:, None] * Q)[order]
    metric = {**PER_DIRECTION, **OF_ALL}[name]
    before, after = metric(two_classes(), Q), metric(two_classes(), changed)
    if name in PER_DIRECTION:
        torch.testing.assert_close(after, before[order], rtol=1e-6, atol=1e-9)
    else:
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [*PER_DIRECTION, *OF_ALL])
@pytest.mark.parametrize("batch", [1, 3, 7])
def test_batches_do_not_matter(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = {**PER_DIRECTION, **OF_ALL}[name]
    expected = metric(two_classes(), frame(5))
    monkeypatch.setattr(batching, "_forward_size", lambda _: batch)
    torch.testing.assert_close(metric(two_classes(), frame(5)), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [*PER_DIRECTION, *OF_ALL])
def test_the_seed_decides_everything(name: str) -> None:
    metric = {**PER_DIRECTION, **OF_ALL}[name]
    state = torch.get_rng_state()
    assert torch.equal(metric(two_classes(), frame()), metric(two_classes(), frame()))
    assert torch.equal(torch.get_rng_state(), state)


def test_other_seeds_are_other_samples() -> None:
    assert activeness(curved(), frame(), samples=2, seed=1) != activeness(curved(), frame(), samples=2, seed=2)


class Advanced(Progress):
    """A progress bar that shows nothing and keeps how far it was advanced."""

    def __init__(self) -> None:
        self.done = 0

    def advance(self, count: int = 1, **_: float) -> None:
        self.done += count


COSTS: dict[str, tuple[Callable[..., object], int]] = {
    "activeness": (lambda G, Q, p: activeness(G, Q, samples=3, progress=p), activeness_cost(5, samples=3)),
    "path length": (lambda G, Q, p: path_length(G, Q, samples=3, progress=p), path_length_cost(5, samples=3)),
    "contrastive": (
        lambda G, Q, p: contrastive_accuracy(G, Q, samples=3, progress=p),
        contrastive_accuracy_cost(5, samples=3),
    ),
    "class transfer": (
        lambda G, Q, p: class_transfer(G, Q, classes=[0, 1, 2], samples=2, progress=p),
        class_transfer_cost(5, samples=2, classes=3),
    ),
    "diagonalness": (lambda G, Q, p: diagonalness(G, Q, samples=2, progress=p), diagonalness_cost(5, samples=2)),
    "diagonalness of pairs": (
        lambda G, Q, p: diagonalness(G, Q, samples=2, pairs=4, progress=p),
        diagonalness_cost(5, samples=2, pairs=4),
    ),
}


@pytest.mark.parametrize("name", COSTS)
def test_metrics_cost_what_they_state(name: str) -> None:
    metric, cost = COSTS[name]
    counted, progress = Counted(curved(), num_classes=3), Advanced()
    metric(counted.generator, frame(5), progress)
    assert (counted.count, progress.done) == (cost, cost)


@pytest.mark.parametrize("objective", ["hessian", "orojar"])
def test_held_out_objectives_cost_what_they_state(objective: str) -> None:
    counted = Counted(curved())
    held_out_values(counted.generator, frame(5), objective=objective, samples=3, probes=4)
    assert counted.count == 3 * objective_named(objective).passes(4)


@pytest.mark.parametrize("objective", ["hessian", "orojar"])
def test_held_out_objectives_do_not_depend_on_batches(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = held_out_values(curved(), frame(5), objective=objective, samples=5, probes=3)
    monkeypatch.setattr(batching, "_forward_size", lambda _: 2)
    parts = held_out_values(curved(), frame(5), objective=objective, samples=5, probes=3)
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("objective", ["hessian", "orojar"])
def test_held_out_objectives_of_turned_and_mixed_up_directions_agree_within_their_error(objective: str) -> None:
    # Probes and path are drawn for each row, so single samples differ, and means do not.
    Q = frame()
    changed = (tensor([1.0, -1.0, 1.0, -1.0, -1.0, 1.0])[:, None] * Q)[[3, 0, 5, 1, 2, 4]]
    one, other = (held_out_values(curved(), each, objective=objective, samples=400) for each in (Q, changed))
    difference = one - other
    assert difference.abs().max() > 0
    assert difference.mean().abs() < 4 * difference.std() / 400**0.5
    assert difference.std() / 400**0.5 < 0.1 * one.mean()
