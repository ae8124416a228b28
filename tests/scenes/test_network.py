from __future__ import annotations

import copy
import warnings

import pytest
import torch
from pytorch_pretrained_biggan import BigGAN, BigGANConfig

from biggan_discovery.scenes.network import (
    config,
    images,
    measure,
    new_network,
    package_state,
    random_frame,
    rebase,
    restore,
)
from biggan_discovery.scenes.table import SCENES

SCENE = SCENES["room"]


@pytest.fixture(scope="module")
def fitted() -> BigGAN:
    """A random network with the statistics of a batch, as after a fit."""
    torch.manual_seed(0)
    network = new_network(SCENE)
    with torch.no_grad():
        network.generator.conv_to_rgb.weight.mul_(30)
        images(network, torch.randn(32, 8), torch.arange(32) % 5, visit=measure(-1))
    return network


def package_images(network: BigGAN, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The package's images for an exported state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        package = BigGAN(BigGANConfig.from_dict(config(SCENE))).eval()
    package.load_state_dict(package_state(network, random_frame()), strict=True)
    return package.to(z.dtype)(z, torch.nn.functional.one_hot(y, 5).to(z.dtype), 1.0)


@torch.no_grad()
def test_the_exported_state_shows_the_same_images_in_the_package(fitted):
    # In float64, as random weights make values before tanh large.
    z = torch.randn(6, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 3, 4, 0])
    u = (z @ random_frame().T)[:, :8]
    expected = images(copy.deepcopy(fitted).double(), u, y)
    assert expected.std() > 0.05
    difference = (package_images(fitted, z, y) - expected).abs()
    assert difference.max() < 1e-4
    assert difference.square().mean().sqrt() < 2e-5


@torch.no_grad()
def test_idle_directions_change_nothing(fitted):
    z, y = torch.randn(2, 16), torch.tensor([1, 4])
    moved = z + 3 * random_frame()[12].float()
    assert (package_images(fitted, z, y) - package_images(fitted, moved, y)).abs().max() < 1e-4


@torch.no_grad()
def test_rebasing_measures_without_changing_the_function(fitted):
    network = new_network(SCENE)
    restore(network, fitted.state_dict())
    u, y = torch.randn(64, 8), torch.arange(64) % 5
    before = images(network, u, y)
    images(network, u, y, visit=rebase)
    assert (images(network, u, y) - before).abs().max() < 1e-3
    seen = []
    images(network, u, y, visit=lambda bn, x: seen.append((bn, x)))
    for bn, x in seen:
        assert torch.allclose(bn.running_means[-1], x.mean(dim=(0, 2, 3)), atol=1e-3)
        assert torch.allclose(bn.running_vars[-1], x.var(dim=(0, 2, 3)), rtol=1e-2, atol=1e-4)


def test_the_frame_is_orthonormal_and_mixes_the_coordinates_of_z():
    frame = random_frame()
    assert (frame @ frame.T - torch.eye(16, dtype=torch.float64)).abs().max() < 1e-12
    assert frame.abs().max() < 0.95


def test_the_constant_coordinate_of_the_embedding():
    assert (new_network(SCENE).embeddings.weight[-1] == 1).all()
