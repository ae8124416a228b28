"""LPIPS is used if it is available."""

from __future__ import annotations

import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from biggan_discovery.evaluation import path_length
from biggan_discovery.evaluation.lpips_distance import lpips_distance
from biggan_discovery.generators import FunctionGenerator


def colours(side: int = 32) -> FunctionGenerator:
    return FunctionGenerator(lambda z: z[:, :3, None, None].expand(-1, -1, side, side), z_dim=4)


class Fake(nn.Module):
    """A mock of the package's network: twice the mean squared difference, (N, 1, 1, 1)."""

    def __init__(self, net: str, verbose: bool):
        super().__init__()
        assert (net, verbose) == ("alex", False)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return 2 * (one - other).square().mean(dim=(1, 2, 3), keepdim=True)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    package = types.ModuleType("lpips")
    package.__spec__ = ModuleSpec("lpips", None)
    package.__dict__["LPIPS"] = Fake
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path


def test_without_the_package_or_its_weights_there_is_none(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lpips_distance(colours()) is None
    (installed / "checkpoints").mkdir()
    assert lpips_distance(colours()) is None
    (installed / "checkpoints" / "alexnet-owt-7be5be79.pth").touch()
    assert lpips_distance(colours()) is not None
    monkeypatch.setitem(sys.modules, "lpips", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert lpips_distance(colours()) is None


def test_small_or_grey_images_have_none(installed: Path) -> None:
    (installed / "checkpoints").mkdir()
    (installed / "checkpoints" / "alexnet-owt-7be5be79.pth").touch()
    assert lpips_distance(colours(16)) is None
    assert lpips_distance(FunctionGenerator(lambda z: z[:, :1, None, None].expand(-1, 1, 32, 32), z_dim=4)) is None


def test_path_length_by_lpips(installed: Path) -> None:
    (installed / "checkpoints").mkdir()
    (installed / "checkpoints" / "alexnet-owt-7be5be79.pth").touch()
    distance = lpips_distance(colours())
    assert distance is not None
    found = path_length(colours(), torch.eye(4), samples=2, distance=distance)
    # A step of w changes one of three channels by w everywhere: twice a third.
    assert [each.mean for each in found.length] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0], rel=1e-3)
    assert [each.mean for each in found.change_per_unit] == pytest.approx([3**-0.5] * 3 + [0], rel=1e-3)
