"""The Triton kernels of attention against float64: on a GPU if there is one, else in Triton's interpreter."""

from __future__ import annotations

import math
from unittest.mock import patch

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from biggan_discovery.generators import fast
from biggan_discovery.generators.fast import attention, dispatch
from biggan_discovery.numerics.arithmetic import arithmetic

pytest.importorskip("triton")
from biggan_discovery.generators.fast import attention_kernels as kernels

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# The interpreter multiplies bfloat16 as if they were integers.
DTYPES = [torch.float16, torch.float32] + [torch.bfloat16] * (DEVICE == "cuda")
# Factors of float32 have TF32's 10 bits on a GPU.
EPS = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7, torch.float32: 2.0**-10 if DEVICE == "cuda" else 2.0**-20}


def _draw(*shape: int, dtype: torch.dtype, seed: int, size: float = 1.0) -> Tensor:
    return (size * torch.randn(shape, generator=torch.Generator().manual_seed(seed))).to(DEVICE, dtype)


def _truth(inputs: list[Tensor], grad: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Result, binary logarithms of the denominators, gradients; and what an entry's roundings are relative to."""
    queries, keys, values = (each.double() for each in inputs)
    grad = grad.double()
    logits = queries @ keys.mT
    weights = logits.softmax(-1)
    result = weights @ values
    of_weights, inner = grad @ values.mT, (grad * result).sum(-1, keepdim=True)
    of_logits = weights * (of_weights - inner)
    # What cancels: the result is rounded before its inner product with the gradient.
    size = weights * (of_weights.abs() + (grad.abs() * result.abs()).sum(-1, keepdim=True))
    return [
        (result, weights @ values.abs()),
        (logits.logsumexp(-1) / math.log(2), 1 + logits.abs().amax(-1)),
        (of_logits @ keys, size @ keys.abs()),
        (of_logits.mT @ queries, size.mT @ queries.abs()),
        (weights.mT @ grad, weights.mT @ grad.abs()),
    ]


# NumPy's, in the interpreter: rows of keys that do not exist may overflow, and are not stored.
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@settings(deadline=None, max_examples=20)
@example(1, 1, 1, 8, 16, torch.float16, kernels.LARGE, 3.0, 3)
@given(
    st.integers(1, 3),
    st.sampled_from([1, 2, 15, 16, 17, 63, 130]),
    st.sampled_from([1, 3, 16, 31, 65, 140]),
    st.sampled_from([1, 3, 8, 16, 33]),
    st.sampled_from([1, 5, 16, 64, 70, 130]),
    st.sampled_from(DTYPES),
    st.sampled_from([kernels.LARGE, kernels.SMALL]),
    st.sampled_from([0.3, 3.0]),
    st.integers(0, 2**20),
)
def test_result_and_gradients(
    count: int,
    positions: int,
    others: int,
    width: int,
    depth: int,
    dtype: torch.dtype,
    launches: kernels.Launches,
    size: float,
    seed: int,
) -> None:
    """Keys and values as slices of one tensor, as the layer gives them; flat and peaked softmaxes."""
    both = _draw(count, others, width + depth, dtype=dtype, seed=seed)
    keys, values = both.split([width, depth], -1)
    queries = _draw(count, positions, width, dtype=dtype, seed=seed + 1, size=size)
    grad = _draw(count, positions, depth, dtype=dtype, seed=seed + 2)
    out, log_sums = kernels.attend(queries, keys, values, launches=launches)
    gradients = kernels.attend_backward(queries, keys, values, out, log_sums, grad, launches=launches)
    again = kernels.attend_backward(queries, keys, values, out, log_sums, grad, launches=launches)
    for one, other in zip(gradients, again, strict=True):
        assert torch.equal(one, other)
    # Rounding the factors of logits moves weights by so much.
    reach = float(queries.double().norm(dim=-1).max() * keys.double().norm(dim=-1).max())
    unit = 4 * EPS[dtype] * (1 + reach * (dtype == torch.float32))
    for found, (truth, size) in zip((out, log_sums, *gradients), _truth([queries, keys, values], grad), strict=True):
        assert found.shape == truth.shape
        assert found.dtype == (torch.float32 if found is log_sums else dtype)
        # The smallest numbers of float16 are 2⁻²⁴ apart.
        assert bool(((found.double() - truth).abs() <= unit * size + 2.0**-20 * (positions + others)).all())


def test_a_peaked_softmax_picks_one_value() -> None:
    """Logits of ±2000, whose exponentials no type holds."""
    queries = 50 * torch.eye(16, dtype=torch.float16, device=DEVICE)[None]
    keys = 40 * torch.eye(16, dtype=torch.float16, device=DEVICE)[None].flip(1)
    values = _draw(1, 16, 8, dtype=torch.float16, seed=0)
    out, log_sums = kernels.attend(queries, keys, values)
    assert torch.equal(out, values.flip(1))
    torch.testing.assert_close(log_sums, torch.full_like(log_sums, 2000 / math.log(2)))
    grad = _draw(1, 16, 8, dtype=torch.float16, seed=1)
    of_queries, of_keys, of_values = kernels.attend_backward(queries, keys, values, out, log_sums, grad)
    assert torch.equal(of_values, grad.flip(1))
    assert float(of_queries.abs().max()) < 1
    assert float(of_keys.abs().max()) < 1


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, in the interpreter
@pytest.mark.parametrize("place", range(4))
def test_what_is_not_finite_is_handed_on(place: int) -> None:
    """A search notices an overflow by what it leaves."""
    tensors = [_draw(1, 20, 8, dtype=torch.float16, seed=seed) for seed in range(4)]
    tensors[place][0, 3, 2] = torch.inf
    queries, keys, values, grad = tensors
    out, log_sums = kernels.attend(queries, keys, values)
    gradients = kernels.attend_backward(queries, keys, values, out, log_sums, grad)
    assert not all(bool(each.isfinite().all()) for each in gradients)


@pytest.mark.parametrize("shape", [(0, 4, 4), (2, 0, 4)])
def test_nothing_to_do(shape: tuple[int, int, int]) -> None:
    queries, keys = torch.zeros(shape, device=DEVICE), torch.ones(shape[0], 3, 4, device=DEVICE)
    out, log_sums = kernels.attend(queries, keys, keys)
    assert out.shape == shape
    for gradient in kernels.attend_backward(queries, keys, keys, out, log_sums, out)[1:]:
        assert torch.equal(gradient, torch.zeros_like(keys))


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_DEVICE", DEVICE)
    dispatch._working_kernels.cache_clear()
    attention._working_launches.cache_clear()


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("precision", ["float16", "tf32", "float32"])
def test_used_where_they_are_the_fastest(precision: str) -> None:
    """Derivatives of all kinds, which agree with float64's; and the kernels are asked for the first alone."""
    dtype = torch.float16 if precision == "float16" else torch.float32
    inputs = [0.5 * _draw(2, rows, size, dtype=dtype, seed=rows) for rows, size in ((9, 8), (7, 8), (7, 16))]
    with arithmetic(precision), patch.object(kernels, "attend_backward", wraps=kernels.attend_backward) as backward:
        leaves = [each.clone().requires_grad_() for each in inputs]
        found = torch.autograd.grad(fast.attend(*leaves).sin().sum(), leaves)
        # Once more to try whether they work at all.
        assert backward.call_count == (0 if precision == "float32" else 2)
        first = torch.autograd.grad(fast.attend(*leaves).sin().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(each.cos().sum() for each in first), leaves)
        along = torch.func.jvp(fast.attend, tuple(inputs), tuple(inputs))[1]
        rows = torch.vmap(fast.attend)(*(each[:, None] for each in inputs))[:, 0]
        with fast.attention_backend("fused"):
            torch.autograd.grad(fast.attend(*leaves).sin().sum(), leaves)
        assert backward.call_count <= 3

    def plain(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return (queries @ keys.mT).softmax(-1) @ values

    wide = [each.double().requires_grad_() for each in inputs]
    expected = torch.autograd.grad(plain(*wide).sin().sum(), wide, create_graph=True)
    expected_second = torch.autograd.grad(sum(each.cos().sum() for each in expected), wide)
    expected_along = torch.func.jvp(plain, tuple(each.detach() for each in wide), tuple(each.detach() for each in wide))
    pairs = [*zip((*found, *first, *second), (*expected, *expected, *expected_second), strict=True)]
    pairs += [(along, expected_along[1]), (rows, plain(*wide))]
    tolerance = 2.0**-7 if precision == "float16" else 2.0**-9 if precision == "tf32" else 1e-4
    for ours, right in pairs:
        assert ours.dtype == dtype
        torch.testing.assert_close(
            ours.double(), right.detach(), rtol=0, atol=tolerance * max(1, float(right.detach().abs().max()))
        )


@pytest.mark.usefixtures("as_on_a_gpu")
def test_where_large_blocks_do_not_fit_smaller_ones_are_taken_and_else_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [_draw(1, 5, 8, dtype=torch.float16, seed=seed) for seed in range(3)]
    expected = fast.attend(*inputs)
    attend, fitting = kernels.attend, [kernels.SMALL]

    def short_of_memory(*tensors: Tensor, launches: kernels.Launches) -> tuple[Tensor, Tensor]:
        if launches not in fitting:
            raise RuntimeError("out of resource: shared memory")
        return attend(*tensors, launches=launches)

    monkeypatch.setattr(kernels, "attend", short_of_memory)
    attention._working_launches.cache_clear()
    found = attention._kernels(*inputs)
    assert found is not None
    assert found[1] == kernels.SMALL
    torch.testing.assert_close(fast.attend(*inputs), expected, rtol=0, atol=4e-3)
    fitting.clear()
    attention._working_launches.cache_clear()
    with pytest.warns(UserWarning, match="shared memory"):
        torch.testing.assert_close(fast.attend(*inputs), expected, rtol=0, atol=4e-3)
    attention._working_launches.cache_clear()
