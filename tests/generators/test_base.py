from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator


def pixels(z: Tensor, y: Tensor) -> Tensor:
    """Images (N, 2, 3, 3), each filled with the sum of its z, plus 10 times its class in the second channel."""
    value = z.flatten(1).sum(dim=1)
    return torch.stack((value, value + 10 * y), dim=1)[:, :, None, None].expand(-1, -1, 3, 3)


def unconditional(z: Tensor) -> Tensor:
    return z[:, None, None, :]


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 12)
        self.norm = nn.BatchNorm1d(12)
        self.dropout = nn.Dropout(0.5)

    def forward(self, z: Tensor) -> Tensor:
        return self.dropout(self.norm(self.linear(z))).view(-1, 3, 2, 2)


def y_of(*labels: int) -> Tensor:
    return torch.tensor(labels, dtype=torch.int64)


def test_function_of_z_and_y() -> None:
    generator = FunctionGenerator(pixels, z_dim=4, num_classes=3)
    assert (generator.channels, generator.resolution, generator.num_classes) == (2, 3, 3)
    assert generator.class_names == ("0", "1", "2")
    assert generator.name == "function"
    assert generator.sha256 == ""
    assert generator.true_directions is None
    images = generator(torch.arange(8.0).view(2, 4), y_of(0, 2))
    assert images[:, :, 0, 0].tolist() == [[6, 6], [22, 42]]


def test_function_of_z() -> None:
    generator = FunctionGenerator(unconditional, z_dim=7)
    assert (generator.channels, generator.resolution, generator.num_classes) == (1, 1, 1)
    z = torch.randn(2, 7, dtype=torch.float64)
    assert torch.equal(generator(z, y_of(0, 0)), z[:, None, None])
    assert torch.equal(generator(z[:, None], y_of(0, 0)), z[:, None, None])


@pytest.mark.parametrize(
    "fn",
    [
        pixels,
        partial(pixels),
        lambda *both: pixels(*both),
        lambda z, y=None: pixels(z, y),
        lambda z, label, noise=True: pixels(z, label),  # noqa: ARG005
        lambda z, noise=torch.tensor(1): pixels(z, noise),  # noqa: B008
        partial(pixels, y=torch.tensor(1)),
    ],
    ids=["plain", "partial", "starred", "default-y", "label", "other-default", "bound-y"],
)
def test_what_is_passed_is_read_from_the_signature(fn: Callable[..., Tensor]) -> None:
    generator = FunctionGenerator(fn, z_dim=1, num_classes=2)
    assert generator(torch.zeros(1, 1), y_of(1))[0, 1, 0, 0] == 10


def test_given_shape_is_not_probed() -> None:
    calls = []

    def fn(z: Tensor) -> Tensor:
        calls.append(len(z))
        return z.view(-1, 1, 2, 2)

    generator = FunctionGenerator(fn, z_dim=4, resolution=2, channels=1)
    assert calls == []
    generator(torch.zeros(5, 4), y_of(*[0] * 5))
    assert calls == [5]


def test_module_is_frozen_in_eval_mode_and_passes_grad_to_z() -> None:
    network = Network()
    generator = FunctionGenerator(network, z_dim=4)
    generator.train()
    generator.requires_grad_(True)
    assert not network.norm.training
    assert not any(weight.requires_grad for weight in network.parameters())
    z = torch.randn(3, 4, requires_grad=True)
    images = generator(z, y_of(0, 0, 0))
    assert torch.equal(images, generator(z, y_of(0, 0, 0)))
    images[:, 0, 0, 0].sum().backward()
    # In eval mode a fresh batch norm divides by sqrt(1 + eps).
    expected = network.linear.weight[0] / (1 + network.norm.eps) ** 0.5
    torch.testing.assert_close(z.grad, expected.expand(3, -1))


def test_module_gives_device_and_dtype() -> None:
    generator = FunctionGenerator(Network().double(), z_dim=4)
    assert generator.dtype == torch.float64
    generator.float()
    assert generator.dtype == torch.float32
    with pytest.raises(UserError, match=r"float64.*float32"):
        generator(torch.zeros(1, 4, dtype=torch.float64), y_of(0))


def test_latents_per_layer_reach_the_function_as_such() -> None:
    shapes = []

    def fn(z: Tensor) -> Tensor:
        shapes.append(tuple(z.shape))
        return z[:, None]

    generator = FunctionGenerator(fn, z_dim=4, num_layers=3)
    z = torch.randn(2, 4)
    layers = z[:, None].repeat(1, 3, 1)
    assert torch.equal(generator(z, y_of(0, 0)), generator(layers, y_of(0, 0)))
    assert shapes == [(1, 3, 4), (2, 3, 4), (2, 3, 4)]


@pytest.mark.parametrize("truncation", [1.0, 0.5])
def test_latents_are_normal(truncation: float) -> None:
    generator = FunctionGenerator(unconditional, z_dim=5, truncation=truncation)
    uniform = torch.rand(50, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(scipy.stats.norm.ppf(uniform.numpy(), scale=truncation)).float()
    torch.testing.assert_close(generator.latents(uniform), expected)


def test_empty_batch() -> None:
    assert FunctionGenerator(unconditional, z_dim=3)(torch.zeros(0, 3), y_of()).shape == (0, 1, 1, 3)


GENERATOR = FunctionGenerator(pixels, z_dim=4, num_classes=3, num_layers=2)
Z, Y = torch.zeros(2, 4), y_of(0, 1)


@pytest.mark.parametrize(
    ("z", "y", "part"),
    [
        (torch.zeros(2, 5), Y, r"z has shape \(2, 5\).*\(N, 4\) or \(N, 2, 4\)"),
        (torch.zeros(4), Y, r"z has shape \(4,\)"),
        (torch.zeros(2, 3, 4), Y, r"z has shape \(2, 3, 4\)"),
        (torch.zeros(2, 1, 4), Y, r"z has shape \(2, 1, 4\)"),
        (torch.tensor(1.0), Y, r"z has shape \(\)"),
        ([[0.0] * 4] * 2, Y, "z has shape list"),
        (torch.zeros(2, 4, dtype=torch.int64), Y, "z is torch.int64"),
        (Z, y_of(0), r"y has shape \(1,\); it should be \(2,\)"),
        (Z, torch.zeros(2, 3), "y is torch.float32, but 'function' takes class indices only"),
        (Z, y_of(0, 1)[:, None], r"y has shape \(2, 1\)"),
        (Z, 0, "y has shape int"),
        (Z, torch.zeros(2), "y is torch.float32"),
        (Z, y_of(0, 3), "class 3 in y is out of range.* 0-2"),
        (Z, y_of(-1, 0), "class -1 in y"),
    ],
)
def test_bad_z_and_y(z: Any, y: Any, part: str) -> None:
    with pytest.raises(UserError, match=part):
        GENERATOR(z, y)


@pytest.mark.parametrize(
    ("uniform", "part"),
    [
        (torch.full((2, 3), 0.5), r"\(N, 4\)"),
        (torch.full((4,), 0.5), r"\(N, 4\)"),
        (torch.tensor([[0.5, 0.5, 0.5, 0.0]]), "inside"),
        (torch.tensor([[0.5, 0.5, 0.5, 1.0]]), "inside"),
        (torch.tensor([[0.5, 0.5, 0.5, float("nan")]]), "inside"),
    ],
)
def test_bad_uniform(uniform: Tensor, part: str) -> None:
    with pytest.raises(UserError, match=part):
        GENERATOR.latents(uniform)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"z_dim": 0}, "z_dim is 0"),
        ({"z_dim": 2.0}, "z_dim is 2.0"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"num_classes": -1}, "num_classes is -1"),
        ({"resolution": 0}, "resolution is 0"),
        ({"channels": True}, "channels is True"),
        ({"class_names": ["a", "b"], "num_classes": 3}, "a name for each class"),
        ({"class_names": []}, "a name for each class"),
        ({"class_names": "cube"}, "a name for each class"),
        ({"truncation": 0}, "truncation is 0"),
        ({"truncation": 1.5}, "truncation is 1.5"),
        ({"truncation": float("nan")}, "truncation is nan"),
        ({"fn": 3}, "fn is int"),
        ({"fn": lambda: None}, "cannot be called"),
        ({"fn": lambda z, y, c: None}, "cannot be called"),  # noqa: ARG005
        ({"fn": lambda z, *, c: None}, "cannot be called"),  # noqa: ARG005
        ({"fn": lambda z: z}, r"shape \(1, 4\) for 1 latents"),
        ({"fn": lambda z: z.view(2, 2, 1, 1)}, r"shape \(2, 2, 1, 1\)"),
        ({"fn": lambda z: z.view(1, 4, 1, 1)[:, :0]}, "shape"),
        ({"fn": lambda z: [z]}, "returned list"),
    ],
)
def test_bad_function_generators(arguments: dict[str, Any], part: str) -> None:
    with pytest.raises(UserError, match=part):
        FunctionGenerator(**{"fn": unconditional, "z_dim": 4, **arguments})


def test_images_of_another_shape_than_said() -> None:
    generator = FunctionGenerator(unconditional, z_dim=4, resolution=8, channels=3)
    with pytest.raises(UserError, match="3 channels and a height of 8"):
        generator(Z, y_of(0, 0))
