"""Triton kernels for what lies between convolutions and products: one pass over memory each.

All take and give activations (N, height, width, channels), any sizes, float16, bfloat16 or float32, and compute in
float32. Sums over pixels are sums of partial sums in a fixed order, without atomics, so that results are reproducible.
Offsets are 64-bit, as a batch may have more than 2³¹ elements.

Importing this needs Triton; see `dispatch.kernels_for`. With the environment variable TRITON_INTERPRET=1 at import the
kernels run on the CPU.
"""

# Kernels' parameters have Triton's types, which checkers do not know.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportMissingImports=false, reportGeneralTypeIssues=false

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 4096  # Elements: 32 for each thread of four warps.
_WIDTH = 64  # Channels in a tile of a large image: in 16 bits a row is one 128-byte line.
_FEWEST = 16  # Rows and channels of a tile.
_ENOUGH_PROGRAMS, _MOST_STEPS = 4096, 8


def affine_relu(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """relu(x·gain + shift).

    Args:
        x: (N, height, width, channels).
        gain: (N, 1, 1, channels), (1, 1, 1, channels) or (channels,).
        shift: likewise.
    """
    x = x.contiguous()
    out = torch.empty_like(x)
    if x.numel():
        tiles = _tiles(x)
        with torch.cuda.device_of(x):
            _affine_relu_kernel[(tiles.programs,)](x, out, *_by_image(gain), *_by_image(shift), *tiles.arguments)
    return out


def affine_relu_backward(
    grad: Tensor, skip_grad: Tensor, x: Tensor, gain: Tensor, shift: Tensor, *, sums: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of x, gain and shift for `affine_relu` of x, whose first channels are also a skip connection.

    Args:
        grad: (N, height, width, channels), of relu(x·gain + shift).
        skip_grad: (N, height, width, skipped), of the first `skipped` channels of x, which may be none.
        x: as for `affine_relu`.
        gain: as for `affine_relu`.
        shift: as for `affine_relu`.
        sums: whether gain's and shift's gradients, both (N, 1, 1, channels), are wanted.
    """
    x, grad, skip_grad = x.contiguous(), grad.contiguous(), skip_grad.contiguous()
    grad_x = torch.empty_like(x)
    tiles = _tiles(x)
    tiles_in_image = _blocks(tiles.pixels, tiles.rows)
    steps = triton.next_power_of_2(max(1, min(_MOST_STEPS, tiles_in_image, tiles.programs // _ENOUGH_PROGRAMS)))
    parts = _blocks(tiles_in_image, steps)
    partial = x.new_empty(2, len(x), parts, tiles.channels if sums else 0, dtype=torch.float32)
    if x.numel():
        programs = len(x) * parts * _blocks(tiles.channels, tiles.width)
        with torch.cuda.device_of(x):
            _affine_relu_backward_kernel[(programs,)](
                x,
                grad,
                skip_grad,
                grad_x,
                partial[0],
                partial[1],
                *_by_image(gain),
                *_by_image(shift),
                skip_grad.shape[-1],
                parts,
                *tiles.arguments,
                STEPS=steps,
                HAS_SKIP=skip_grad.shape[-1] > 0,
                HAS_SUMS=sums,
            )
    if not sums:
        return grad_x, None, None
    grad_gain, grad_shift = partial.sum(2)[:, :, None, None].to(gain.dtype)
    return grad_x, grad_gain, grad_shift


def scaled_relu_backward(grad: Tensor, activated: Tensor, gain: Tensor) -> Tensor:
    """Gradient of x for relu(x·gain + shift), from the result.

    Args:
        grad: (N, height, width, channels), of the result.
        activated: the result, of that shape.
        gain: (channels,) or as for `affine_relu`.
    """
    grad, activated = grad.contiguous(), activated.contiguous()
    out = torch.empty_like(activated)
    if out.numel():
        tiles = _tiles(out)
        with torch.cuda.device_of(out):
            _scaled_relu_backward_kernel[(tiles.programs,)](grad, activated, out, *_by_image(gain), *tiles.arguments)
    return out


def skip_connection(skip: Tensor, *, upsample: bool, plus: Tensor | None = None) -> Tensor:
    """A skip connection in memory of its own, with every pixel repeated 2 × 2 if wanted, and added to `plus`.

    Args:
        skip: (N, height, width, channels); may be a slice of wider activations.
        upsample: whether to repeat pixels.
        plus: of the result's shape.
    """
    rows = skip.flatten(0, 2)
    rows = rows if rows.stride(1) == 1 else rows.contiguous()
    count, height, width, channels = skip.shape
    scale = 1 + upsample
    plus = None if plus is None else plus.contiguous()
    out = skip.new_empty(count, scale * height, scale * width, channels, dtype=None if plus is None else plus.dtype)
    if out.numel():
        tiles = _tiles(out)
        with torch.cuda.device_of(out):
            _skip_connection_kernel[(tiles.programs,)](
                rows,
                out if plus is None else plus,
                out,
                rows.stride(0),
                scale * width,
                *tiles.arguments,
                SCALE=scale,
                HAS_PLUS=plus is not None,
            )
    return out


def pooled_sum(x: Tensor) -> Tensor:
    """Sums over 2 × 2 pixels of x (N, 2·height, 2·width, channels): the adjoint of repeating them."""
    x = x.contiguous()
    count, height, width, channels = x.shape
    out = x.new_empty(count, height // 2, width // 2, channels)
    if out.numel():
        tiles = _tiles(out)
        with torch.cuda.device_of(out):
            _pooled_sum_kernel[(tiles.programs,)](x, out, width // 2, *tiles.arguments)
    return out


class _Tiles(NamedTuple):
    """How activations are cut: each program has `rows` pixels of one image and `width` channels."""

    images: int
    pixels: int
    channels: int
    rows: int
    width: int

    @property
    def programs(self) -> int:
        return self.images * _blocks(self.pixels, self.rows) * _blocks(self.channels, self.width)

    @property
    def arguments(self) -> tuple[int, int, int, int]:
        return self.pixels, self.channels, self.rows, self.width


def _tiles(x: Tensor) -> _Tiles:
    images, height, width, channels = x.shape
    pixels, most = height * width, max(_FEWEST, triton.next_power_of_2(channels))
    rows = max(_FEWEST, min(triton.next_power_of_2(pixels), _TILE // min(most, _WIDTH)))
    return _Tiles(images, pixels, channels, rows, min(most, _TILE // rows))


def _blocks(length: int, size: int) -> int:
    """How many blocks of that size cover a length."""
    return -(-length // size)


def _by_image(affine: Tensor) -> tuple[Tensor, int]:
    """Rows (N or 1, channels) and the step from image to image, 0 if all share one."""
    rows = affine.reshape(-1, affine.shape[-1])
    rows = rows if rows.stride(1) == 1 else rows.contiguous()
    return rows, rows.stride(0) if len(rows) > 1 else 0


@triton.jit
def _place(parts, channels, WIDTH: tl.constexpr):
    """Image, part of it, and channels of this program; neighbours in memory are neighbours in time."""
    blocks = tl.cdiv(channels, WIDTH)
    program = tl.program_id(0)
    channel = (program % blocks) * WIDTH + tl.arange(0, WIDTH)
    rest = program // blocks
    return (rest // parts).to(tl.int64), rest % parts, channel


@triton.jit
def _offsets(image, row, channel, pixels, channels):
    """Offsets of some pixels' channels in (N, pixels, channels), and which of them exist."""
    return (
        (image * pixels + row)[:, None] * channels + channel[None, :],
        (row < pixels)[:, None] & (channel < channels)[None, :],
    )


@triton.jit
def _load_row(pointer, image, step, channel, channels):
    return tl.load(pointer + image * step + channel, mask=channel < channels, other=0.0).to(tl.float32)[None, :]


@triton.jit
def _load(pointer, offsets, mask):
    return tl.load(pointer + offsets, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _store(pointer, offsets, values, mask):
    tl.store(pointer + offsets, values.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def _affine_relu_kernel(
    x, out, gain, gain_step, shift, shift_step, pixels, channels, ROWS: tl.constexpr, WIDTH: tl.constexpr
):
    image, part, channel = _place(tl.cdiv(pixels, ROWS), channels, WIDTH)
    offsets, mask = _offsets(image, part * ROWS + tl.arange(0, ROWS), channel, pixels, channels)
    factor = _load_row(gain, image, gain_step, channel, channels)
    summand = _load_row(shift, image, shift_step, channel, channels)
    value = _load(x, offsets, mask) * factor + summand
    # Written so that NaN stays NaN, as in torch's relu.
    _store(out, offsets, tl.where(value <= 0, 0.0, value), mask)


@triton.jit
def _affine_relu_backward_kernel(
    x,
    grad,
    skip_grad,
    grad_x,
    gain_sums,
    shift_sums,
    gain,
    gain_step,
    shift,
    shift_step,
    skipped,
    parts,
    pixels,
    channels,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    STEPS: tl.constexpr,
    HAS_SKIP: tl.constexpr,
    HAS_SUMS: tl.constexpr,
):
    image, part, channel = _place(parts, channels, WIDTH)
    factor = _load_row(gain, image, gain_step, channel, channels)
    summand = _load_row(shift, image, shift_step, channel, channels)
    gain_sum = tl.zeros((WIDTH,), dtype=tl.float32)
    shift_sum = tl.zeros((WIDTH,), dtype=tl.float32)
    for step in range(STEPS):
        row = (part * STEPS + step) * ROWS + tl.arange(0, ROWS)
        offsets, mask = _offsets(image, row, channel, pixels, channels)
        value = _load(x, offsets, mask)
        grad_affine = tl.where(value * factor + summand <= 0, 0.0, _load(grad, offsets, mask))
        if HAS_SUMS:
            gain_sum += tl.sum(grad_affine * value, axis=0)
            shift_sum += tl.sum(grad_affine, axis=0)
        result = grad_affine * factor
        if HAS_SKIP:
            skip_offsets, skip_mask = _offsets(image, row, channel, pixels, skipped)
            result += _load(skip_grad, skip_offsets, skip_mask)
        _store(grad_x, offsets, result, mask)
    if HAS_SUMS:
        place = (image * parts + part) * channels + channel
        tl.store(gain_sums + place, gain_sum, mask=channel < channels)
        tl.store(shift_sums + place, shift_sum, mask=channel < channels)


@triton.jit
def _scaled_relu_backward_kernel(
    grad, activated, out, gain, gain_step, pixels, channels, ROWS: tl.constexpr, WIDTH: tl.constexpr
):
    image, part, channel = _place(tl.cdiv(pixels, ROWS), channels, WIDTH)
    offsets, mask = _offsets(image, part * ROWS + tl.arange(0, ROWS), channel, pixels, channels)
    factor = _load_row(gain, image, gain_step, channel, channels)
    result = tl.where(_load(activated, offsets, mask) <= 0, 0.0, _load(grad, offsets, mask) * factor)
    _store(out, offsets, result, mask)


@triton.jit
def _skip_connection_kernel(
    skip,
    plus,
    out,
    skip_step,
    width,
    pixels,
    channels,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    SCALE: tl.constexpr,
    HAS_PLUS: tl.constexpr,
):
    image, part, channel = _place(tl.cdiv(pixels, ROWS), channels, WIDTH)
    row = part * ROWS + tl.arange(0, ROWS)
    offsets, mask = _offsets(image, row, channel, pixels, channels)
    source = (row // width // SCALE) * (width // SCALE) + row % width // SCALE
    skip_rows = image * (pixels // (SCALE * SCALE)) + source
    value = _load(skip, skip_rows[:, None] * skip_step + channel[None, :], mask)
    if HAS_PLUS:
        value += _load(plus, offsets, mask)
    _store(out, offsets, value, mask)


@triton.jit
def _pooled_sum_kernel(x, out, width, pixels, channels, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    image, part, channel = _place(tl.cdiv(pixels, ROWS), channels, WIDTH)
    row = part * ROWS + tl.arange(0, ROWS)
    offsets, mask = _offsets(image, row, channel, pixels, channels)
    above = image * 4 * pixels + (row // width) * 4 * width + row % width * 2
    corner = above[:, None] * channels + channel[None, :]
    below = corner + 2 * width * channels
    total = _load(x, corner, mask) + _load(x, corner + channels, mask)
    total += _load(x, below, mask) + _load(x, below + channels, mask)
    _store(out, offsets, total, mask)
