"""The GPU parts of the fast network other than kernels: fused attention and CUDA graphs of gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from biggan_discovery import load_generator
from biggan_discovery.generators import fast
from biggan_discovery.generators.batching import Batch
from biggan_discovery.generators.fast import attention, dispatch
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.gradient import ObjectiveGradient, objective_gradient
from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
from biggan_discovery.objectives.samples import draw
from tests.brock_tiny import save_tiny_brock
from tests.tiny import save_tiny_biggan

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def _normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(DEVICE, dtype)


def _plain(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return (queries @ keys.mT).softmax(-1) @ values


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, PyTorch has a different kernel behind the same function."""
    monkeypatch.setattr(dispatch, "_DEVICE", DEVICE)
    if DEVICE == "cpu":
        monkeypatch.setattr(attention, "_FUSED", SDPBackend.MATH)
        monkeypatch.setattr(attention, "can_use_efficient_attention", lambda _: True)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("backend", ["kernels", "fused", "blocks"])
@pytest.mark.parametrize("sizes", [(32, 128), (8, 40), (3, 5)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_attention_of_both_backends(backend: attention.Backend, sizes: tuple[int, int], dtype: torch.dtype) -> None:
    """Widths supported and not supported by fused kernels, with keys and values as slices of one tensor."""
    width, depth = sizes
    both = 0.5 * _normal(3, 12, width + depth, seed=1)
    inputs = [0.5 * _normal(3, 50, width), *both.split([width, depth], -1)]
    weights = _normal(3, 50, depth, seed=2)
    rounded = [each.to(dtype).requires_grad_() for each in inputs]
    truths = [each.detach().double().requires_grad_() for each in rounded]
    with fast.attention_backend(backend):
        found = fast.attend(*rounded)
        gradients = torch.autograd.grad(found, rounded, weights.to(dtype), retain_graph=True)
        again = torch.autograd.grad(found, rounded, weights.to(dtype))
    assert not torch.are_deterministic_algorithms_enabled()
    truth = _plain(*truths)
    expected = torch.autograd.grad(truth, truths, weights.to(dtype).double())
    tolerance = 8 * torch.finfo(dtype).eps
    for ours, right in zip((found, *gradients), (truth, *expected), strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), right, rtol=0, atol=tolerance * float(right.detach().abs().max()))
    for first, second in zip(gradients, again, strict=True):
        assert torch.equal(first, second)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_fused_attention_is_used_and_can_be_differentiated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[torch.Size] = []
    fused = attention._fused
    monkeypatch.setattr(attention, "_fused", lambda *inputs: calls.append(inputs[0].shape) or fused(*inputs))
    inputs = [_normal(2, 9, 8), _normal(2, 7, 8, seed=1), _normal(2, 7, 16, seed=2)]
    singles = [each.float().requires_grad_() for each in inputs]
    leaves = [each.requires_grad_() for each in inputs]
    seconds = []
    for function, points in ((fast.attend, singles), (_plain, leaves)):
        first = torch.autograd.grad(function(*points).sin().sum(), points, create_graph=True)
        seconds.append(torch.autograd.grad(sum(each.cos().sum() for each in first), points))
    assert len(calls) == 2  # forward, and where the last derivative comes through it
    for ours, right in zip(*seconds, strict=True):
        torch.testing.assert_close(ours.double(), right, rtol=1e-4, atol=1e-4)
    fast.attend(*singles).sum().backward()
    assert len(calls) == 4  # forward, and again in the backward pass
    with fast.plain():
        fast.attend(*singles)
    fast.attend(*leaves)  # float64
    assert len(calls) == 4


@pytest.mark.usefixtures("as_on_a_gpu")
def test_attention_layer_with_one_product_for_keys_and_values() -> None:
    channels = 16
    weights = _normal(2, channels), _normal(2, channels, seed=1), _normal(8, channels, seed=2), _normal(channels, 8)
    layer, x = fast.Attention(*weights, _normal(channels, seed=3)), _normal(2, 4, 6, channels, seed=4)
    found = layer(x)
    with fast.plain():
        torch.testing.assert_close(found, layer(x))


def test_recorded_calls() -> None:
    """Each call's values stay as they are when later ones use the same memory."""
    weights = _normal(5, 4, dtype=torch.float32)

    def gradients(x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        x = x.detach().requires_grad_()
        values = (x @ weights).sin().sum(1)
        (weight * values.sum()).backward()
        assert x.grad is not None
        return values.detach(), x.grad

    recorded = fast.Recorded(gradients)
    kept = []
    for count, weight in ((3, 1.0), (3, 0.5), (2, 4.0), (3, 8.0)):
        inputs = weight * _normal(count, 5, seed=count, dtype=torch.float32), torch.tensor(weight, device=DEVICE)
        kept.append((recorded(*inputs), gradients(*inputs)))
    for found, expected in kept:
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one, other)


@pytest.mark.skipif(DEVICE == "cpu", reason="CUDA graphs need a GPU")
def test_what_cannot_be_recorded_is_called(caplog: pytest.LogCaptureFixture) -> None:
    recorded = fast.Recorded(lambda x: (x * x.sum().item(),))
    x = torch.ones(3, device=DEVICE)
    for _ in range(2):
        assert recorded(x)[0].tolist() == [3, 3, 3]
    assert len(caplog.records) == 1
    assert "not recorded" in caplog.text
    assert fast.Recorded(lambda x: (2 * x,))(x)[0].tolist() == [2, 2, 2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("save", [save_tiny_biggan, save_tiny_brock])
def test_recorded_steps_are_those_of_a_search_that_resumes(
    save: Callable[[Path], Path], dtype: torch.dtype, tmp_path: Path
) -> None:
    """Bit for bit, also after memory ran out for one size of micro-batch; steps that are not recorded differ by rounding.

    While a graph is recorded, cuDNN may choose other algorithms than at other times.
    """
    generator = load_generator(save(tmp_path / "weights"), device=DEVICE)
    if dtype == torch.float16:
        generator = generator.half_precision(dtype)
    assert generator.recordable
    Q = torch.linalg.qr(_normal(generator.z_dim, 5))[0].T.to(DEVICE, torch.float32)
    batch = Batch(8)
    gradient_at = ObjectiveGradient(HESSIAN_PENALTY, generator, 0.1, batch=batch)
    for step in range(4):
        if step == 2:
            batch.size = 4
        samples = draw(generator, [0, 2], 5, count=5, probes=2, path_size=3.0, seed=1, stream=Stream.SEARCH, step=step)
        found = gradient_at(Q, samples)
        resumed = ObjectiveGradient(HESSIAN_PENALTY, generator, 0.1, batch=Batch(batch.size))(Q, samples)
        assert found.value == resumed.value
        assert torch.equal(found.gradient, resumed.gradient)
        eager = objective_gradient(HESSIAN_PENALTY, generator, Q, samples, 0.1, batch=Batch(batch.size))
        assert found.value == pytest.approx(eager.value, rel=1e-3)
        bound = 0 if DEVICE == "cpu" else 0.02 * float(eager.gradient.abs().max())
        torch.testing.assert_close(found.gradient, eager.gradient, rtol=0, atol=bound)
    if DEVICE == "cuda":
        assert isinstance(gradient_at._of_part, fast.Recorded)
        assert gradient_at._of_part._recordings
        assert not gradient_at._of_part._gives_up
