"""Wrapped modules, and projections of a user's own network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from biggan_discovery import discover
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator


class OfZ(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 12)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.linear(z)).view(-1, 3, 2, 2)


class OfBoth(OfZ):
    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        return super().forward(z) + label[:, None, None, None]


@pytest.mark.parametrize("network", [OfZ, OfBoth])
@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        lambda network: torch.compile(network, backend="eager"),
        lambda network: nn.DataParallel(torch.compile(network, backend="eager")),
    ],
    ids=["parallel", "compiled", "both"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore::UserWarning:torch")
def test_wrapped_modules_take_what_the_module_inside_takes(network: type[OfZ], wrap: Any) -> None:
    inner = network()
    generator = FunctionGenerator(wrap(inner), z_dim=6, num_classes=3)
    z, y = torch.randn(2, 6), torch.tensor([1, 2])
    assert torch.equal(generator(z, y), inner(z, y) if network is OfBoth else inner(z))


def test_distributed_modules_take_what_the_module_inside_takes() -> None:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        inner = OfZ()
        generator = FunctionGenerator(nn.parallel.DistributedDataParallel(inner), z_dim=6)
        z, y = torch.randn(2, 6), torch.tensor([0, 0])
        assert torch.equal(generator(z, y), inner(z))
    finally:
        torch.distributed.destroy_process_group()


def test_closed_forms_decompose_the_projections() -> None:
    network = OfZ()
    generator = FunctionGenerator(network, z_dim=6, projections=network.linear.weight)
    assert torch.equal(generator.projections(), network.linear.weight)
    rows = nn.functional.normalize(network.linear.weight.detach().double())  # SeFa weighs all outputs alike.
    _, _, right = torch.linalg.svd(rows)
    found = discover(generator, method="sefa", judge=False, quiet=True)
    torch.testing.assert_close((found.Q.double() @ right.T).abs(), torch.eye(6).double(), atol=1e-4, rtol=0)
    assert len(discover(generator, method="ganspace", directions=2, judge=False, quiet=True)) == 2


def test_projections_follow_the_generator() -> None:
    generator = FunctionGenerator(OfZ(), z_dim=6, projections=torch.ones(4, 6)).double()
    assert generator.projections().dtype == torch.float64
    assert not generator.projections().requires_grad
    assert "_projections" not in generator.state_dict()


def test_projections_are_for_all_layers() -> None:
    weight = torch.randn(4, 3)
    generator = FunctionGenerator(lambda z: z[:, None], z_dim=3, num_layers=4, projections=weight)
    assert torch.equal(generator.projections("0-3"), weight)
    with pytest.raises(UserError, match="are for all layers, not for mid; give layers all"):
        generator.projections("mid")


@pytest.mark.parametrize(
    ("weight", "said"), [(torch.ones(6), r"\(6,\)"), (torch.ones(4, 5), r"\(4, 5\)"), ([[1.0] * 6], "list")]
)
def test_bad_projections(weight: Any, said: str) -> None:
    with pytest.raises(UserError, match=rf"projections has shape {said}; it should be \(rows, 6\)"):
        FunctionGenerator(OfZ(), z_dim=6, projections=weight)


class Passing(nn.Module):
    """Passes all arguments on, as wrappers of other libraries do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.inner(*args, **kwargs)


class Optional(OfZ):
    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return super().forward(z) + (100 if y is None else y[:, None, None, None])


class Keyword(OfZ):
    def forward(self, z: Tensor, *, y: Tensor) -> Tensor:
        return super().forward(z) + y[:, None, None, None]


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("sizes", [{}, {"resolution": 2, "channels": 3}], ids=["asked", "given"])
@pytest.mark.parametrize("network", [OfZ, OfBoth, Optional, Keyword])
def test_functions_get_y_where_they_take_it(network: type[OfZ], sizes: dict[str, int], depth: int) -> None:
    fn = inner = network()
    for _ in range(depth):
        fn = Passing(fn)
    generator = FunctionGenerator(fn, z_dim=6, num_classes=3, **sizes)
    z, y = torch.randn(2, 6), torch.tensor([1, 2])
    assert torch.equal(generator(z, y), OfZ.forward(inner, z) + (0 if network is OfZ else y[:, None, None, None]))


def test_a_second_argument_that_is_not_y_is_left_alone_where_there_are_no_classes() -> None:
    class Truncated(OfZ):
        def forward(self, z: Tensor, truncation: float = 1.0) -> Tensor:
            return super().forward(truncation * z)

    inner = Truncated()
    z = torch.randn(2, 6)
    assert torch.equal(FunctionGenerator(Passing(inner), z_dim=6)(z, torch.zeros(2, dtype=torch.int64)), inner(z))


@pytest.mark.parametrize(
    "fn", [lambda z: z.detach()[:, :3, None, None] * torch.ones(4, 4), lambda z: torch.zeros(len(z), 3, 4, 4)]
)
@pytest.mark.parametrize("method", ["hessian", "orojar"])
@pytest.mark.filterwarnings("ignore")
def test_images_without_a_gradient_are_one_line(fn: Any, method: str) -> None:
    with pytest.raises(UserError, match="have no gradient with respect to z"):
        discover(FunctionGenerator(fn, z_dim=6), method=method, solver="adam", steps=1, judge=False, quiet=True)


def test_weights_with_a_gradient_do_not_hide_that_z_has_none() -> None:
    linear = nn.Linear(6, 12)

    def fn(z: Tensor) -> Tensor:
        return linear(z.detach()).view(-1, 3, 2, 2)

    with pytest.raises(UserError, match="have no gradient with respect to z"):
        discover(FunctionGenerator(fn, z_dim=6), method="hessian", solver="adam", steps=1, judge=False, quiet=True)


def test_joint_diagonalization_says_that_derivatives_are_not_finite() -> None:
    def fn(z: Tensor) -> Tensor:  # Finite where the network is tried, not at some latents beyond.
        return torch.where(z[:, :1] > 1.2, torch.nan, torch.tanh(z[:, 1:4]))[:, :, None, None].expand(-1, -1, 4, 4)

    with pytest.raises(UserError, match=r"not finite at latent \d+ .*try another --seed"):
        discover(FunctionGenerator(fn, z_dim=6), samples=20, judge=False, quiet=True)
