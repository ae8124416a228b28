"""The Triton kernels against float64: on a GPU if there is one, else in Triton's interpreter (see conftest.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biggan_discovery.generators import fast
from biggan_discovery.generators.batching import Batch
from biggan_discovery.generators.biggan_deep import BigGANDeep
from biggan_discovery.generators.brock import BrockBigGAN
from biggan_discovery.generators.fast import dispatch
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.gradient import objective_gradient
from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
from biggan_discovery.objectives.samples import draw
from tests.brock_tiny import save_tiny_brock
from tests.tiny import save_tiny_biggan

pytest.importorskip("triton")
from biggan_discovery.generators.fast import kernels

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float16, torch.bfloat16, torch.float32]
EPS = {dtype: torch.finfo(dtype).eps for dtype in DTYPES}

shapes = st.tuples(
    st.integers(1, 3),
    st.sampled_from([1, 2, 3, 7, 13]),
    st.sampled_from([1, 2, 5, 8, 11]),
    st.sampled_from([1, 2, 3, 16, 17, 64, 70, 130]),
)
dtypes = st.sampled_from(DTYPES)
seeds = st.integers(0, 2**20)
by_kernel = settings(deadline=None, max_examples=25)


def _draw(*shape: int, dtype: torch.dtype, seed: int, exact: bool) -> Tensor:
    """Normals; or small multiples of 1/4, for which the kernels' float32 arithmetic is exact and kinks are hit."""
    source = torch.Generator().manual_seed(seed)
    x = torch.randint(-8, 9, shape, generator=source) / 4 if exact else torch.randn(shape, generator=source)
    return x.to(DEVICE, dtype)


def _compare(found: Tensor, truth: Tensor, size: Tensor, *, exact: bool, terms: int = 4) -> None:
    """Equal to the rounded truth where exact; else within half a unit of the type and `terms` units of float32.

    Triton's interpreter cuts bfloat16 instead of rounding it, so that there it is a whole unit, and nothing is exact.

    Args:
        found: of the kernel.
        truth: float64.
        size: float64, the sum of the absolute values of what is added up.
        exact: whether the kernel's arithmetic is.
        terms: roundings in float32.
    """
    assert found.shape == truth.shape
    cut = found.dtype == torch.bfloat16 and DEVICE == "cpu"
    if exact and not cut:
        assert torch.equal(found, truth.to(found.dtype))
        return
    bound = (1.01 if cut else 0.51) * EPS[found.dtype] * truth.abs() + terms * EPS[torch.float32] * size + 1e-7
    assert bool(((found.double() - truth).abs() <= bound).all())


def _affine(count: int, channels: int, seed: int, *, exact: bool, shared: bool) -> tuple[Tensor, Tensor]:
    rows = 1 if shared else count
    both = _draw(rows, 1, 1, 2 * channels, dtype=torch.float32, seed=seed, exact=exact)
    gain, shift = both.chunk(2, -1)  # strided, as `Conditional` gives them
    return gain, shift


@by_kernel
@given(shapes, dtypes, st.booleans(), st.booleans(), seeds)
def test_affine_relu(shape: tuple[int, ...], dtype: torch.dtype, shared: bool, exact: bool, seed: int) -> None:
    x = _draw(*shape, dtype=dtype, seed=seed, exact=exact)
    gain, shift = _affine(shape[0], shape[-1], seed + 1, exact=exact, shared=shared)
    truth = x.double() * gain.double() + shift.double()
    size = (x.double() * gain.double()).abs() + shift.double().abs()
    found = kernels.affine_relu(x, gain, shift)
    assert found.dtype == dtype
    _compare(found, truth.relu(), size, exact=exact)


@by_kernel
@given(shapes, dtypes, st.booleans(), st.booleans(), st.data(), seeds)
def test_affine_relu_backward(
    shape: tuple[int, ...], dtype: torch.dtype, sums: bool, exact: bool, data: st.DataObject, seed: int
) -> None:
    skipped = data.draw(st.integers(0, shape[-1]))
    enough, tile = data.draw(st.sampled_from([1, 4096])), data.draw(st.sampled_from([256, 1024, 4096]))
    x, grad = (_draw(*shape, dtype=dtype, seed=seed + number, exact=exact) for number in (0, 1))
    skip_grad = _draw(*shape[:-1], skipped, dtype=dtype, seed=seed + 2, exact=exact)
    gain, shift = _affine(shape[0], shape[-1], seed + 3, exact=exact, shared=data.draw(st.booleans()))
    with patch.multiple(kernels, _ENOUGH_PROGRAMS=enough, _TILE=tile):
        found = kernels.affine_relu_backward(grad, skip_grad, x, gain, shift, sums=sums)
        again = kernels.affine_relu_backward(grad, skip_grad, x, gain, shift, sums=sums)
    value = x.double() * gain.double() + shift.double()
    # Within rounding of the kink either side of the derivative is right.
    kink = torch.zeros_like(value, dtype=torch.bool) if exact else value.abs() < 1e-5
    masked = grad.double() * (value > 0)
    truth = masked * gain.double()
    truth[..., :skipped] += skip_grad.double()
    size = truth.abs() + masked.abs() * gain.double().abs()
    _compare(found[0][~kink], truth[~kink], size[~kink], exact=exact)
    if not sums:
        assert found[1:] == (None, None)
        return
    for result, other, terms in zip(found[1:], again[1:], (masked * x.double(), masked), strict=True):
        assert torch.equal(result, other)
        assert result.dtype == torch.float32
        size = (terms.abs() + kink * grad.double().abs()).sum((1, 2), keepdim=True)
        slack = (kink * grad.double().abs() * (1 + x.double().abs())).sum((1, 2), keepdim=True) / EPS[torch.float32]
        _compare(result, terms.sum((1, 2), keepdim=True), size + slack, exact=exact, terms=shape[1] * shape[2] + 4)


@pytest.mark.parametrize("skipped", [0, 5, 17])
def test_gradients_of_an_image_in_several_parts_of_several_tiles(skipped: int) -> None:
    shape = 2, 13, 11, 17  # nine tiles of 16 pixels for each block of channels
    x, grad = (_draw(*shape, dtype=torch.float32, seed=number, exact=True) for number in (0, 1))
    skip_grad = _draw(*shape[:-1], skipped, dtype=torch.float32, seed=2, exact=True)
    gain, shift = _affine(2, 17, 3, exact=True, shared=False)
    with patch.multiple(kernels, _ENOUGH_PROGRAMS=1, _TILE=256, _MOST_STEPS=2):
        grad_x, grad_gain, grad_shift = kernels.affine_relu_backward(grad, skip_grad, x, gain, shift, sums=True)
    masked = grad * (x * gain + shift > 0)
    assert torch.equal(grad_x, masked * gain + torch.nn.functional.pad(skip_grad, (0, 17 - skipped)))
    assert torch.equal(grad_gain, (masked * x).sum((1, 2), keepdim=True))
    assert torch.equal(grad_shift, masked.sum((1, 2), keepdim=True))


@by_kernel
@given(shapes, dtypes, st.booleans(), seeds)
def test_scaled_relu_backward(shape: tuple[int, ...], dtype: torch.dtype, exact: bool, seed: int) -> None:
    grad, activated = (_draw(*shape, dtype=dtype, seed=seed + number, exact=exact) for number in (0, 1))
    gain = _draw(shape[-1], dtype=torch.float32, seed=seed + 2, exact=exact)
    truth = grad.double() * (activated > 0) * gain.double()
    _compare(kernels.scaled_relu_backward(grad, activated.relu(), gain), truth, truth.abs(), exact=exact)


@by_kernel
@given(shapes, dtypes, st.booleans(), st.booleans(), st.booleans(), seeds)
def test_skip_connection(
    shape: tuple[int, ...], dtype: torch.dtype, upsample: bool, plus: bool, exact: bool, seed: int
) -> None:
    """Of a slice of wider activations, as in BigGAN-deep."""
    count, height, width, channels = shape
    skip = _draw(count, height, width, channels + 3, dtype=dtype, seed=seed, exact=exact)[..., :channels]
    truth = skip.double()
    if upsample:
        truth = truth.repeat_interleave(2, 1).repeat_interleave(2, 2)
    summand = _draw(*truth.shape, dtype=dtype, seed=seed + 1, exact=exact) if plus else None
    size = truth.abs()
    if summand is not None:
        truth, size = truth + summand.double(), size + summand.double().abs()
    _compare(kernels.skip_connection(skip, upsample=upsample, plus=summand), truth, size, exact=exact)


@by_kernel
@given(shapes, dtypes, st.booleans(), seeds)
def test_pooled_sum(shape: tuple[int, ...], dtype: torch.dtype, exact: bool, seed: int) -> None:
    count, height, width, channels = shape
    x = _draw(count, 2 * height, 2 * width, channels, dtype=dtype, seed=seed, exact=exact)
    parts = x.double().unflatten(1, (height, 2)).unflatten(3, (width, 2))
    _compare(kernels.pooled_sum(x), parts.sum((2, 4)), parts.abs().sum((2, 4)), exact=exact)


@pytest.mark.parametrize("dtype", DTYPES)
def test_not_a_number_is_handed_on_as_torch_does(dtype: torch.dtype) -> None:
    """A search detects an overflow by NaN."""
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 1.0], device=DEVICE, dtype=dtype).view(1, 1, 1, 4)
    one, zero = x.new_ones(1, 1, 1, 4), x.new_zeros(1, 1, 1, 4)
    torch.testing.assert_close(kernels.affine_relu(x, one, zero), x.relu(), equal_nan=True)
    found = kernels.affine_relu_backward(one, zero, x, one, zero, sums=False)[0]
    assert found.flatten().tolist() == [1, 1, 0, 1]
    assert kernels.affine_relu_backward(x, zero, one, one, zero, sums=False)[0].isnan().flatten().tolist()[0]


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 0, 4, 3), (2, 4, 4, 0)])
def test_nothing_to_do(shape: tuple[int, ...]) -> None:
    x = torch.empty(shape, device=DEVICE)
    gain = torch.ones(shape[0], 1, 1, shape[-1], device=DEVICE)
    assert kernels.affine_relu(x, gain, gain).shape == shape
    grad_x, grad_gain, _ = kernels.affine_relu_backward(x, x, x, gain, gain, sums=True)
    assert grad_x.shape == shape
    assert torch.equal(grad_gain, torch.zeros_like(gain))
    assert kernels.scaled_relu_backward(x, x, gain[:0] if len(x) == 0 else gain[:1]).shape == shape
    assert kernels.skip_connection(x, upsample=False).shape == shape
    assert kernels.pooled_sum(x).shape == (shape[0], shape[1] // 2, shape[2] // 2, shape[3])


LAUNCHES = ("affine_relu", "affine_relu_backward", "scaled_relu_backward", "skip_connection", "pooled_sum")


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Enable the kernels on DEVICE and count their launches."""
    counts = dict.fromkeys(LAUNCHES, 0)

    def counted(name: str, function: Callable) -> Callable:
        def launch(*arguments, **options):
            counts[name] += 1
            return function(*arguments, **options)

        return launch

    monkeypatch.setattr(dispatch, "_DEVICE", DEVICE)
    if DEVICE == "cpu":
        monkeypatch.setattr(kernels, "_TILE", 2**16)  # The interpreter takes its time for each program.
    for name in LAUNCHES:
        monkeypatch.setattr(kernels, name, counted(name, getattr(kernels, name)))
    dispatch._working_kernels.cache_clear()
    assert dispatch._working_kernels() is kernels
    counts.update(dict.fromkeys(LAUNCHES, 0))
    yield counts
    dispatch._working_kernels.cache_clear()


def _functions() -> dict[str, tuple[Callable[..., Tensor], list[Tensor]]]:
    """Every function with kernels, of float64 tensors."""

    def normal(*shape: int, seed: int = 0) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(DEVICE)

    matrix, gain, shift = normal(5, 4, seed=3), normal(4, seed=4), normal(4, seed=5)
    dtypes = torch.float32, torch.float64
    layers = {dtype: fast.Pointwise(matrix.to(dtype)).requires_grad_(False) for dtype in dtypes}
    outputs = {dtype: [each.to(dtype) for each in (gain, shift, matrix)] for dtype in dtypes}

    def in_type_of(x: Tensor) -> fast.Pointwise:
        return layers[x.dtype]

    def output(x: Tensor) -> Tensor:
        gain, shift, weight = outputs[x.dtype]
        maps = (partial(torch.einsum, equation, weight) for equation in ("oc,nchw->nohw", "oc,nohw->nchw"))
        return fast.map_of_relu(x, gain, shift, *maps)

    def skipping(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        activated, skip = fast.affine_relu_and_skip(x, (gain, shift), 3)
        return activated.square().sum(-1) + skip.square().sum(-1)

    large, small, wide = normal(2, 4, 6, 4), normal(2, 2, 3, 5, seed=1), normal(2, 4, 6, 5, seed=2)
    affine = [normal(2, 1, 1, 4, seed=7), normal(2, 1, 1, 4, seed=8)]
    return {
        "affine_relu": (lambda x, gain, shift: fast.affine_relu(x, (gain, shift)), [large, *affine]),
        "affine_relu_and_skip": (skipping, [large, *affine]),
        "map_of_relu": (output, [large]),
        "product plus skip": (lambda x, skip: in_type_of(x)(x, plus=skip), [large, wide]),
        "product plus upsampled": (lambda x, skip: in_type_of(x)(x, plus=skip, upsample=True), [large, small]),
        "plus_upsampled": (lambda x, skip: fast.plus_upsampled(1 * x, skip), [wide, small]),
    }


@pytest.mark.parametrize("name", _functions())
def test_derivatives_of_all_kinds(name: str, launches: dict[str, int]) -> None:
    """Compare float32 with kernels to float64 without them, which gradcheck validates elsewhere."""
    function, inputs = _functions()[name]

    def all_kinds(points: list[Tensor]) -> list[Tensor]:
        leaves = [each.clone().requires_grad_() for each in points]
        value = function(*leaves)
        first = torch.autograd.grad(value.sin().sum(), leaves)
        kept = torch.autograd.grad(function(*leaves).sin().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(each.cos().sum() for each in kept), leaves)
        tangents = [each.flip(0).contiguous() for each in points]
        primal, along = torch.func.jvp(function, tuple(points), tuple(tangents))
        reverse = torch.func.grad(lambda *each: function(*each).sin().sum())(*points)
        mixed = torch.func.jvp(
            torch.func.grad(lambda *each: function(*each).sin().sum()), tuple(points), tuple(tangents)
        )
        rows = torch.vmap(lambda *each: function(*(one[None] for one in each))[0])(*points)
        return [value, *first, *kept, *second, primal, along, reverse, *mixed, rows]

    found = all_kinds([each.float() for each in inputs])
    assert sum(launches.values()) > 0
    launches.update(dict.fromkeys(launches, 0))
    truth = all_kinds(inputs)
    assert sum(launches.values()) == 0
    assert len(found) == len(truth)
    for ours, right in zip(found, truth, strict=True):
        torch.testing.assert_close(ours.double(), right, rtol=1e-4, atol=1e-4)


FAMILIES: dict[str, tuple[type, Callable[[Path], Path], set[str]]] = {
    "deep": (BigGANDeep, save_tiny_biggan, set(LAUNCHES)),
    "brock": (BrockBigGAN, save_tiny_brock, set(LAUNCHES)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_search_step_with_and_without_kernels(family: str, tmp_path: Path, launches: dict[str, int]) -> None:
    kind, save, used = FAMILIES[family]
    folder = save(tmp_path / "weights")
    double, single = (kind(folder, name="tiny", dtype=dtype).to(DEVICE) for dtype in (torch.float64, torch.float32))
    samples = draw(single, [0], 5, count=1, probes=3, path_size=3.0, seed=1, stream=Stream.SEARCH, step=0)
    Q = torch.linalg.qr(torch.randn(single.z_dim, 5, generator=torch.Generator().manual_seed(0)))[0].T.to(DEVICE)
    assert not any(launches.values())
    found = objective_gradient(HESSIAN_PENALTY, single, Q, samples, 0.1, batch=Batch(4))
    assert {name for name, count in launches.items() if count} == used
    again = objective_gradient(HESSIAN_PENALTY, single, Q, samples, 0.1, batch=Batch(4))
    with fast.plain():
        before = dict(launches)
        plain = objective_gradient(HESSIAN_PENALTY, single, Q, samples, 0.1, batch=Batch(4))
        assert launches == before
    wide = type(samples)(samples.z.double(), samples.y, samples.w.double(), samples.probes.double())
    truth = objective_gradient(HESSIAN_PENALTY, double, Q.double(), wide, 0.1, batch=Batch(4)).gradient
    assert truth.norm() > 0
    assert found.value == again.value
    assert torch.equal(found.gradient, again.gradient)
    error, usual = ((each.gradient.double() - truth).norm() / truth.norm() for each in (found, plain))
    assert error <= 2 * usual + 1e-4


@pytest.mark.usefixtures("launches")
def test_what_kernels_do_not_take() -> None:
    x = torch.ones(1, 2, 2, 3, device=DEVICE)
    assert dispatch.kernels_for(x, x.half()) is kernels
    assert dispatch.kernels_for(x, x.double()) is None
    assert dispatch.kernels_for(x.to("meta")) is None
    seen: list[ModuleType | None] = []
    torch.vmap(lambda each: seen.append(dispatch.kernels_for(each)) or each)(x)
    assert seen == [None]
    with fast.plain():
        assert dispatch.kernels_for(x) is None
    assert dispatch.kernels_for(x) is kernels


@pytest.mark.usefixtures("launches")
def test_a_triton_that_does_not_work_is_said_once_and_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Tensor) -> Tensor:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(kernels, "affine_relu", broken)
    dispatch._working_kernels.cache_clear()
    x = torch.ones(1, 2, 2, 3, device=DEVICE)
    with pytest.warns(UserWarning, match="Failed to find C compiler"):
        assert dispatch.kernels_for(x) is None
    assert torch.equal(fast.affine_relu(x, (x[:, :1, :1], x[:, :1, :1])), x + 1)


@pytest.mark.usefixtures("launches")
def test_a_missing_triton_is_done_without_and_not_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(dispatch.importlib, "import_module", missing)
    dispatch._working_kernels.cache_clear()
    assert dispatch.kernels_for(torch.ones(1, device=DEVICE)) is None
