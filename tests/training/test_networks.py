"""The trained networks are those of BigGAN-PyTorch: what is written loads as a generator and gives the same images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from biggan_discovery import load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.generators.biggan_deep import BigGANDeep
from biggan_discovery.generators.biggan_deep_files import read_config_file, tensor_shapes
from biggan_discovery.training.architecture import Architecture
from biggan_discovery.training.deep_architecture import DeepArchitecture
from biggan_discovery.training.deep_discriminator import DeepDiscriminator
from biggan_discovery.training.deep_generator import DeepGenerator
from biggan_discovery.training.discriminator import Discriminator
from biggan_discovery.training.export import write_generator
from biggan_discovery.training.generator import BaseGenerator, Generator, standing
from biggan_discovery.training.layers import Convolution, Spectral, norms, power_iteration

ARCHITECTURES = {
    "hierarchical": Architecture(32, 4, 16, 3, 8, chunks=True, attention=0),
    "attention": Architecture(64, 4, 20, 3, 8, chunks=True, attention=16),
    "no chunks": Architecture(32, 4, 12, 3, 8, chunks=False, attention=8),
    "no shared embedding": Architecture(32, 4, 12, 2, 0, chunks=False, attention=0),
    "128": Architecture(128, 8, 24, 2, 4, chunks=True, attention=64),
    "256": Architecture(256, 8, 14, 2, 4, chunks=True, attention=0),
}


DEEP = {
    "deep 32": DeepArchitecture(32, 4, 8, 3, 8, chunks=False, attention=0),
    "deep 64": DeepArchitecture(64, 4, 8, 2, 8, chunks=False, attention=16),
    "deep 128": DeepArchitecture(128, 4, 8, 2, 8, chunks=False, attention=64),
    "deep 256": DeepArchitecture(256, 4, 8, 2, 8, chunks=False, attention=0),
}


def trained(architecture: Architecture) -> BaseGenerator:
    """A network with standing statistics and other weights than initial ones."""
    torch.manual_seed(0)
    deep = isinstance(architecture, DeepArchitecture)
    network = DeepGenerator(architecture) if deep else Generator(architecture)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    network.eval()
    for row in (25, -1) if deep else (-1,):
        with torch.no_grad(), standing(network, row):
            z = network.truncations[row] * torch.randn(8, architecture.z_dim)
            network(z, torch.arange(8) % architecture.classes)
    return network


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_folder_is_a_generator(name: str, tmp_path: Path) -> None:
    architecture = ARCHITECTURES[name]
    network = trained(architecture)
    classes = tuple("abcdef"[: architecture.classes])
    write_generator(network, classes, tmp_path)
    generator = load_generator(str(tmp_path))
    assert (generator.z_dim, generator.num_layers) == (architecture.z_dim, architecture.layers)
    assert (generator.resolution, generator.class_names) == (architecture.resolution, classes)
    z, y = torch.randn(4, architecture.z_dim), torch.arange(4) % architecture.classes
    with torch.no_grad():
        torch.testing.assert_close(network(z, y), generator(z, y), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(network(z, y), generator.reference()(z, y), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", DEEP)
def test_the_folder_is_a_biggan_deep(name: str, tmp_path: Path) -> None:
    architecture = DEEP[name]
    network = trained(architecture)
    write_generator(network, tuple("abc"[: architecture.classes]), tmp_path)
    config = read_config_file(tmp_path / "config.json")
    assert tensor_shapes(config) == {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert (config.resolution, config.num_layers) == (architecture.resolution, 1 + architecture.blocks)
    if name in ("deep 64", "deep 256"):
        return
    network.double()
    z, y = torch.randn(2, architecture.z_dim, dtype=torch.float64), torch.arange(2)
    for row, truncation in ((-1, 1.0), (25, 0.5)):
        generator = BigGANDeep(tmp_path, name="x", truncation=truncation, dtype=torch.float64)
        for norm in norms(network):
            norm.row = row
        with torch.no_grad():
            images = network(z, y).double()
            torch.testing.assert_close(images, generator(z, y), rtol=0, atol=1e-5)
            torch.testing.assert_close(images, generator.reference()(z, y), rtol=0, atol=1e-5)


def test_a_published_checkpoint_has_the_same_tensors(fixtures_dir: Path) -> None:
    weights = fixtures_dir / "real" / "cifar32-biggan" / "G_ema.pth"
    network = Generator(Architecture(32, 48, 80, 10, 128, chunks=True, attention=0)).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    generator = load_generator(str(weights))
    z, y = torch.randn(4, 80, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    with torch.no_grad():
        torch.testing.assert_close(network(z, y), generator(z, y), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", [*ARCHITECTURES, *DEEP])
def test_the_discriminator_sees_image_and_class(name: str) -> None:
    torch.manual_seed(0)
    architecture = ARCHITECTURES[name] if name in ARCHITECTURES else DEEP[name]
    network = DeepDiscriminator(architecture) if name in DEEP else Discriminator(architecture)
    images = torch.randn(2, 3, architecture.resolution, architecture.resolution, requires_grad=True)
    one, other = network(images, torch.tensor([0, 0])), network(images, torch.tensor([1, 1]))
    assert one.shape == (2,)
    assert (one != other).all()
    (gradient,) = torch.autograd.grad(one.sum(), images)
    assert (gradient.abs().sum(dim=(1, 2, 3)) > 0).all()


def test_spectral_norms_are_1() -> None:
    torch.manual_seed(0)
    layer = Convolution(6, 5, 3)
    for _ in range(50):
        power_iteration(layer)
    exact = torch.linalg.matrix_norm(layer.weight.detach().flatten(1).double(), ord=2)
    torch.testing.assert_close(layer.normalized() * exact.float(), layer.weight)
    torch.testing.assert_close(layer.sv0[0], exact.float())
    # W/σ does not depend on the length of W, so its gradient is orthogonal to W.
    (gradient,) = torch.autograd.grad((layer.normalized() * torch.randn_like(layer.weight)).sum(), layer.weight)
    assert abs((gradient * layer.weight).sum()) < 1e-4 * gradient.norm() * layer.weight.norm()


def test_a_forward_pass_changes_nothing() -> None:
    network = Generator(ARCHITECTURES["hierarchical"]).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(torch.randn(4, 16), torch.arange(4) % 3)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    power_iteration(network)
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(before[name], tensor)}
    assert {name.rpartition(".")[2] for name in changed} == {"u0", "sv0"}
    assert len(changed) == 2 * sum(isinstance(module, Spectral) for module in network.modules())


def test_standing_statistics_are_means_over_batches() -> None:
    torch.manual_seed(0)
    network = Generator(ARCHITECTURES["hierarchical"]).eval()
    seen: list[torch.Tensor] = []
    first = norms(network)[0]
    z, y = torch.randn(3, 5, 16), torch.zeros(5, dtype=torch.int64)
    with torch.no_grad(), standing(network):
        for part in z:
            seen.extend(network.activations(part, y, ("linear",)))
            network(part, y)
    torch.testing.assert_close(first.stored_mean, torch.stack([x.mean(dim=(0, 2, 3)) for x in seen]).mean(dim=0))
    torch.testing.assert_close(first.stored_var, torch.stack([x.var(dim=(0, 2, 3)) for x in seen]).mean(dim=0))


def test_activations_by_name() -> None:
    network = Generator(ARCHITECTURES["hierarchical"]).eval()
    z, y = torch.randn(2, 16), torch.arange(2)
    assert network.names == ("linear", "block0", "block1", "block2", "image")
    image, first = network.activations(z, y, ("image", "block0"))
    assert (image.shape, first.shape) == ((2, 3, 32, 32), (2, 16, 8, 8))
    torch.testing.assert_close(image, network(z, y))


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (Architecture(32, 4, 18, 3, 8, chunks=True, attention=0), "multiple of 4, such as 16 or 20"),
        (Architecture(32, 4, 16, 3, 0, chunks=True, attention=0), "shared_dim is 0"),
        (Architecture(32, 4, 16, 3, 8, chunks=True, attention=64), "0 or one of 8, 16, 32"),
        (Architecture(32, 1, 16, 3, 8, chunks=True, attention=8), "4 channels"),
        (DeepArchitecture(32, 4, 8, 3, 8, chunks=True, attention=0), "no chunks"),
        (DeepArchitecture(32, 4, 8, 3, 9, chunks=False, attention=0), "shared_dim is 9"),
        (DeepArchitecture(32, 3, 8, 3, 8, chunks=False, attention=0), "width is 3"),
        (DeepArchitecture(32, 4, 8, 3, 8, chunks=False, attention=64), "0 or one of 8, 16"),
    ],
)
def test_architectures_that_cannot_be(architecture: Architecture, message: str) -> None:
    with pytest.raises(UserError, match=message):
        architecture.check()
