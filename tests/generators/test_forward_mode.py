"""Tangents of networks with 16-bit weights, and along many axes at once, against float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from biggan_discovery import load_generator
from biggan_discovery.generators import FrozenGenerator, fast
from biggan_discovery.generators.batching import Batch
from biggan_discovery.generators.fast import dispatch
from biggan_discovery.numerics.derivatives import Derivative, jacobian_rows
from tests.brock_tiny import save_tiny_brock
from tests.tiny import save_tiny_biggan

ROUNDING = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7}


@pytest.fixture(scope="module", params=[save_tiny_biggan, save_tiny_brock], ids=["deep", "brock"])
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FrozenGenerator:
    return load_generator(request.param(tmp_path_factory.mktemp("generator")), device="cpu")


def _images(generator: FrozenGenerator) -> Callable[[Tensor], Tensor]:
    z = _normal(1, generator.z_dim, seed=0, dtype=generator.dtype)

    def images(shifts: Tensor) -> Tensor:
        return generator(z + shifts, torch.zeros(len(shifts), dtype=torch.int64)).flatten(1)

    return images


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, when a dual is made
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("as_on_a_gpu", [False, True])
def test_tangents_of_sixteen_bits(
    generator: FrozenGenerator, dtype: torch.dtype, as_on_a_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By dual numbers, by torch.func.jvp and by torch.vmap of it, where nothing falls back to differences."""
    if as_on_a_gpu:
        monkeypatch.setattr(dispatch, "_DEVICE", "cpu")
        monkeypatch.setattr(dispatch, "_working_kernels", lambda: None)
    halved = generator.half_precision(dtype)
    images, axes = _images(halved), torch.eye(halved.z_dim)
    tangents = torch.cat([torch.func.jvp(images, (0 * axis[None],), (axis[None],))[1] for axis in axes])
    rows, evaluations = jacobian_rows(images, axes, Batch(5), Derivative())
    # A forward pass for each five axes where they are vectorised over.
    assert evaluations == len(axes) + (math.ceil(len(axes) / 5) if as_on_a_gpu else len(axes))
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(images(forward_ad.make_dual(torch.zeros_like(axes), axes))).tangent
    assert dual is not None
    # Activations that rounding moves across the kink of their ReLU outweigh all other roundings, in both modes alike.
    combinations = _normal(6, dual.shape[1], seed=1) / dual.shape[1] ** 0.5
    truth, reverse = (_reverse(each, combinations) for each in (copy.deepcopy(generator).double(), halved))
    usual = float((reverse - truth).norm())
    for found in (tangents, rows, dual):
        assert found.dtype == torch.float32
        products = combinations.double() @ found.double().T
        assert float((products - truth).norm()) <= usual + 4 * ROUNDING[dtype] * float(truth.norm())
        assert 0 < float((products - reverse).norm()) <= 4 * ROUNDING[dtype] * float(truth.norm())


def _reverse(generator: FrozenGenerator, combinations: Tensor) -> Tensor:
    """Derivatives of combinations of pixels by reverse mode; their scale keeps them from vanishing in float16."""
    shift = torch.zeros(1, generator.z_dim, dtype=generator.dtype, requires_grad=True)
    images = _images(generator)(shift)
    rows = [
        torch.autograd.grad(images, shift, 2.0**10 * each.to(images)[None], retain_graph=True)[0]
        for each in combinations
    ]
    return torch.cat(rows).double() / 2.0**10


def _normal(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", ROUNDING)
def test_tangents_have_the_type_of_what_they_are_tangents_of(dtype: torch.dtype) -> None:
    x, small = _normal(2, 4, 4, 6, seed=0, dtype=dtype), _normal(2, 2, 2, 6, seed=1, dtype=dtype)
    gain, shift = _normal(2, 1, 1, 6, seed=2), _normal(2, 1, 1, 6, seed=3)
    pointwise = fast.Pointwise(_normal(6, 6, seed=4, dtype=dtype))
    attention = fast.Attention(*(_normal(*size, seed=5) for size in ((2, 6), (2, 6), (3, 6), (6, 3), (6,))))
    for layer in (attention.theta, attention.phi, attention.g, attention.o):
        layer.to(dtype)
    output = fast.ToImages(gain[0, 0, 0], shift[0, 0, 0], _normal(3, 6, 3, 3, seed=6), _normal(3, seed=7))
    output.convolution.to(dtype)
    functions: dict[str, tuple[Callable, tuple[Tensor, ...]]] = {
        "affine_relu": (lambda *each: fast.affine_relu(each[0], each[1:]), (x, gain, shift)),
        "skip": (lambda *each: fast.affine_relu_and_skip(each[0], each[1:], 3)[1], (x, gain, shift)),
        "affine alone": (lambda *each: fast.affine_relu(x, each), (gain, shift)),
        "plus": (lambda one, other: pointwise(one, plus=other), (x, x.flip(0))),
        "plus upsampled": (lambda one, other: pointwise(one, plus=other, upsample=True), (x, small)),
        "+ upsampled": (lambda one, other: fast.plus_upsampled(one * 1, other), (x, small)),
        "attention": (attention.requires_grad_(False), (x,)),
        "output": (output.requires_grad_(False), (x,)),
    }
    for name, (function, inputs) in functions.items():
        value, along = torch.func.jvp(function, inputs, tuple(each.flip(0) for each in inputs))
        assert along.dtype == value.dtype, name
