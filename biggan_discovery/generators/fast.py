"""Layers of a frozen network in the form that computes fastest, for the same images and gradients.

Weights, batch-norm statistics and the truncation of a frozen network never change, and only the gradient of z is
wanted. So, once, when a network is loaded:

- a norm with known statistics is one affine map of each channel, whose gain and shift are affine in the condition
  (`norm_affine`);
- a convolution's bias that meets a norm next only moves that norm's mean: families subtract biases from means, also
  those that travel along skip connections, and no layer here adds any;
- doubling the image by repeating pixels and then convolving with a 3 × 3 kernel is one transposed convolution with a
  4 × 4 kernel and stride 2, at 4/9 of the multiplications (`upsampling_kernel`);
- a 1 × 1 convolution is a product of matrices, which takes a skip connection along as its summand (`Pointwise`).

Activations have the type of the weights that give them, and gains and shifts follow: with convolutions and products of
16 bits (`halve`) everything between them has 16 bits as well, while latents, conditions and images stay as they are.

Activations are (N, height, width, channels): with that order in memory, which torch calls `channels_last`, convolutions
compute fastest and products of matrices need no copies. Every image is computed by itself, so its bits do not depend on
its position in a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

Affine = tuple[Tensor, Tensor]
"""Gain and shift, each (N, 1, 1, channels)."""


def norm_affine(scale: Tensor, offset: Tensor, mean: Tensor, rate: Tensor) -> Affine:
    """Gain and shift of a norm as one affine map of its condition c.

    (x - mean)·rate·(1 + scale·c) + offset·c = x·gain + shift, with gain and shift affine in c.

    Args:
        scale: (channels, condition).
        offset: (channels, condition).
        mean: (channels,).
        rate: (channels,), 1/√(var + eps).

    Returns:
        weight (2·channels, condition) and bias (2·channels,), gain above shift; see `Conditional`.
    """
    gain = scale * rate[:, None]
    return torch.cat((gain, offset - gain * mean[:, None])), torch.cat((rate, -mean * rate))


def conditional_weights(weight: Tensor, bias: Tensor) -> Tensor:
    """Undo what batch-norm statistics did in `norm_affine`.

    Args:
        weight: (2·channels, condition): scale·rate over offset - scale·rate·mean, where rate is 1/√(var + eps).
        bias: (2·channels,): rate over -rate·mean.

    Returns:
        (2·channels, condition), the weights of scale over those of offset.
    """
    (gain, shift), (rate, moved) = weight.double().chunk(2), bias.double().chunk(2)
    scale = gain / rate[:, None]
    return torch.cat((scale, shift - scale * moved[:, None])).to(weight)


def upsampling_kernel(weight: Tensor) -> Tensor:
    """The kernel of a transposed convolution that doubles the image first and then convolves.

    Args:
        weight: (outputs, inputs, 3, 3), of a convolution with padding 1 after every pixel was repeated 2 × 2.

    Returns:
        (inputs, outputs, 4, 4), for stride 2 and padding 1. A pixel reaches, from each of its four copies, what the
        mirrored 3 × 3 kernel says.
    """
    mirrored = weight.transpose(0, 1).flip(2, 3)
    kernel = mirrored.new_zeros(*mirrored.shape[:2], 4, 4)
    for row in (0, 1):
        for column in (0, 1):
            kernel[:, :, row : row + 3, column : column + 3] += mirrored
    return kernel


def linear_by_row(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (N, inputs) times weight (outputs, inputs) transposed plus bias (outputs,), every row by itself: (N, outputs).

    One product for all rows rounds the last rows of a block differently, and an image would depend on its position.
    The adjoint, which no image depends on, is one product, as it reads the weights once.
    """
    there, back = partial(_rows_times, weight=weight.T), partial(torch.matmul, other=weight)
    return _LinearMap.apply(x, there, back) + bias  # pyright: ignore[reportReturnType, reportOperatorIssue]


def _rows_times(x: Tensor, weight: Tensor) -> Tensor:
    return torch.bmm(x[:, None], weight.expand(len(x), -1, -1))[:, 0]


def affine_relu(x: Tensor, affine: Affine) -> Tensor:
    """relu(x·gain + shift) for x (N, height, width, channels)."""
    return affine_relu_and_skip(x, affine, 0)[0]


def affine_relu_and_skip(x: Tensor, affine: Affine, channels: int) -> tuple[Tensor, Tensor]:
    """`affine_relu`, and the first channels of x as they are, for a skip connection.

    Its gradient is added in the pass that gives the other's.
    """
    return _AffineRelu.apply(x, *affine, channels)  # pyright: ignore[reportReturnType]


class _AffineRelu(torch.autograd.Function):
    """Keeps x alone for the backward pass, where torch would keep the result too and multiply x by 1 on the way."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, gain: Tensor, shift: Tensor, channels: int) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return torch.addcmul(shift.to(x.dtype), x, gain.to(x.dtype)).relu_(), x[..., :channels]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.channels = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, skipped: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, gain, shift = ctx.saved_tensors
        again = torch.is_grad_enabled()  # somebody differentiates this in turn; else the largest tensors are used again
        factor = gain.to(x.dtype)
        result = torch.addcmul(shift.to(x.dtype), x, factor)
        if again:
            grad = _where_positive(grad, result)
        else:
            grad = torch.ops.aten.threshold_backward.grad_input(grad, result, 0, grad_input=result)
        of_gain = of_shift = None
        if ctx.needs_input_grad[1]:
            of_gain, of_shift = (each.sum((1, 2), keepdim=True, dtype=gain.dtype) for each in (grad * x, grad))
        if again:
            of_x = grad * factor + F.pad(skipped, (0, x.shape[-1] - ctx.channels))
        else:
            of_x, sizes = grad, (ctx.channels, x.shape[-1] - ctx.channels)
            (with_skip, alone), (factors, others) = grad.split(sizes, -1), factor.split(sizes, -1)
            torch.addcmul(skipped, with_skip, factors, out=with_skip)
            alone.mul_(others)
        return of_x, of_gain, of_shift, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, gain, shift = ctx.saved_tensors
        gain, shift = gain.to(x.dtype), shift.to(x.dtype)
        along_x, along_gain, along_shift = (0 if tangent is None else tangent for tangent in tangents[:3])
        along = _where_positive(along_x * gain + x * along_gain + along_shift, torch.addcmul(shift, x, gain))
        along_x = torch.zeros_like(x) if tangents[0] is None else tangents[0]
        return along, along_x[..., : ctx.channels]


def _where_positive(values: Tensor, x: Tensor) -> Tensor:
    """The values where x > 0, else 0."""
    return torch.ops.aten.threshold_backward(values, x, 0)


Map = Callable[[Tensor], Tensor]


class _LinearMap(torch.autograd.Function):
    """A linear map by itself and its adjoint. It keeps nothing, where torch's convolution would keep its input."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, there: Map, back: Map) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return there(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Map, Map], output: Tensor) -> None:
        _, ctx.there, ctx.back = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _LinearMap.apply(grad, ctx.back, ctx.there), None, None  # pyright: ignore[reportReturnType]

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return ctx.there(tangent)


def map_of_relu(x: Tensor, gain: Tensor, shift: Tensor, there: Map, back: Map) -> Tensor:
    """A linear map of relu(x·gain + shift) where gain and shift (channels,) never change, by the map and its adjoint.

    For x (N, height, width, channels); the maps and the result have torch's order of axes.
    """
    return _MapOfRelu.apply(x, gain, shift, there, back)[0]  # pyright: ignore[reportOptionalSubscript]


class _MapOfRelu(torch.autograd.Function):
    """Keeps what the map sees, its second result, instead of x; nothing of x's size lives besides it and a gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, gain: Tensor, shift: Tensor, there: Map, _: Map) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        seen = torch.addcmul(shift.to(x.dtype), x, gain.to(x.dtype)).relu_()
        return there(_to_torch(seen)), seen

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Map, Map], output: tuple[Tensor, Tensor]) -> None:
        _, gain, _, ctx.there, ctx.back = inputs
        ctx.save_for_backward(gain, output[1])
        ctx.save_for_forward(gain, output[1])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, None, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if grad is None:
            return None, None, None, None, None
        gain, seen = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates this in turn
            of_seen = _from_torch(cast(Tensor, _LinearMap.apply(grad, ctx.back, ctx.there)))
            return _where_positive(of_seen, seen) * gain.to(seen.dtype), None, None, None, None
        of_seen = _from_torch(ctx.back(grad))
        of_x = torch.ops.aten.threshold_backward.grad_input(of_seen, seen, 0, grad_input=of_seen)
        return of_x.mul_(gain.to(seen.dtype)), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, along: Tensor, *_: None) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        gain, seen = ctx.saved_tensors
        return ctx.there(_to_torch(_where_positive(along * gain.to(seen.dtype), seen))), None


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(queries · keysᵀ) · values, without the scaling that transformers have.

    Args:
        queries: (N, positions, c).
        keys: (N, others, c).
        values: (N, others, d).

    Returns:
        (N, positions, d). How much each position looks at each other is never held for all positions together.
    """
    result = _Attend.apply(queries, keys, values)
    assert isinstance(result, Tensor)
    return result


_LOOKS_AT_ONCE = 2**17  # of an image; these and their gradients stay in a core's cache


class _Attend(torch.autograd.Function):
    """Computes how positions look at each other block by block, and again in the backward pass (Dao et al. 2022)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        parts = queries.split(_positions_at_once(keys), dim=1)
        return torch.cat([torch.bmm(_looks(part, keys), values) for part in parts], dim=1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        queries, keys, values, output = ctx.saved_tensors
        again = torch.is_grad_enabled()  # somebody differentiates this in turn
        inner = (grad * output).sum(dim=-1, keepdim=True)
        of_queries, of_keys, of_values = [], None, None
        size = _positions_at_once(keys)
        parts = zip(*(each.split(size, dim=1) for each in (queries, grad, inner)), strict=True)
        for queries_part, grad_part, inner_part in parts:
            looks = _looks(queries_part, keys)
            of_looks = torch.bmm(grad_part, values.transpose(1, 2))
            of_logits = looks * (of_looks - inner_part) if again else of_looks.sub_(inner_part).mul_(looks)
            of_queries.append(torch.bmm(of_logits, keys))
            of_keys = _plus_product(of_keys, of_logits.transpose(1, 2), queries_part, again)
            of_values = _plus_product(of_values, looks.transpose(1, 2), grad_part, again)
        assert of_keys is not None
        assert of_values is not None
        return torch.cat(of_queries, dim=1), of_keys, of_values

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        queries, keys, values = ctx.saved_tensors
        along_queries, along_keys, along_values = (
            torch.zeros_like(each) if tangent is None else tangent
            for each, tangent in zip(ctx.saved_tensors, tangents, strict=True)
        )
        results = []
        size = _positions_at_once(keys)
        for queries_part, along_part in zip(queries.split(size, 1), along_queries.split(size, 1), strict=True):
            looks = _looks(queries_part, keys)
            along_logits = torch.bmm(along_part, keys.transpose(1, 2))
            along_logits = torch.baddbmm(along_logits, queries_part, along_keys.transpose(1, 2))
            along_looks = looks * (along_logits - (looks * along_logits).sum(dim=-1, keepdim=True))
            results.append(torch.baddbmm(torch.bmm(looks, along_values), along_looks, values))
        return torch.cat(results, dim=1)


def _plus_product(total: Tensor | None, a: Tensor, b: Tensor, again: bool) -> Tensor:
    """total + a·b, in the memory of total unless it is differentiated in turn."""
    if total is None:
        return torch.bmm(a, b)
    return torch.baddbmm(total, a, b) if again else total.baddbmm_(a, b)


def _positions_at_once(keys: Tensor) -> int:
    """By the size of the keys alone, so that the bits of an image do not depend on the others of a batch."""
    return max(1, _LOOKS_AT_ONCE // keys.shape[1])


def _looks(queries: Tensor, keys: Tensor) -> Tensor:
    return torch.bmm(queries, keys.transpose(1, 2)).softmax(dim=-1)


def upsampled(x: Tensor) -> Tensor:
    """Every pixel of x (N, height, width, channels) repeated 2 × 2."""
    return _from_torch(F.interpolate(_to_torch(x), scale_factor=2))


class _ProductPlusUpsampled(torch.autograd.Function):
    """rows · weight plus every pixel of small (N, height, width, channels) repeated 2 × 2, which is not written out."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, weight: Tensor, small: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        product = torch.bmm(rows, weight)
        count, height, width, outputs = small.shape
        product.view(count, height, 2, width, 2, outputs).add_(small[:, :, None, :, None])
        return product

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        _, ctx.weight, small = inputs
        ctx.size = small.shape[1:3]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        height, width = ctx.size
        large = grad.unflatten(1, (2 * height, 2 * width))
        of_small = _from_torch(F.avg_pool2d(_to_torch(large), 2, divisor_override=1))
        return torch.bmm(grad, ctx.weight.transpose(1, 2)), None, of_small

    @staticmethod
    def jvp(ctx: Any, of_rows: Tensor, _: None, of_small: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return torch.bmm(of_rows, ctx.weight) + upsampled(of_small).flatten(1, 2)


SMALL = 16
"""Height of activations up to which layers compute faster for many images at once: weights are most of what is read."""


class Network(nn.Module):
    """A network in two parts: the layers up to `SMALL`, and the rest; see `FrozenGenerator.begin`.

    One that has no such parts leaves everything to `finish`.
    """

    def begin(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Tensors with a row for each image, for `finish`."""
        return inputs

    def finish(self, *state: Tensor) -> Tensor:
        """Images (N, 3, height, width)."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> Tensor:
        """All of it."""
        return self.finish(*self.begin(*inputs))


class Linear(nn.Module):
    """`linear_by_row` with its weights."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        return linear_by_row(x, self.weight, self.bias)


class Conditional(Linear):
    """Gain and shift from a condition (N, condition); weights of `norm_affine`."""

    def forward(self, x: Tensor) -> Affine:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See above."""
        return _halves(super().forward(x))


class ByClass(nn.Module):
    """Gain and shift from a table (classes, 2·channels), gain before shift."""

    def __init__(self, table: Tensor):
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, y: Tensor) -> Affine:
        """y (N,) class indices."""
        return _halves(self.table[y])


class Pointwise(nn.Module):
    """A 1 × 1 convolution without bias, by its weight (outputs, inputs, 1, 1) or (outputs, inputs)."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight.flatten(1).T.contiguous())

    def forward(self, x: Tensor, plus: Tensor | None = None, *, upsample: bool = False) -> Tensor:
        """(N, height, width, inputs) to (N, height, width, outputs), added to `plus` of that shape.

        With `upsample`, plus has half the height and width, and every pixel of it is repeated 2 × 2.
        """
        count, height, width, inputs = x.shape
        rows = x.to(self.weight.dtype).reshape(count, height * width, inputs)
        weight = self.weight.expand(count, -1, -1)
        if plus is None:
            product = torch.bmm(rows, weight)
        elif upsample:
            product = cast(Tensor, _ProductPlusUpsampled.apply(rows, weight, plus.to(weight.dtype)))
        else:
            summand = plus.to(weight.dtype).reshape(count, height * width, weight.shape[2])
            product = torch.baddbmm(summand, rows, weight)
        return product.view(count, height, width, weight.shape[2])


class Convolution(nn.Module):
    """A 3 × 3 convolution with padding 1, without bias, by its weight (outputs, inputs, 3, 3).

    Args:
        weight: see above.
        upsample: whether every pixel is repeated 2 × 2 first.
    """

    def __init__(self, weight: Tensor, *, upsample: bool = False):
        super().__init__()
        kernel = upsampling_kernel(weight) if upsample else weight
        self.weight = nn.Parameter(kernel.contiguous(memory_format=torch.channels_last))
        self.upsample = upsample

    def forward(self, x: Tensor) -> Tensor:
        """(N, height, width, inputs) to (N, height, width, outputs), or twice the height and width."""
        return _from_torch(cast(Tensor, _LinearMap.apply(_to_torch(x.to(self.weight.dtype)), *self.maps())))

    def maps(self) -> tuple[Map, Map]:
        """The convolution and its adjoint, with torch's order of axes."""
        sizes = {"weight": self.weight, "stride": 1 + self.upsample, "padding": 1}
        down, up = partial(F.conv2d, **sizes), partial(F.conv_transpose2d, **sizes)
        return (up, down) if self.upsample else (down, up)


class Attention(nn.Module):
    """Every position looks at a quarter of the positions (Zhang et al. 2018, as BigGAN has it).

    Args:
        theta: queries, (channels/8, channels, 1, 1).
        phi: keys, of the same shape.
        g: values, (channels/2, channels, 1, 1).
        o: from values to channels, (channels, channels/2, 1, 1), gamma worked in.
        bias: (channels,), what x lacks because no convolution before has added its bias; the result has it.
    """

    def __init__(self, theta: Tensor, phi: Tensor, g: Tensor, o: Tensor, bias: Tensor):
        super().__init__()
        self.theta, self.phi, self.g, self.o = (Pointwise(weight) for weight in (theta, phi, g, o))
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, height, width, channels), even height and width, to the same."""
        x = x + self.bias.to(x.dtype)
        queries = self.theta(x).flatten(1, 2)
        keys, values = (_from_torch(F.max_pool2d(_to_torch(each(x)), 2)).flatten(1, 2) for each in (self.phi, self.g))
        seen = attend(queries, keys, values).unflatten(1, x.shape[1:3])
        return self.o(seen, plus=x)


class ToImages(nn.Module):
    """The last norm, whose gain and shift (channels,) are known, a 3 × 3 convolution to 3 channels, and tanh."""

    def __init__(self, gain: Tensor, shift: Tensor, weight: Tensor, bias: Tensor):
        super().__init__()
        self.gain = nn.Parameter(gain)
        self.shift = nn.Parameter(shift)
        self.convolution = Convolution(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, height, width, channels) to images (N, 3, height, width)."""
        x = x.to(self.convolution.weight.dtype)
        x = map_of_relu(x, self.gain, self.shift, *self.convolution.maps())
        return (x + self.bias[:, None, None]).tanh().contiguous()


def halve(network: nn.Module, dtype: torch.dtype) -> bool:
    """Give convolutions and products of matrices, in place, weights of a 16-bit type; whether there were any."""
    layers = [layer for layer in network.modules() if isinstance(layer, Convolution | Pointwise)]
    for layer in layers:
        layer.to(dtype)
    return bool(layers)


def _halves(affine: Tensor) -> Affine:
    gain, shift = affine[:, None, None].chunk(2, dim=-1)
    return gain, shift


def _to_torch(x: Tensor) -> Tensor:
    """torch's order of axes, (N, channels, height, width), without moving anything."""
    return x.permute(0, 3, 1, 2)


def _from_torch(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)
