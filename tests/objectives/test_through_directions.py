"""Objectives of directions: one generator call for all evaluations, micro-batches, and memory that runs out."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from biggan_discovery.objectives.through_directions import (
    bytes_per_image,
    choose_micro_batch,
    orojar_of_directions,
    penalty_gradient,
    penalty_of_directions,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biggan_discovery import FunctionGenerator, load_generator
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives import hessian_penalty, orojar, through_directions
from biggan_discovery.objectives.samples import Purpose, Samples, draw
from tests.tiny import save_tiny_biggan

OBJECTIVES = {penalty_of_directions: hessian_penalty, orojar_of_directions: orojar}


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> FrozenGenerator:
    return load_generator(save_tiny_biggan(tmp_path_factory.mktemp("tiny")), device="cpu").double()


def _drawn(generator: FrozenGenerator, count: int = 5, probes: int = 3, seed: int = 0) -> tuple[Tensor, Samples]:
    random = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(generator.z_dim, 4, dtype=generator.dtype, generator=random))[0].T
    classes = list(range(generator.num_classes))
    return Q, draw(
        generator, classes, 4, count=count, probes=probes, path_size=2.0, seed=seed, purpose=Purpose.SEARCH, step=3
    )


def _sample_by_sample(objective, generator: FrozenGenerator, Q: Tensor, samples: Samples, layers: str) -> Tensor:
    """The mean of the portable function, called for one sample after the other."""
    values = []
    for z, y, w, probes in zip(samples.z, samples.y, samples.w, samples.probes.unbind(1), strict=True):

        def images(w: Tensor, z: Tensor = z, y: Tensor = y) -> Tensor:
            return generator(generator.shift(z[None], w @ Q, layers), y[None])

        values.append(OBJECTIVES[objective](images, w[None], epsilon=0.1, reduction=torch.mean, probes=probes[:, None]))
    return torch.stack(values).mean()


@pytest.mark.parametrize("layers", ["all", "2-3"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_value_and_gradient_are_those_of_the_portable_function(generator, objective, layers: str) -> None:
    Q, samples = _drawn(generator)
    rows = Q.clone().requires_grad_()
    expected = _sample_by_sample(objective, generator, rows, samples, layers)
    expected.backward()
    found = penalty_gradient(generator, Q, samples, 0.1, layers, micro_batch=8, objective=objective)
    assert found.value == pytest.approx(expected.item(), rel=1e-10)
    torch.testing.assert_close(found.gradient, rows.grad, rtol=1e-9, atol=1e-10)
    assert not Q.requires_grad


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.integers(2, 4), st.sampled_from(list(OBJECTIVES)))
def test_micro_batches_change_nothing_but_rounding(
    generator, size: int, begun: int, count: int, probes: int, objective
) -> None:
    Q, samples = _drawn(generator, count, probes, seed=size)
    whole = penalty_gradient(generator, Q, samples, 0.1, micro_batch=10_000, objective=objective)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(through_directions, "_BEGUN_AT_ONCE", begun)
        parts, again = (
            penalty_gradient(generator, Q, samples, 0.1, micro_batch=size, objective=objective) for _ in range(2)
        )
    assert parts.value == pytest.approx(whole.value, rel=1e-10)
    torch.testing.assert_close(parts.gradient, whole.gradient, rtol=1e-9, atol=1e-10)
    assert torch.equal(again.gradient, parts.gradient)
    assert again.value == parts.value


def test_in_float32_samples_apart_have_the_gradient_of_all(tmp_path) -> None:
    """Gradients of evaluations cancel to about 1e-3 of their size, so sums of them in float32 would be 1e-4 apart."""
    generator = load_generator(save_tiny_biggan(tmp_path), device="cpu")
    Q, samples = _drawn(generator, count=4, probes=2)
    whole = penalty_gradient(generator, Q, samples, 0.1, micro_batch=16).gradient
    parts = [penalty_gradient(generator, Q, each, 0.1, micro_batch=4).gradient for each in samples.split(1)]
    torch.testing.assert_close(sum(parts) / 4, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


def _counting(sizes: list[int], most: int = 10_000) -> FunctionGenerator:
    """A small network that notes how many images it was asked for, and has no memory for more than `most`."""
    weight = torch.randn(3 * 16, 6, generator=torch.Generator().manual_seed(1))

    def network(z: Tensor) -> Tensor:
        sizes.append(len(z))
        if len(z) > most:
            torch.empty(2**60, dtype=torch.uint8)
        return (z @ weight.T).sin().view(len(z), 3, 4, 4)

    return FunctionGenerator(network, z_dim=6, resolution=4, channels=3)


def test_all_evaluations_of_a_micro_batch_in_one_call() -> None:
    sizes: list[int] = []
    generator = _counting(sizes)
    Q, samples = _drawn(generator, count=7, probes=2)
    penalty_gradient(generator, Q, samples, 0.1, micro_batch=12)
    assert sizes == [12, 12, 4]
    sizes.clear()
    penalty_gradient(generator, Q, samples, 0.1, micro_batch=12, objective=orojar_of_directions)
    assert sizes == [9, 9, 3]
    sizes.clear()
    with torch.no_grad():
        penalty_of_directions(generator, Q, samples, 0.1, at_once=10)
    assert sizes == [10, 10, 8]


def test_activations_of_a_sample_that_does_not_fit_are_computed_again() -> None:
    sizes: list[int] = []
    generator = _counting(sizes)
    Q, samples = _drawn(generator, count=2, probes=3)
    penalty_gradient(generator, Q, samples, 0.1, micro_batch=4)
    assert sorted(sizes) == 4 * [2] + 4 * [4]  # forward, and again for the backward pass, for each of two samples


def test_out_of_memory_halves_the_micro_batch(capsys: pytest.CaptureFixture[str]) -> None:
    generator = _counting([], most=3)
    Q, samples = _drawn(generator, count=4, probes=2)
    found = penalty_gradient(generator, Q, samples, 0.1, micro_batch=16)
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.split()[-1] for line in lines] == ["8", "4", "2"]
    assert all(line.startswith("out of memory") for line in lines)
    assert found.micro_batch == 2
    expected = penalty_gradient(_counting([]), Q, samples, 0.1, micro_batch=2)
    assert torch.equal(found.gradient, expected.gradient)
    assert capsys.readouterr().err == ""


def test_no_memory_for_one_image_is_told() -> None:
    generator = _counting([], most=0)
    Q, samples = _drawn(generator, count=1)
    with pytest.raises(MemoryError, match="one image"):
        penalty_gradient(generator, Q, samples, 0.1, micro_batch=2)


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    generator = _counting([])
    Q, samples = _drawn(generator)
    broken = dataclasses.replace(samples, w=samples.w[:, :2])
    with pytest.raises(RuntimeError, match="size"):
        penalty_gradient(generator, Q, broken, 0.1, micro_batch=100)


class _Sine(torch.nn.Module):
    """A layer with 4 MB of weights, of whose 1024 outputs 48 become pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1024, 1024) / 1024)

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.weight).sin()[:, :48].reshape(len(z), 3, 4, 4)


def test_micro_batch_fits_the_budget_without_weights() -> None:
    """The sine keeps its 1024 inputs, and the images are views of its 1024 outputs."""
    generator = FunctionGenerator(_Sine(), z_dim=1024)
    kept = bytes_per_image(generator)
    assert kept == 4 * (1024 + 48)
    assert choose_micro_batch(generator, 100 * kept) == 100
    assert choose_micro_batch(generator, 1) == 1


@pytest.mark.parametrize(
    ("size", "kept", "images"),
    [(16, 2**16, 256), (64, 2**23, 16), (128, 2**26, 4), (256, 2**28, 4), (512, 2**30, 2), (512, 2**32, 1)],
)
def test_micro_batch_on_a_cpu(monkeypatch: pytest.MonkeyPatch, size: int, kept: int, images: int) -> None:
    """No more than are of use, but the four images of one sample where they keep at most 2 GiB."""
    monkeypatch.setattr(through_directions, "bytes_per_image", lambda _: kept)
    generator = FunctionGenerator(lambda z: z.new_zeros(len(z), 3, size, size), z_dim=4, resolution=size, channels=3)
    assert choose_micro_batch(generator) == images
