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
