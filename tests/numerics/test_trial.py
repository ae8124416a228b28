"""A user's own network is tried once: one z twice and in company, and the range of its images."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from biggan_discovery import FunctionGenerator, discover, evaluate
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.numerics.trial import try_out

WEIGHT = torch.randn(6, 192, generator=torch.Generator().manual_seed(0))


def plain(z: Tensor) -> Tensor:
    return torch.tanh(z @ WEIGHT.to(z)).view(-1, 3, 8, 8)


class Net(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.first, self.layers, self.last = nn.Linear(6, 32), nn.Sequential(*layers), nn.Linear(32, 48)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.last(self.layers(self.first(z)))).view(-1, 3, 4, 4)


def said(fn: Any, caplog: pytest.LogCaptureFixture, **arguments: Any) -> list[str]:
    generator = FunctionGenerator(fn, z_dim=6, **arguments)
    try_out(generator)
    try_out(generator)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_noise(size: float, caplog: pytest.LogCaptureFixture) -> None:
    [line] = said(lambda z: plain(z) * 0.9 + size * (torch.rand(len(z), 3, 8, 8) - 0.5) / 5, caplog)
    assert "another image for the same z when asked twice" in line


def test_images_that_depend_on_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    [line] = said(lambda z: (plain(z) - plain(z).mean(dim=0)) / 2, caplog)
    assert "if others are beside it" in line


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(32), nn.Dropout(0.5)], ids=str)
@pytest.mark.parametrize("form", ["variable", "partial", "method", "attribute"])
def test_networks_in_train_mode_keep_their_state(layer: nn.Module, form: str, caplog: pytest.LogCaptureFixture) -> None:
    network = Net(layer).train()

    class Owner:
        def __init__(self) -> None:
            self.inside = network

        def images(self, z: Tensor) -> Tensor:
            return self.inside(z)

        def __call__(self, z: Tensor) -> Tensor:
            return self.inside(z)

    forms: dict[str, Any] = {
        "variable": lambda z: network(z),
        "partial": functools.partial(lambda inside, z: inside(z), network),
        "method": Owner().images,
        "attribute": Owner(),
    }
    before = {key: value.clone() for key, value in network.state_dict().items()}
    [line] = said(forms[form], caplog)
    assert "train mode" in line
    found = FunctionGenerator(forms[form], z_dim=6)(torch.ones(2, 6), torch.zeros(2, dtype=torch.int64))
    assert all(module.training for module in network.modules())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])
    torch.testing.assert_close(found, network.eval()(torch.ones(2, 6)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rounding_of_batches_is_no_difference(dtype: torch.dtype, caplog: pytest.LogCaptureFixture) -> None:
    network = nn.Sequential(
        nn.Unflatten(1, (6, 1, 1)),
        nn.ConvTranspose2d(6, 64, 4),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 3, 4, 2, 1),
        nn.Tanh(),
    ).to(dtype)
    assert said(network, caplog) == []
    assert said(network.to(memory_format=torch.channels_last), caplog) == []


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda z: plain(z) / 2 + 0.5, r"probably of [0, 1]; pictures show [-1, 1]: return 2 * images - 1"),
        (lambda z: plain(z) * 127.5 + 127.5, "probably of [0, 255]"),
        (lambda z: 3 * plain(z), "what is beyond is cut off"),
        (lambda z: torch.zeros(len(z), 3, 8, 8), "constant images"),
    ],
)
def test_ranges(fn: Any, expected: str, caplog: pytest.LogCaptureFixture) -> None:
    [line] = said(fn, caplog)
    assert expected in line


@pytest.mark.parametrize("fn", [plain, lambda z: plain(z)[:, :1], lambda z: plain(z).contiguous()])
def test_good_networks_are_silent(fn: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert said(fn, caplog) == []


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda z: plain(z) * float("nan"), "not finite"),
        (lambda z: torch.where(z[:, :1, None, None] > 0, plain(z), plain(z) / 0), "not finite, for sample"),
        (lambda z: (plain(z) * 127).to(torch.uint8), "returned torch.uint8; it should return floating-point images"),
        (lambda z: plain(z).permute(0, 2, 3, 1), r"return images.permute\(0, 3, 1, 2\)"),
        (lambda z: plain(z) > 0, "returned torch.bool"),
        (lambda z: plain(z)[:1], "for 4 latents"),
    ],
)
def test_bad_images_are_refused(fn: Any, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        try_out(FunctionGenerator(fn, z_dim=6))


def test_jobs_try_it(caplog: pytest.LogCaptureFixture) -> None:
    found = discover(FunctionGenerator(plain, z_dim=6), method="random", judge=False, quiet=True)
    for job in (
        lambda generator: discover(generator, method="random", judge=False, quiet=True),
        lambda generator: evaluate(generator, found, metrics="activeness", quiet=True),
    ):
        caplog.clear()
        job(FunctionGenerator(lambda z: 5 * plain(z), z_dim=6))
        assert any("cut off" in record.getMessage() for record in caplog.records)


class WithClass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Embedding(2, 6)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return plain(z + self.classes(y))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("takes_y", [True, False])
@pytest.mark.parametrize("wrapper", ["DataParallel", "compile", "partial", "partial of a wrapper", "trace", "method"])
def test_wrapped_modules_take_what_is_inside(takes_y: bool, wrapper: str) -> None:
    inside = WithClass() if takes_y else Net()
    example = (torch.zeros(2, 6), torch.zeros(2, dtype=torch.int64))[: 1 + takes_y]
    wrappers: dict[str, Any] = {
        "DataParallel": nn.DataParallel,
        "compile": lambda module: torch.compile(module, backend="eager"),
        "partial": functools.partial,
        "partial of a wrapper": lambda module: functools.partial(nn.DataParallel(module)),
        "trace": lambda module: torch.jit.trace(module, example),
        "method": lambda module: module.forward,
    }
    generator = FunctionGenerator(wrappers[wrapper](inside), z_dim=6, num_classes=2)
    z, y = torch.ones(2, 6), torch.tensor([0, 1])
    torch.testing.assert_close(generator(z, y), inside(z, y) if takes_y else inside(z))


class _NoGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * float("nan")


def test_a_gradient_that_is_not_finite_is_the_generator_s() -> None:
    generator = FunctionGenerator(lambda z: _NoGradient.apply(plain(z)), z_dim=6)
    with pytest.raises(UserError, match=r"gradient is not finite at step 1, though the penalty is "):
        discover(generator, solver="adam", steps=2, batch=2, judge=False, quiet=True, precision="float32")
    with pytest.raises(UserError, match="derivatives are not finite"):
        discover(generator, method="jacobian", samples=2, judge=False, quiet=True)


class Subclass(FrozenGenerator):
    def __init__(self, fn: Any) -> None:
        sizes: Any = {"z_dim": 6, "num_layers": 1, "resolution": 8, "channels": 3}
        super().__init__(None, name="mine", class_names=["0"], truncation=1.0, **sizes)
        self.images = fn

    def _finish(self, *state: Tensor) -> Tensor:
        return self.images(state[0])


def test_subclasses_of_users_are_tried_too(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        try_out(Subclass(plain))
    assert not caplog.messages
    try_out(Subclass(lambda z: (plain(z) + torch.rand(len(z), 3, 8, 8)) / 2))
    assert any("another image for the same z when asked twice" in line for line in caplog.messages)
    with pytest.raises(UserError, match="mine returns images that are not finite"):
        try_out(Subclass(lambda z: plain(z) / 0))
