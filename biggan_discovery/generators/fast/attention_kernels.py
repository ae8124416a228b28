"""Triton kernels of softmax attention without scaling, after FlashAttention-2 (Dao 2023).

Attention weights live in registers only. The forward pass keeps the binary logarithm of each softmax's denominator,
so that the backward pass computes weights again without another forward pass. One kernel goes over keys for each block
of queries, another over queries for each block of keys; neither adds up in memory, so results are reproducible.

Products of 16-bit factors are added up in float32, which also holds logits and statistics. Factors of float32 are
rounded to TF32. Importing this needs Triton; see `dispatch.kernels_for`.
"""

# Kernels' parameters have Triton's types, which checkers do not know.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportMissingImports=false, reportGeneralTypeIssues=false

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

_LOG2E = tl.constexpr(1.4426950408889634)
_FEWEST = 16  # Rows and columns of a product in `tl.dot`.
_FULL_BLOCKS_BYTES = 256  # Values of a position up to which a block has its full size.
_WIDEST_BYTES = 1024


class Launch(NamedTuple):
    """How a kernel is cut.

    Attributes:
        queries: in a block.
        keys: in a block.
        warps: that share a block.
        stages: of the loop that are loaded ahead.
    """

    queries: int
    keys: int
    warps: int
    stages: int


class Launches(NamedTuple):
    """Those of the three kernels, for values of up to 256 bytes a position; wider ones get smaller blocks."""

    forward: Launch
    grad_queries: Launch
    grad_keys: Launch


LARGE = Launches(Launch(64, 64, 4, 3), Launch(128, 64, 8, 3), Launch(64, 64, 4, 2))
"""For GPUs of data centres, whose shared memory has 160 KiB and more."""
SMALL = Launches(Launch(64, 64, 4, 2), Launch(64, 32, 4, 1), Launch(32, 64, 4, 1))
"""For all others."""


def takes(values: Tensor) -> bool:
    """Whether these kernels are the fastest for values (N, others, d) of this type and width.

    Products of float32 without TF32, and all products on GPUs before Ampere, run outside of the matrix units, where
    torch's fused kernels are as fast.
    """
    if values.is_cuda and torch.cuda.get_device_capability(values.device) < (8, 0):
        return False
    if values.dtype == torch.float32 and torch.backends.cuda.matmul.fp32_precision != "tf32":  # pyright: ignore[reportAttributeAccessIssue]
        return False
    return values.shape[-1] * values.element_size() <= _WIDEST_BYTES


def attend(queries: Tensor, keys: Tensor, values: Tensor, *, launches: Launches = LARGE) -> tuple[Tensor, Tensor]:
    """softmax(queries · keysᵀ) · values, and the binary logarithm of each softmax's denominator.

    Args:
        queries: (N, positions, c).
        keys: (N, others, c).
        values: (N, others, d), of the same type.
        launches: how the kernels are cut.

    Returns:
        (N, positions, d), and (N, positions) float32.
    """
    queries, keys, values = (_rows(each) for each in (queries, keys, values))
    out = values.new_empty(*queries.shape[:2], values.shape[2])
    log_sums = torch.empty(queries.shape[:2], dtype=torch.float32, device=queries.device)
    launch = _fitted(launches.forward, queries, keys, values)
    if log_sums.numel():
        blocks = triton.cdiv(queries.shape[1], launch.queries)
        with torch.cuda.device_of(queries):
            _forward_kernel[(len(queries) * blocks,)](
                *(queries, keys, values, out, log_sums),
                *(queries.stride(0), queries.stride(1), keys.stride(0), keys.stride(1)),
                *(values.stride(0), values.stride(1)),
                *_sizes(queries, keys, values),
                **_options(launch, queries, values),
                BLOCKS=triton.cdiv(keys.shape[1], launch.keys),
            )
    return out, log_sums


def attend_backward(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    out: Tensor,
    log_sums: Tensor,
    grad: Tensor,
    *,
    launches: Launches = LARGE,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values.

    Args:
        queries: as for `attend`.
        keys: as for `attend`.
        values: as for `attend`.
        out: what `attend` gave.
        log_sums: likewise.
        grad: of `out`.
        launches: as for `attend`.
    """
    queries, keys, values, grad, out = (_rows(each) for each in (queries, keys, values, grad, out.contiguous()))
    grads = [torch.empty(each.shape, dtype=each.dtype, device=each.device) for each in (queries, keys, values)]
    if not log_sums.numel():
        return grads[0], grads[1].zero_(), grads[2].zero_()
    inner = torch.empty_like(log_sums)
    strides = [stride for each in (queries, keys, values, grad) for stride in (each.stride(0), each.stride(1))]
    sizes = _sizes(queries, keys, values)
    of_queries, of_keys = (_fitted(each, queries, keys, values) for each in launches[1:])
    with torch.cuda.device_of(queries):
        _grad_queries_kernel[(len(queries) * triton.cdiv(queries.shape[1], of_queries.queries),)](
            *(queries, keys, values, grad, out, log_sums, inner, grads[0]),
            *strides,
            *sizes,
            **_options(of_queries, queries, values),
            BLOCKS=triton.cdiv(keys.shape[1], of_queries.keys),
        )
        _grad_keys_kernel[(len(keys) * triton.cdiv(keys.shape[1], of_keys.keys),)](
            *(queries, keys, values, grad, log_sums, inner, grads[1], grads[2]),
            *strides,
            *sizes,
            **_options(of_keys, queries, values),
            BLOCKS=triton.cdiv(queries.shape[1], of_keys.queries),
        )
    return grads[0], grads[1], grads[2]


def _rows(x: Tensor) -> Tensor:
    """With the channels of a position side by side; positions may be further apart, as in slices."""
    return x if x.stride(2) == 1 else x.contiguous()


def _sizes(queries: Tensor, keys: Tensor, values: Tensor) -> tuple[int, int, int, int]:
    return queries.shape[1], keys.shape[1], queries.shape[2], values.shape[2]


def _fitted(launch: Launch, queries: Tensor, keys: Tensor, values: Tensor) -> Launch:
    """With no larger blocks than there are positions, and smaller ones for wide values."""
    halvings = (triton.cdiv(values.shape[2] * values.element_size(), _FULL_BLOCKS_BYTES) - 1).bit_length()
    limits = [triton.next_power_of_2(each.shape[1]) for each in (queries, keys)]
    sizes = [max(_FEWEST, min(size >> halvings, limit)) for size, limit in zip(launch[:2], limits, strict=True)]
    return Launch(sizes[0], sizes[1], launch.warps, launch.stages)


def _options(launch: Launch, queries: Tensor, values: Tensor) -> dict[str, Any]:
    width, depth = (max(_FEWEST, triton.next_power_of_2(each.shape[2])) for each in (queries, values))
    return {
        "QUERIES": launch.queries,
        "KEYS": launch.keys,
        "WIDTH": width,
        "DEPTH": depth,
        "num_warps": launch.warps,
        "num_stages": launch.stages,
    }


@triton.jit
def _load(pointer, image_stride, row_stride, image, row, rows, channels, WIDTH: tl.constexpr):
    """Rows (rows, WIDTH) of an image, 0 where there are none."""
    channel = tl.arange(0, WIDTH)
    offsets = image * image_stride + row.to(tl.int64)[:, None] * row_stride + channel[None, :]
    return tl.load(pointer + offsets, mask=(row < rows)[:, None] & (channel < channels)[None, :], other=0.0)


@triton.jit
def _store(pointer, values, image, row, rows, channels, WIDTH: tl.constexpr):
    """Rows of an image in (N, rows, channels)."""
    channel = tl.arange(0, WIDTH)
    offsets = (image * rows + row)[:, None] * channels + channel[None, :]
    mask = (row < rows)[:, None] & (channel < channels)[None, :]
    tl.store(pointer + offsets, values.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def _place(positions, SIZE: tl.constexpr):
    """Image and positions of this program."""
    blocks = tl.cdiv(positions, SIZE)
    program = tl.program_id(0)
    return (program // blocks).to(tl.int64), (program % blocks) * SIZE + tl.arange(0, SIZE)


@triton.jit
def _forward_kernel(
    queries,
    keys,
    values,
    out,
    log_sums,
    queries_image,
    queries_row,
    keys_image,
    keys_row,
    values_image,
    values_row,
    positions,
    others,
    width,
    depth,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    DEPTH: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    image, position = _place(positions, QUERIES)
    q = _load(queries, queries_image, queries_row, image, position, positions, width, WIDTH)
    largest = tl.full((QUERIES,), -float("inf"), dtype=tl.float32)
    total = tl.zeros((QUERIES,), dtype=tl.float32)
    result = tl.zeros((QUERIES, DEPTH), dtype=tl.float32)
    for block in range(BLOCKS):
        other = block * KEYS + tl.arange(0, KEYS)
        k = _load(keys, keys_image, keys_row, image, other, others, width, WIDTH)
        v = _load(values, values_image, values_row, image, other, others, depth, DEPTH)
        logits = tl.dot(q, tl.trans(k), input_precision="tf32") * _LOG2E
        logits = tl.where((other < others)[None, :], logits, -float("inf"))
        before = largest
        largest = tl.maximum(before, tl.max(logits, axis=1))
        weights = tl.exp2(logits - largest[:, None])
        shrunk = tl.exp2(before - largest)
        total = total * shrunk + tl.sum(weights, axis=1)
        result = tl.dot(weights.to(v.dtype), v, result * shrunk[:, None], input_precision="tf32")
    _store(out, result / total[:, None], image, position, positions, depth, DEPTH)
    tl.store(log_sums + image * positions + position, largest + tl.log2(total), mask=position < positions)


@triton.jit
def _grad_queries_kernel(
    queries,
    keys,
    values,
    grad,
    out,
    log_sums,
    inner,
    grad_queries,
    queries_image,
    queries_row,
    keys_image,
    keys_row,
    values_image,
    values_row,
    grad_image,
    grad_row,
    positions,
    others,
    width,
    depth,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    DEPTH: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    image, position = _place(positions, QUERIES)
    exists = position < positions
    q = _load(queries, queries_image, queries_row, image, position, positions, width, WIDTH)
    g = _load(grad, grad_image, grad_row, image, position, positions, depth, DEPTH)
    result = _load(out, positions * depth, depth, image, position, positions, depth, DEPTH)
    products = tl.sum(g.to(tl.float32) * result.to(tl.float32), axis=1)
    tl.store(inner + image * positions + position, products, mask=exists)
    log_sum = tl.load(log_sums + image * positions + position, mask=exists, other=0.0)
    total = tl.zeros((QUERIES, WIDTH), dtype=tl.float32)
    for block in range(BLOCKS):
        other = block * KEYS + tl.arange(0, KEYS)
        k = _load(keys, keys_image, keys_row, image, other, others, width, WIDTH)
        v = _load(values, values_image, values_row, image, other, others, depth, DEPTH)
        # Keys that do not exist are 0 and add nothing, unless their weights were infinite.
        logits = tl.where(
            (other < others)[None, :], tl.dot(q, tl.trans(k), input_precision="tf32") * _LOG2E, -float("inf")
        )
        weights = tl.exp2(logits - log_sum[:, None])
        grad_logits = weights * (tl.dot(g, tl.trans(v), input_precision="tf32") - products[:, None])
        total = tl.dot(grad_logits.to(k.dtype), k, total, input_precision="tf32")
    _store(grad_queries, total, image, position, positions, width, WIDTH)


@triton.jit
def _grad_keys_kernel(
    queries,
    keys,
    values,
    grad,
    log_sums,
    inner,
    grad_keys,
    grad_values,
    queries_image,
    queries_row,
    keys_image,
    keys_row,
    values_image,
    values_row,
    grad_image,
    grad_row,
    positions,
    others,
    width,
    depth,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    DEPTH: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    image, other = _place(others, KEYS)
    k = _load(keys, keys_image, keys_row, image, other, others, width, WIDTH)
    v = _load(values, values_image, values_row, image, other, others, depth, DEPTH)
    of_keys = tl.zeros((KEYS, WIDTH), dtype=tl.float32)
    of_values = tl.zeros((KEYS, DEPTH), dtype=tl.float32)
    for block in range(BLOCKS):
        position = block * QUERIES + tl.arange(0, QUERIES)
        exists = position < positions
        q = _load(queries, queries_image, queries_row, image, position, positions, width, WIDTH)
        g = _load(grad, grad_image, grad_row, image, position, positions, depth, DEPTH)
        # A denominator that is infinite gives positions that do not exist no weight.
        log_sum = tl.load(log_sums + image * positions + position, mask=exists, other=float("inf"))
        products = tl.load(inner + image * positions + position, mask=exists, other=0.0)
        weights = tl.exp2(tl.dot(k, tl.trans(q), input_precision="tf32") * _LOG2E - log_sum[None, :])
        of_values = tl.dot(weights.to(g.dtype), g, of_values, input_precision="tf32")
        grad_logits = weights * (tl.dot(v, tl.trans(g), input_precision="tf32") - products[None, :])
        of_keys = tl.dot(grad_logits.to(q.dtype), q, of_keys, input_precision="tf32")
    _store(grad_keys, of_keys, image, other, others, width, WIDTH)
    _store(grad_values, of_values, image, other, others, depth, DEPTH)
