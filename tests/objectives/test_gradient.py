"""Objectives of directions: one generator call for all evaluations, micro-batches, and out-of-memory errors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biggan_discovery import FunctionGenerator, hessian_penalty, load_generator, orojar
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import Batch
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives import gradient
from biggan_discovery.objectives.gradient import objective_gradient
from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
from biggan_discovery.objectives.orojar import OROJAR
from biggan_discovery.objectives.samples import Samples, draw
from tests.tiny import save_tiny_biggan

OBJECTIVES = {HESSIAN_PENALTY.title: (HESSIAN_PENALTY, hessian_penalty), OROJAR.title: (OROJAR, orojar)}


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> FrozenGenerator:
    return load_generator(save_tiny_biggan(tmp_path_factory.mktemp("tiny")), device="cpu").double()


def _drawn(generator: FrozenGenerator, count: int = 5, probes: int = 3, seed: int = 0) -> tuple[Tensor, Samples]:
    random = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(generator.z_dim, 4, dtype=generator.dtype, generator=random))[0].T
    classes = list(range(generator.num_classes))
    return Q, draw(
        generator, classes, 4, count=count, probes=probes, path_size=2.0, seed=seed, stream=Stream.SEARCH, step=3
    )


def _sample_by_sample(portable, generator: FrozenGenerator, Q: Tensor, samples: Samples, layers: str) -> Tensor:
    """The mean of the portable function, called per sample."""
    values = []
    for z, y, w, probes in zip(samples.z, samples.y, samples.w, samples.probes.unbind(1), strict=True):

        def images(w: Tensor, z: Tensor = z, y: Tensor = y) -> Tensor:
            return generator(generator.shift(z[None], w @ Q, layers), y[None])

        values.append(portable(images, w[None], epsilon=0.1, reduction=torch.mean, probes=probes[:, None]))
    return torch.stack(values).mean()


@pytest.mark.parametrize("layers", ["all", "2-3"])
@pytest.mark.parametrize(("objective", "portable"), OBJECTIVES.values(), ids=OBJECTIVES)
def test_value_and_gradient_are_those_of_the_portable_function(generator, objective, portable, layers: str) -> None:
    Q, samples = _drawn(generator)
    rows = Q.clone().requires_grad_()
    expected = _sample_by_sample(portable, generator, rows, samples, layers)
    expected.backward()
    found = objective_gradient(objective, generator, Q, samples, 0.1, layers, batch=Batch(8))
    assert found.value == pytest.approx(expected.item(), rel=1e-10)
    torch.testing.assert_close(found.gradient, rows.grad, rtol=1e-9, atol=1e-10)
    assert not Q.requires_grad


@settings(deadline=None, max_examples=12)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(2, 4),
    st.sampled_from([HESSIAN_PENALTY, OROJAR]),
)
def test_micro_batches_change_nothing_but_rounding(
    generator, size: int, begun: int, count: int, probes: int, objective
) -> None:
    Q, samples = _drawn(generator, count, probes, seed=size)
    whole = objective_gradient(objective, generator, Q, samples, 0.1, batch=Batch(10_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient, "_BEGUN_AT_ONCE", begun)
        parts, again = (objective_gradient(objective, generator, Q, samples, 0.1, batch=Batch(size)) for _ in range(2))
    assert parts.value == pytest.approx(whole.value, rel=1e-10)
    torch.testing.assert_close(parts.gradient, whole.gradient, rtol=1e-9, atol=1e-10)
    assert torch.equal(again.gradient, parts.gradient)
    assert again.value == parts.value


def test_in_float32_samples_apart_have_the_gradient_of_all(tmp_path) -> None:
    """Gradients of evaluations cancel to about 1e-3 of their size, so sums of them in float32 would be 1e-4 apart."""
    generator = load_generator(save_tiny_biggan(tmp_path), device="cpu")
    Q, samples = _drawn(generator, count=4, probes=2)
    whole = objective_gradient(HESSIAN_PENALTY, generator, Q, samples, 0.1, batch=Batch(16)).gradient
    parts = [
        objective_gradient(HESSIAN_PENALTY, generator, Q, each, 0.1, batch=Batch(4)).gradient
        for each in samples.split(1)
    ]
    torch.testing.assert_close(sum(parts) / 4, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


def _counting(sizes: list[int], most: int = 10_000) -> FunctionGenerator:
    """A small network that records its batch sizes and runs out of memory above `most` images."""
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
    objective_gradient(HESSIAN_PENALTY, generator, Q, samples, 0.1, batch=Batch(12))
    assert sizes == [12, 12, 4]
    sizes.clear()
    objective_gradient(OROJAR, generator, Q, samples, 0.1, batch=Batch(12))
    assert sizes == [12, 9]  # four samples of k + 1 = 3 images fill the micro-batch
    sizes.clear()
    with torch.no_grad():
        HESSIAN_PENALTY(generator, Q, samples, 0.1, batch=Batch(10))
    assert sizes == [10, 10, 8]


def test_activations_of_a_sample_that_does_not_fit_are_computed_again() -> None:
    sizes: list[int] = []
    generator = _counting(sizes)
    Q, samples = _drawn(generator, count=2, probes=3)
    objective_gradient(HESSIAN_PENALTY, generator, Q, samples, 0.1, batch=Batch(4))
    assert sorted(sizes) == 4 * [2] + 4 * [4]  # forward, and again for the backward pass, for each of two samples


def test_out_of_memory_halves_the_micro_batch(caplog: pytest.LogCaptureFixture) -> None:
    generator, batch = _counting([], most=3), Batch(16)
    Q, samples = _drawn(generator, count=4, probes=2)
    found = objective_gradient(HESSIAN_PENALTY, generator, Q, samples, 0.1, batch=batch)
    assert [record.getMessage() for record in caplog.records] == [
        f"out of memory: continuing with {size} images at once" for size in (8, 4, 2)
    ]
    assert batch.size == 2
    expected = objective_gradient(HESSIAN_PENALTY, _counting([]), Q, samples, 0.1, batch=Batch(2))
    assert torch.equal(found.gradient, expected.gradient)
    assert len(caplog.records) == 3


def test_no_memory_for_one_image_is_told() -> None:
    generator = _counting([], most=0)
    Q, samples = _drawn(generator, count=1)
    with pytest.raises(MemoryError, match="one image"):
        objective_gradient(HESSIAN_PENALTY, generator, Q, samples, 0.1, batch=Batch(2))


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    generator = _counting([])
    Q, samples = _drawn(generator)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        objective_gradient(HESSIAN_PENALTY, generator, Q[:2], samples, 0.1, batch=Batch(100))
