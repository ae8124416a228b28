"""Softmax attention of frozen layers: its weights are never held for all positions, nor kept for the backward pass.

On a CPU blocks of positions are computed one after another, and again in the backward pass (Dao et al. 2022). A GPU
takes Triton kernels, torch's fused ones, or larger blocks.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.backends.cuda import SDPAParams, can_use_efficient_attention
from torch.nn.attention import SDPBackend, sdpa_kernel

from biggan_discovery.generators.fast.dispatch import differentiable_backward, kernels_for, on_gpu, ordinary_on_gpu

Backend = Literal["kernels", "fused", "blocks"]

_WEIGHTS_AT_ONCE = 2**17  # Of an image, on a CPU: these and their gradients stay in a core's cache.
_GPU_BYTES_AT_ONCE = 2**28  # Of all images' weights; a backward pass holds three or four such blocks.
_FUSED = SDPBackend.EFFICIENT_ATTENTION  # It alone takes values that are wider than keys.
_FUSED_MULTIPLE = 8  # Of its channels.
_TRIED_POSITIONS = 128  # As many as a kernel's largest block has.

_backend: Backend = "kernels"


@contextmanager
def attention_backend(name: Backend) -> Iterator[None]:
    """How attention is computed on a GPU, for tests and benchmarks.

    Args:
        name: "kernels" for Triton's where they take the inputs, else "fused"; "fused" for torch's memory-efficient
            kernels where they take the inputs, else "blocks"; "blocks" for products of matrices with a softmax between.
    """
    global _backend
    assert name in get_args(Backend)
    before, _backend = _backend, name
    try:
        yield
    finally:
        _backend = before


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(queries · keysᵀ) · values, without the scaling that transformers have.

    Args:
        queries: (N, positions, c).
        keys: (N, others, c).
        values: (N, others, d).

    Returns:
        (N, positions, d).
    """
    return _Attend.apply(queries, keys, values)[0]  # pyright: ignore[reportOptionalSubscript]


class _Attend(torch.autograd.Function):
    """Keeps inputs and result; attention weights are computed again in the backward pass.

    The second result is what Triton's kernels keep besides, empty where they have not computed.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if found := _kernels(queries, keys, values):
            kernels, launches = found
            return kernels.attend(queries, keys, values, launches=launches)
        nothing = queries.new_empty(len(queries), 0)
        if _fusible(queries, keys, values):
            return _fused(queries, keys, values), nothing
        parts = queries.split(_positions_at_once(keys), dim=1)
        return torch.cat([torch.bmm(_attention_weights(part, keys), values) for part in parts], dim=1), nothing

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, *output)
        ctx.save_for_forward(*inputs)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if grad is None:
            return None, None, None
        queries, keys, values, output, log_sums = ctx.saved_tensors
        double_backward = differentiable_backward()
        if double_backward or not ordinary_on_gpu(queries, keys, values, grad):
            return _gradients_by_blocks(queries, keys, values, output, grad, double_backward)
        if log_sums.numel() and (found := _kernels(queries, keys, values)):
            kernels, launches = found
            return kernels.attend_backward(queries, keys, values, output, log_sums, grad, launches=launches)
        if _fusible(queries, keys, values):
            return _fused_gradients(queries, keys, values, grad)
        return _gradients_by_blocks(queries, keys, values, output, grad, double_backward)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        queries, keys, values = ctx.saved_tensors
        along_queries, along_keys, along_values = (
            torch.zeros_like(each) if tangent is None else tangent
            for each, tangent in zip(ctx.saved_tensors, tangents, strict=True)
        )
        results = []
        size = _positions_at_once(keys)
        for queries_part, along_part in zip(queries.split(size, 1), along_queries.split(size, 1), strict=True):
            weights = _attention_weights(queries_part, keys)
            along_logits = torch.bmm(along_part, keys.transpose(1, 2))
            along_logits = torch.baddbmm(along_logits, queries_part, along_keys.transpose(1, 2))
            along_weights = weights * (along_logits - (weights * along_logits).sum(dim=-1, keepdim=True))
            results.append(torch.baddbmm(torch.bmm(weights, along_values), along_weights, values))
        return torch.cat(results, dim=1), None


def _gradients_by_blocks(
    queries: Tensor, keys: Tensor, values: Tensor, output: Tensor, grad: Tensor, double_backward: bool
) -> tuple[Tensor, Tensor, Tensor]:
    inner = (grad * output).sum(dim=-1, keepdim=True)
    grad_queries, grad_keys, grad_values = [], None, None
    size = _positions_at_once(keys)
    parts = zip(*(each.split(size, dim=1) for each in (queries, grad, inner)), strict=True)
    for queries_part, grad_part, inner_part in parts:
        weights = _attention_weights(queries_part, keys)
        grad_weights = torch.bmm(grad_part, values.transpose(1, 2))
        if double_backward:
            grad_logits = weights * (grad_weights - inner_part)
        else:
            grad_logits = grad_weights.sub_(inner_part).mul_(weights)
        grad_queries.append(torch.bmm(grad_logits, keys))
        grad_keys = _plus_product(grad_keys, grad_logits.transpose(1, 2), queries_part, double_backward)
        grad_values = _plus_product(grad_values, weights.transpose(1, 2), grad_part, double_backward)
    assert grad_keys is not None
    assert grad_values is not None
    return torch.cat(grad_queries, dim=1), grad_keys, grad_values


def _plus_product(total: Tensor | None, a: Tensor, b: Tensor, double_backward: bool) -> Tensor:
    """total + a·b, in the memory of total unless it is differentiated in turn."""
    if total is None:
        return torch.bmm(a, b)
    return torch.baddbmm(total, a, b) if double_backward else total.baddbmm_(a, b)


def _positions_at_once(keys: Tensor) -> int:
    """On a CPU by the number of keys alone, so that the bits of an image do not depend on the others of a batch."""
    if on_gpu(keys):
        return max(1, _GPU_BYTES_AT_ONCE // max(1, keys.shape[0] * keys.shape[1] * keys.element_size()))
    return max(1, _WEIGHTS_AT_ONCE // keys.shape[1])


def _attention_weights(queries: Tensor, keys: Tensor) -> Tensor:
    return torch.bmm(queries, keys.transpose(1, 2)).softmax(dim=-1)


def _kernels(queries: Tensor, keys: Tensor, values: Tensor) -> tuple[ModuleType, Any] | None:
    """Triton's kernels of attention and how to cut them, where they are wanted and take these tensors."""
    if _backend != "kernels" or not queries.numel() or not kernels_for(queries, keys, values):
        return None
    if not queries.dtype == keys.dtype == values.dtype:
        return None
    kernels = importlib.import_module("biggan_discovery.generators.fast.attention_kernels")
    if not kernels.takes(values):
        return None
    launches = _working_launches(kernels, queries.device, queries.dtype, queries.shape[-1], values.shape[-1])
    return launches and (kernels, launches)


@functools.cache
def _working_launches(kernels: ModuleType, device: torch.device, dtype: torch.dtype, width: int, depth: int) -> Any:
    """The largest blocks for which the GPU has the memory; None if it has it for none."""
    queries, keys = (torch.zeros(1, _TRIED_POSITIONS, width, dtype=dtype, device=device) for _ in range(2))
    values, error = keys.new_zeros(1, _TRIED_POSITIONS, depth), None
    for launches in (kernels.LARGE, kernels.SMALL):
        try:
            output, log_sums = kernels.attend(queries, keys, values, launches=launches)
            kernels.attend_backward(queries, keys, values, output, log_sums, output, launches=launches)
        except Exception as failure:  # Triton's own exceptions, RuntimeError of drivers
            error = failure
            continue
        return launches
    warnings.warn(f"Triton's attention does not work here, so torch's is used: {error}", stacklevel=2)
    return None


def _fusible(queries: Tensor, keys: Tensor, values: Tensor) -> bool:
    """Whether torch's memory-efficient kernels are wanted and take these tensors."""
    tensors = queries, keys, values
    if _backend == "blocks" or not ordinary_on_gpu(*tensors) or not queries.numel():
        return False
    if any(each.shape[-1] % _FUSED_MULTIPLE for each in tensors):
        return False
    return can_use_efficient_attention(SDPAParams(*_with_heads(*tensors), None, 0.0, False, False))


def _with_heads(queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return queries.unsqueeze(1), keys.unsqueeze(1), values.unsqueeze(1)


def _fused(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    with sdpa_kernel(_FUSED):
        return F.scaled_dot_product_attention(*_with_heads(queries, keys, values), scale=1.0).squeeze(1)


def _fused_gradients(queries: Tensor, keys: Tensor, values: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    leaves = [each.detach().requires_grad_() for each in (queries, keys, values)]
    with torch.enable_grad():
        output = _fused(*leaves)
    with _deterministic():
        return torch.autograd.grad(output, leaves, grad)  # pyright: ignore[reportReturnType]


@contextmanager
def _deterministic() -> Iterator[None]:
    """The fused backward kernel adds up in a fixed order only if it is told."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
