"""Operations of frozen layers with derivatives of their own, which keep and touch less memory than torch's.

Derivatives of all orders, forward mode and `torch.vmap` work. On a GPU a first derivative in reverse mode, which is all
that a search takes, runs through the Triton kernels; whatever else is differentiated runs through torch's operations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from biggan_discovery.generators.fast.axes import channels_first, channels_last
from biggan_discovery.generators.fast.dispatch import differentiable_backward, kernels_for, on_gpu

Affine = tuple[Tensor, Tensor]
"""Gain and shift, each (N, 1, 1, channels)."""

Gradients = tuple[Tensor, Tensor | None, Tensor | None]
"""Of x, gain and shift."""

Map = Callable[[Tensor], Tensor]


def affine_relu(x: Tensor, affine: Affine) -> Tensor:
    """relu(x·gain + shift) for x (N, height, width, channels)."""
    return affine_relu_and_skip(x, affine, 0)[0]


def affine_relu_and_skip(x: Tensor, affine: Affine, channels: int) -> tuple[Tensor, Tensor]:
    """`affine_relu`, and the first channels of x as they are, for a skip connection.

    The gradient of the skip connection is added in the pass that computes the other.
    """
    return _AffineRelu.apply(x, *affine, channels)  # pyright: ignore[reportReturnType]


class _AffineRelu(torch.autograd.Function):
    """Keeps x alone for the backward pass, where torch would keep the result too and multiply x by 1 on the way."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, gain: Tensor, shift: Tensor, channels: int) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _activated(x, gain, shift), x[..., :channels]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.channels = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, skip_grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        sums = any(ctx.needs_input_grad[1:3])
        tensors = grad, skip_grad, *ctx.saved_tensors
        gradients = _affine_relu_gradients_in_place
        if differentiable_backward():
            gradients = _affine_relu_gradients
        elif kernels := kernels_for(*tensors):
            gradients = kernels.affine_relu_backward
        grad_x, grad_gain, grad_shift = gradients(*tensors, sums=sums)
        return grad_x, grad_gain, grad_shift, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, gain, shift = ctx.saved_tensors
        gain, shift = gain.to(x.dtype), shift.to(x.dtype)
        # Each of the primal's type: gains and shifts may be wider than x.
        along_x, along_gain, along_shift = (0 if tangent is None else tangent.to(x.dtype) for tangent in tangents[:3])
        along = _where_positive(along_x * gain + x * along_gain + along_shift, torch.addcmul(shift, x, gain))
        along_x = torch.zeros_like(x) if tangents[0] is None else tangents[0]
        return along, along_x[..., : ctx.channels]


def _activated(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    if kernels := kernels_for(x, gain, shift):
        return kernels.affine_relu(x, gain, shift)
    return torch.addcmul(shift.to(x.dtype), x, gain.to(x.dtype)).relu_()


def _affine_relu_gradients(
    grad: Tensor, skip_grad: Tensor, x: Tensor, gain: Tensor, shift: Tensor, *, sums: bool
) -> Gradients:
    factor = gain.to(x.dtype)
    grad = _where_positive(grad, torch.addcmul(shift.to(x.dtype), x, factor))
    grad_x = grad * factor + F.pad(skip_grad, (0, x.shape[-1] - skip_grad.shape[-1]))
    grad_gain, grad_shift = _sums_over_pixels(grad, x, gain) if sums else (None, None)
    return grad_x, grad_gain, grad_shift


def _affine_relu_gradients_in_place(
    grad: Tensor, skip_grad: Tensor, x: Tensor, gain: Tensor, shift: Tensor, *, sums: bool
) -> Gradients:
    """As `_affine_relu_gradients`, where nobody differentiates them and the largest tensors can be written again."""
    factor = gain.to(x.dtype)
    result = torch.addcmul(shift.to(x.dtype), x, factor)
    grad_x = torch.ops.aten.threshold_backward.grad_input(grad, result, 0, grad_input=result)
    grad_gain, grad_shift = _sums_over_pixels(grad_x, x, gain) if sums else (None, None)
    sizes = skip_grad.shape[-1], x.shape[-1] - skip_grad.shape[-1]
    (with_skip, alone), (factors, others) = grad_x.split(sizes, -1), factor.split(sizes, -1)
    torch.addcmul(skip_grad, with_skip, factors, out=with_skip)
    alone.mul_(others)
    return grad_x, grad_gain, grad_shift


def _sums_over_pixels(grad: Tensor, x: Tensor, gain: Tensor) -> Affine:
    grad_gain, grad_shift = (each.sum((1, 2), keepdim=True, dtype=gain.dtype) for each in (grad * x, grad))
    return grad_gain, grad_shift


def _where_positive(values: Tensor, x: Tensor) -> Tensor:
    """The values where x > 0, else 0."""
    return torch.ops.aten.threshold_backward(values, x, 0)


def apply_linear(x: Tensor, forward_map: Map, adjoint: Map) -> Tensor:
    """A linear map of x, by the map itself and its adjoint."""
    return cast(Tensor, _LinearMap.apply(x, forward_map, adjoint))


class _LinearMap(torch.autograd.Function):
    """Keeps nothing, where torch's convolution would keep its input."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, forward_map: Map, adjoint: Map) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return forward_map(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Map, Map], output: Tensor) -> None:
        _, ctx.forward_map, ctx.adjoint = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return apply_linear(grad, ctx.adjoint, ctx.forward_map), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return ctx.forward_map(tangent)


def linear_by_row(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (N, inputs) times weight (outputs, inputs) transposed plus bias (outputs,): (N, outputs).

    On a CPU every row is multiplied by itself, so that its bits do not depend on its position in the batch: one product
    for all rows rounds the last rows of a block differently. The adjoint, which no image depends on, is one product, as
    it reads the weights once. On a GPU, where convolutions do not keep that promise either, all rows are one product.
    """
    if on_gpu(x):
        return F.linear(x, weight, bias)
    return apply_linear(x, partial(_rows_times, weight=weight.T), partial(torch.matmul, other=weight)) + bias


def _rows_times(x: Tensor, weight: Tensor) -> Tensor:
    return torch.bmm(x[:, None], weight.expand(len(x), -1, -1))[:, 0]


def map_of_relu(x: Tensor, gain: Tensor, shift: Tensor, forward_map: Map, adjoint: Map) -> Tensor:
    """A linear map of relu(x·gain + shift) where gain and shift (channels,) never change, by the map and its adjoint.

    For x (N, height, width, channels); the maps and the result have torch's order of axes.
    """
    return _MapOfRelu.apply(x, gain, shift, forward_map, adjoint)[0]  # pyright: ignore[reportOptionalSubscript]


class _MapOfRelu(torch.autograd.Function):
    """Keeps the map's input, its second result, instead of x; nothing of x's size lives besides it and a gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, gain: Tensor, shift: Tensor, forward_map: Map, _: Map) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        activated = _activated(x, gain, shift)
        return forward_map(channels_first(activated)), activated

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Map, Map], output: tuple[Tensor, Tensor]) -> None:
        _, gain, _, ctx.forward_map, ctx.adjoint = inputs
        ctx.save_for_backward(gain, output[1])
        ctx.save_for_forward(gain, output[1])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, None, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if grad is None:
            return None, None, None, None, None
        gain, activated = ctx.saved_tensors
        if differentiable_backward():
            grad_activated = channels_last(apply_linear(grad, ctx.adjoint, ctx.forward_map))
            grad_x = _where_positive(grad_activated, activated) * gain.to(activated.dtype)
            return grad_x, None, None, None, None
        grad_activated = channels_last(ctx.adjoint(grad))
        if kernels := kernels_for(grad_activated, activated, gain):
            grad_x = kernels.scaled_relu_backward(grad_activated, activated, gain)
        else:
            threshold_backward = torch.ops.aten.threshold_backward.grad_input
            grad_x = threshold_backward(grad_activated, activated, 0, grad_input=grad_activated)
            grad_x = grad_x.mul_(gain.to(activated.dtype))
        return grad_x, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, along: Tensor, *_: None) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        gain, activated = ctx.saved_tensors
        return ctx.forward_map(channels_first(_where_positive(along * gain.to(activated.dtype), activated))), None


def upsampled(x: Tensor) -> Tensor:
    """Every pixel of x (N, height, width, channels) repeated 2 × 2."""
    return channels_last(F.interpolate(channels_first(x), scale_factor=2))


def _pooled_sum(x: Tensor) -> Tensor:
    """The adjoint of `upsampled`."""
    if kernels := kernels_for(x):
        return kernels.pooled_sum(x)
    return channels_last(F.avg_pool2d(channels_first(x), 2, divisor_override=1))


def plus_upsampled(x: Tensor, small: Tensor) -> Tensor:
    """x (N, 2·height, 2·width, channels) plus `upsampled` small, in x's memory on a CPU: x must not be used again."""
    if kernels_for(x, small):
        return cast(Tensor, _PlusUpsampled.apply(x, small))
    return x.add_(upsampled(small))


class _PlusUpsampled(torch.autograd.Function):
    """The repeated pixels are not written out."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, small: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        if kernels := kernels_for(x, small):
            return kernels.skip_connection(small, upsample=True, plus=x)
        return x + upsampled(small)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad, apply_linear(grad, _pooled_sum, upsampled)

    @staticmethod
    def jvp(ctx: Any, along_x: Tensor, along_small: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return along_x + upsampled(along_small)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """x (N, height, width, inputs) times weight (inputs, outputs), image by image on a CPU; see `linear_by_row`."""
    if on_gpu(x):
        return torch.mm(x.flatten(0, 2), weight).unflatten(0, x.shape[:3])
    return torch.bmm(x.flatten(1, 2), weight.expand(len(x), -1, -1)).unflatten(1, x.shape[1:3])


def product_plus_skip(x: Tensor, weight: Tensor, skip: Tensor, *, upsample: bool) -> Tensor:
    """`product` plus skip (N, height, width, outputs), or plus `upsampled` skip if it has half the height and width."""
    if upsample or kernels_for(x, weight, skip):
        return cast(Tensor, _ProductPlusSkip.apply(x, weight, skip, upsample))
    rows, summand = x.flatten(1, 2), skip.flatten(1, 2)
    return torch.baddbmm(summand, rows, weight.expand(len(x), -1, -1)).unflatten(1, x.shape[1:3])


class _ProductPlusSkip(torch.autograd.Function):
    """On a GPU the product is added to a copy of the skip connection before it is rounded."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, skip: Tensor, upsample: bool) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        if kernels := kernels_for(x, weight, skip):
            total = kernels.skip_connection(skip, upsample=upsample)
            total.flatten(0, 2).addmm_(x.flatten(0, 2), weight)
            return total
        total = product(x, weight)
        if not upsample:
            return total.add_(skip)
        # A broadcast sum: the repeated pixels are not written out.
        total.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).add_(skip[:, :, None, :, None])
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool], output: Tensor) -> None:
        _, ctx.weight, _, ctx.upsample = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad_skip = apply_linear(grad, _pooled_sum, upsampled) if ctx.upsample else grad
        return product(grad, ctx.weight.T), None, grad_skip, None

    @staticmethod
    def jvp(ctx: Any, along_x: Tensor, _: None, along_skip: Tensor, *__: None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return product(along_x, ctx.weight) + (upsampled(along_skip) if ctx.upsample else along_skip)
