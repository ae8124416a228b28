"""The fast network: every transformation against plain PyTorch, whole generators against their reference."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator, fast, load_generator
from biggan_discovery.generators.batching import Batch
from biggan_discovery.generators.biggan_deep import BigGANDeep
from biggan_discovery.generators.brock import BrockBigGAN
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.gradient import objective_gradient
from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
from biggan_discovery.objectives.samples import draw
from tests.brock_tiny import save_tiny_brock
from tests.tiny import save_tiny_biggan

DEEP_64 = {"output_dim": 64, "layers": [[True, 16, 16], [True, 16, 8], [True, 8, 4], [True, 4, 2], [False, 2, 1]]}
CHECKPOINTS: dict[str, Callable[[Path], Path]] = {
    "deep-32": save_tiny_biggan,
    "deep-64": lambda folder: save_tiny_biggan(folder, 3, **DEEP_64),
    "brock-32": save_tiny_brock,
    "brock-64": lambda folder: save_tiny_brock(folder, 1, resolution=64, G_attn="16_32", dim_z=20),
    "brock-32, norms by class": lambda folder: save_tiny_brock(folder, 2, hier=False, G_shared=False, G_param="no"),
    "brock-32, not hierarchical": lambda folder: save_tiny_brock(folder, 2, hier=False),
}


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


sizes = st.integers(1, 5)


@settings(deadline=None, max_examples=20)
@given(sizes, sizes, sizes, sizes, sizes, st.integers(0, 99))
def test_upsampling_kernel(count: int, inputs: int, outputs: int, height: int, width: int, seed: int) -> None:
    x, weight = _normal(count, inputs, height, width, seed=seed), _normal(outputs, inputs, 3, 3, seed=seed + 1)
    expected = F.conv2d(x.repeat_interleave(2, 2).repeat_interleave(2, 3), weight, padding=1)
    found = F.conv_transpose2d(x, fast.upsampling_kernel(weight), stride=2, padding=1)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    layer = fast.Convolution(weight, upsample=True)
    torch.testing.assert_close(layer(_nhwc(x)), _nhwc(expected), atol=1e-12, rtol=1e-12)


@settings(deadline=None, max_examples=20)
@given(sizes, sizes, sizes, sizes, sizes, st.integers(0, 99))
def test_convolutions(count: int, inputs: int, outputs: int, height: int, width: int, seed: int) -> None:
    x, plus = _normal(count, inputs, height, width, seed=seed), _normal(count, outputs, height, width, seed=seed + 1)
    weight = _normal(outputs, inputs, 3, 3, seed=seed + 2)
    expected = F.conv2d(x, weight, padding=1)
    torch.testing.assert_close(fast.Convolution(weight)(_nhwc(x)), _nhwc(expected), atol=1e-12, rtol=1e-12)
    weight = weight[:, :, 1:2, 1:2]
    expected = F.conv2d(x, weight)
    pointwise = fast.Pointwise(weight)
    torch.testing.assert_close(pointwise(_nhwc(x)), _nhwc(expected), atol=1e-12, rtol=1e-12)
    added = pointwise(_nhwc(x), plus=_nhwc(plus))
    torch.testing.assert_close(added, _nhwc(expected + plus), atol=1e-12, rtol=1e-12)


def test_pointwise_adds_a_slice_of_channels_and_leaves_it_alone() -> None:
    x, wide = _normal(2, 3, 3, 4), _normal(2, 3, 3, 10, seed=1)
    before = wide.clone()
    weight = _normal(5, 4, seed=2)
    torch.testing.assert_close(fast.Pointwise(weight)(x, plus=wide[..., :5]), x @ weight.T + wide[..., :5])
    assert torch.equal(wide, before)


def test_norm_affine_is_the_norm_and_gives_its_weights_back() -> None:
    scale, offset, condition = _normal(4, 6), _normal(4, 6, seed=1), _normal(3, 6, seed=2)
    mean, var = _normal(4, seed=3), _normal(4, seed=4).square() + 0.1
    x = _normal(3, 4, 2, 5, seed=5)
    normed = F.batch_norm(x, mean, var, eps=1e-4)
    expected = normed * (1 + condition @ scale.T)[:, :, None, None] + (condition @ offset.T)[:, :, None, None]
    weight, bias = fast.norm_affine(scale, offset, mean, (var + 1e-4).rsqrt())
    gain, shift = fast.Conditional(weight, bias)(condition)
    torch.testing.assert_close(_nhwc(x) * gain + shift, _nhwc(expected))
    torch.testing.assert_close(fast.affine_relu(_nhwc(x), (gain, shift)), _nhwc(expected).relu())
    torch.testing.assert_close(fast.conditional_weights(weight, bias), torch.cat((scale, offset)))


def _affine_relu(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    return fast.affine_relu(x, (gain, shift))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_derivatives_of_affine_relu() -> None:
    """First and second derivatives, forward and reverse mode, against finite differences."""
    inputs = [_normal(2, 3, 2, 4), _normal(2, 1, 1, 4, seed=1), _normal(2, 1, 1, 4, seed=2)]
    points = [each.requires_grad_() for each in inputs]
    assert torch.autograd.gradcheck(_affine_relu, points, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(_affine_relu, points)
    constant = lambda x: _affine_relu(x, inputs[1][:1].detach(), inputs[2][:1].detach())  # noqa: E731
    assert torch.autograd.gradcheck(constant, points[:1], check_forward_ad=True)
    rows = torch.vmap(lambda *each: _affine_relu(*(one[None] for one in each))[0])(*inputs)
    assert torch.equal(rows, _affine_relu(*inputs))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("channels", [1, 4])
def test_derivatives_with_a_skip_connection(channels: int) -> None:
    inputs = [_normal(2, 3, 2, 4), _normal(2, 1, 1, 4, seed=1), _normal(2, 1, 1, 4, seed=2)]
    points = [each.requires_grad_() for each in inputs]

    def both(x: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        return fast.affine_relu_and_skip(x, (gain, shift), channels)

    activated, skip = both(*points)
    assert torch.equal(activated, _affine_relu(*points))
    assert torch.equal(skip, points[0][..., :channels])
    assert torch.autograd.gradcheck(both, points, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(both, points)
    rows = torch.vmap(lambda *each: both(*(one[None] for one in each)))(*points)
    torch.testing.assert_close([each[:, 0] for each in rows], [activated, skip], rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_map_of_relu_and_its_derivatives() -> None:
    gain, shift, matrix = _normal(4, seed=1), _normal(4, seed=2), _normal(5, 4, seed=3)

    def function(x: Tensor) -> Tensor:
        maps = (partial(torch.einsum, equation, matrix) for equation in ("oc,nchw->nohw", "oc,nohw->nchw"))
        return fast.map_of_relu(x, gain, shift, *maps)

    x = _normal(2, 3, 2, 4)
    torch.testing.assert_close(_nhwc(function(x)), (x * gain + shift).relu() @ matrix.T)
    assert torch.autograd.gradcheck(function, (x.requires_grad_(),), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, (x,))
    rows = torch.vmap(lambda one: function(one[None])[0])(x)
    torch.testing.assert_close(rows, function(x), rtol=0, atol=1e-14)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_product_added_to_a_doubled_skip_connection() -> None:
    weight, x, small = _normal(5, 3), _normal(2, 4, 6, 3, seed=1), _normal(2, 2, 3, 5, seed=2)
    pointwise = fast.Pointwise(weight).requires_grad_(False)
    function = lambda x, small: pointwise(x, plus=small, upsample=True)  # noqa: E731
    torch.testing.assert_close(function(x, small), x @ weight.T + fast.upsampled(small))
    points = x.requires_grad_(), small.requires_grad_()
    assert torch.autograd.gradcheck(function, points, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, points)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_linear_by_row_and_its_derivatives() -> None:
    x, weight, bias = _normal(3, 4), _normal(5, 4, seed=1), _normal(5, seed=2)
    function = lambda x: fast.linear_by_row(x, weight, bias)  # noqa: E731
    torch.testing.assert_close(function(x), F.linear(x, weight, bias))
    assert torch.autograd.gradcheck(function, (x.requires_grad_(),), check_forward_ad=True)


def test_by_class_is_a_choice_of_rows() -> None:
    table = _normal(5, 6)
    gain, shift = fast.ByClass(table)(torch.tensor([4, 0]))
    assert torch.equal(gain, table[[4, 0], None, None, :3])
    assert torch.equal(shift, table[[4, 0], None, None, 3:])


def test_attention() -> None:
    """Compare with softmax attention written as loops over positions."""
    channels, size = 8, 4
    theta, phi = _normal(1, channels, seed=1), _normal(1, channels, seed=2)
    g, o = _normal(4, channels, seed=3), _normal(channels, 4, seed=4)
    bias, x = _normal(channels, seed=5), _normal(2, size, size, channels, seed=6)
    found = fast.Attention(theta, phi, g, o, bias)(x)
    for image, result in zip(x + bias, found, strict=True):
        blocks = [image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] for row in (0, 1) for column in (0, 1)]
        keys = torch.stack([(block @ phi.T).amax((0, 1)) for block in blocks])
        values = torch.stack([(block @ g.T).amax((0, 1)) for block in blocks])
        for row in range(size):
            for column in range(size):
                weights = (keys @ (theta @ image[row, column])).softmax(0)
                expected = image[row, column] + o @ (weights @ values)
                torch.testing.assert_close(result[row, column], expected)


@pytest.mark.parametrize("at_once", [1, 21, 10_000])
def test_attention_by_blocks_and_its_derivatives(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast.attention, "_WEIGHTS_AT_ONCE", at_once)
    inputs = _normal(2, 11, 3, seed=1), 5 * _normal(2, 7, 3, seed=2), _normal(2, 7, 4, seed=3)
    along = _normal(2, 11, 3, seed=4), _normal(2, 7, 3, seed=5), _normal(2, 7, 4, seed=6)

    def plain(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return (queries @ keys.mT).softmax(-1) @ values

    torch.testing.assert_close(torch.func.jvp(fast.attend, inputs, along), torch.func.jvp(plain, inputs, along))
    leaves = [each.requires_grad_() for each in inputs]
    firsts, seconds = [], []
    for each in (fast.attend, plain):
        first = torch.autograd.grad(each(*leaves).sin().sum(), leaves, create_graph=True)
        firsts.append(first)
        seconds.append(torch.autograd.grad(sum(grad.cos().sum() for grad in first), leaves))
    torch.testing.assert_close(*firsts)
    torch.testing.assert_close(*seconds)


def test_upsampled() -> None:
    x = _normal(2, 3, 4, 5)
    assert torch.equal(fast.upsampled(x), x.repeat_interleave(2, 1).repeat_interleave(2, 2))


@pytest.fixture(scope="module", params=CHECKPOINTS)
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FrozenGenerator:
    """Loaded in float64, with interpolated statistics if they depend on the truncation."""
    return _load(CHECKPOINTS[request.param](tmp_path_factory.mktemp("checkpoint")), torch.float64)


@pytest.fixture(scope="module")
def single(generator: FrozenGenerator) -> FrozenGenerator:
    return _load(Path(generator.name), torch.float32)


@pytest.fixture(scope="module")
def reference(generator: FrozenGenerator) -> FrozenGenerator:
    return generator.reference()


def _load(folder: Path, dtype: torch.dtype) -> FrozenGenerator:
    family = BigGANDeep if (folder / "pytorch_model.bin").is_file() else BrockBigGAN
    return family(folder, name=str(folder), truncation=0.613, dtype=dtype)


def _inputs(generator: FrozenGenerator, count: int = 3) -> tuple[Tensor, Tensor]:
    return _normal(count, generator.z_dim).to(generator.dtype), torch.arange(count) % generator.num_classes


def _penalty(generator: FrozenGenerator, like: FrozenGenerator, step: int = 0) -> tuple[float, Tensor]:
    """The penalty and its gradient, at samples of another generator."""
    samples = draw(like, [0, 2], 5, count=2, probes=2, path_size=3.0, seed=1, stream=Stream.SEARCH, step=step)
    samples = type(samples)(
        samples.z.to(generator.dtype), samples.y, samples.w.to(generator.dtype), samples.probes.to(generator.dtype)
    )
    Q = torch.linalg.qr(_normal(like.z_dim, 5))[0].T.to(generator.dtype)
    found = objective_gradient(HESSIAN_PENALTY, generator, Q, samples, 0.1, batch=Batch(4))
    return found.value, found.gradient.double()


def test_equals_the_reference_in_float64(generator: FrozenGenerator, reference: FrozenGenerator) -> None:
    assert type(reference.network) is not type(generator.network)
    z, y = _inputs(generator)
    torch.testing.assert_close(generator(z, y), reference(z, y), atol=1e-10, rtol=0)
    layers = _normal(3, generator.num_layers, generator.z_dim, seed=7)
    torch.testing.assert_close(generator(layers, y), reference(layers, y), atol=1e-10, rtol=0)
    (value, gradient), (expected, expected_gradient) = (_penalty(each, generator) for each in (generator, reference))
    assert value == pytest.approx(expected, rel=1e-10)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-10 * float(gradient.abs().max()))


@pytest.mark.parametrize("small", [0, 4, 8, 1000])
def test_begun_together_and_finished_apart(generator: FrozenGenerator, small: int, monkeypatch) -> None:
    """For every cut of the network and every form of z."""
    monkeypatch.setattr(fast, "SMALL", small)
    cut = _load(Path(generator.name), generator.dtype)
    z, y = _inputs(generator)
    for latents in (z, _normal(3, generator.num_layers, generator.z_dim, seed=7)):
        begun = cut.begin(latents, y)
        assert {len(each) for each in begun} == {len(z)}
        images = [cut.finish(*part) for part in zip(*(each.split(1) for each in begun), strict=True)]
        torch.testing.assert_close(torch.cat(images), generator(latents, y), atol=1e-12, rtol=0)


def _error(found: Tensor, truth: Tensor) -> float:
    return float((found.double() - truth).norm() / truth.norm())


def test_float32_is_as_close_to_float64_as_the_reference(generator: FrozenGenerator, single: FrozenGenerator) -> None:
    """Medians over draws, as rounding can move an activation across the kink of its ReLU in either implementation."""
    z, y = _inputs(generator, 8)
    images = generator(z, y)
    plain = generator.reference().float()
    assert _error(single(z.float(), y), images) <= 2 * _error(plain(z.float(), y), images)
    truth, ours, references = (
        [_penalty(each, generator, step) for step in range(9)] for each in (generator, single, plain)
    )

    def errors(found: list[tuple[float, Tensor]]) -> tuple[float, float]:
        of_values = [abs(value - right) / right for (value, _), (right, _) in zip(found, truth, strict=True)]
        of_gradients = [_error(gradient, right) for (_, gradient), (_, right) in zip(found, truth, strict=True)]
        return median(of_values), median(of_gradients)

    (of_value, of_gradient), (bound, gradient_bound) = errors(ours), errors(references)
    assert of_gradient <= 2 * gradient_bound
    assert of_value <= 2 * bound + 1e-5


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, when a dual is made
def test_forward_mode_is_the_derivative(generator: FrozenGenerator) -> None:
    z, y = _inputs(generator, 2)
    direction = _normal(*z.shape, seed=3)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(generator(forward_ad.make_dual(z, direction), y)).tangent
    assert tangent is not None
    point, weights = z.clone().requires_grad_(), _normal(*tangent.shape, seed=4)
    generator(point, y).backward(weights)
    assert point.grad is not None
    assert float((tangent * weights).sum()) == pytest.approx(float((point.grad * direction).sum()), rel=1e-9)


@settings(deadline=None, max_examples=4)
@given(st.integers(2, 9), st.integers(0, 2**31))
def test_same_image_and_gradient_bit_for_bit_in_any_position(single: FrozenGenerator, count: int, seed: int) -> None:
    z, y = _inputs(single, count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    point, other = z.clone().requires_grad_(), z[order].clone().requires_grad_()
    images, moved = single(point, y), single(other, y[order])
    assert torch.equal(images[order], moved)
    images.square().sum().backward()
    moved.square().sum().backward()
    assert point.grad is not None
    assert other.grad is not None
    assert torch.equal(point.grad[order], other.grad)


def test_images_are_contiguous_and_batches_may_be_empty(generator: FrozenGenerator) -> None:
    assert generator(*_inputs(generator)).is_contiguous()
    size = generator.resolution
    assert generator(*_inputs(generator, 0)).shape == (0, 3, size, size)


def test_reference_shares_facts_and_no_weights(generator: FrozenGenerator, reference: FrozenGenerator) -> None:
    for fact in ("name", "z_dim", "num_layers", "resolution", "class_names", "truncation", "sha256", "dtype", "device"):
        assert getattr(reference, fact) == getattr(generator, fact)
    uniform = torch.rand(4, generator.z_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(reference.latents(uniform), generator.latents(uniform))
    own = {tensor.data_ptr() for tensor in (*generator.parameters(), *generator.buffers()) if tensor.numel()}
    assert not own & {tensor.data_ptr() for tensor in (*reference.parameters(), *reference.buffers()) if tensor.numel()}
    assert not any(weight.requires_grad for weight in reference.parameters())
    assert generator.reference().float().dtype == torch.float32
    assert generator.dtype == reference.dtype == torch.float64


def test_reference_of_changed_weights_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_biggan(tmp_path)
    generator = load_generator(folder, device="cpu")
    save_tiny_biggan(tmp_path, seed=1)
    with pytest.raises(UserError, match="changed"):
        generator.reference()


def test_a_function_is_its_own_reference() -> None:
    generator = FunctionGenerator(lambda z: z.view(-1, 1, 2, 2), z_dim=4)
    assert generator.reference() is generator
