"""Class weights instead of class indices: both families, the fast and the reference implementation, and user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from pytorch_pretrained_biggan import BigGAN
from torch import Tensor
from torch.func import jvp

from benchmarks.full_size import NETWORKS
from benchmarks.random_networks import save_biggan_deep
from biggan_discovery.directions.shifts import shifted_images
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator, load_generator
from biggan_discovery.generators.fast.layers import rows_of
from biggan_discovery.objectives.samples import draw
from tests.brock_tiny import save_tiny_brock
from tests.generators.real_networks import FOLDER
from tests.tiny import save_tiny_biggan, tiny_network

KINDS = ["deep", "brock", "brock, flat", "brock, own embeddings"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FrozenGenerator]:
    folder = tmp_path_factory.mktemp("networks")
    own = {"G_shared": False, "hier": False, "shared_dim": 0}
    paths = {
        "deep": save_tiny_biggan(folder / "deep"),
        "brock": save_tiny_brock(folder / "brock"),
        "brock, flat": save_tiny_brock(folder / "flat", hier=False),
        "brock, own embeddings": save_tiny_brock(folder / "own", **own),
    }
    return {name: load_generator(path, device="cpu") for name, path in paths.items()}


def drawn(generator: FrozenGenerator, count: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator.z_dim, generator=random)


def mixes(generator: FrozenGenerator, count: int) -> Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.rand(count, generator.num_classes, generator=random).softmax(dim=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("implementation", ["fast", "reference"])
def test_one_hot_weights_give_the_image_of_the_index_bit_for_bit(networks, kind: str, implementation: str) -> None:
    generator = networks[kind] if implementation == "fast" else networks[kind].reference()
    z, y = drawn(generator, 5), torch.arange(5) % generator.num_classes
    hot = F.one_hot(y, generator.num_classes).float()
    assert torch.equal(generator(z, hot), generator(z, y))
    of_layers = hot[:, None].expand(-1, generator.num_layers, -1)
    assert torch.equal(generator(z, of_layers), generator(z, y))


@pytest.mark.parametrize("kind", KINDS)
def test_both_implementations_mix_alike(networks, kind: str) -> None:
    generator = networks[kind]
    z, y = drawn(generator, 4), mixes(generator, 4)
    torch.testing.assert_close(generator(z, y), generator.reference()(z, y), atol=2e-5, rtol=0)
    hard = generator(z, y.argmax(dim=1))
    assert (generator(z, y) - hard).abs().mean() > 1e-3


@pytest.mark.parametrize("kind", ["deep", "brock"])
def test_layers_may_have_weights_of_their_own(networks, kind: str) -> None:
    generator = networks[kind]
    z, y = drawn(generator, 3), mixes(generator, 3 * generator.num_layers).view(3, generator.num_layers, -1)
    torch.testing.assert_close(generator(z, y), generator.reference()(z, y), atol=2e-5, rtol=0)
    moved = y.clone()
    moved[:, 0] = moved[:, 0].roll(1, dims=1)
    # The first layer of Brock's hierarchical network sees no class.
    assert torch.equal(generator(z, moved), generator(z, y)) == (kind == "brock")
    moved[:, -1] = moved[:, -1].roll(1, dims=1)
    assert not torch.equal(generator(z, moved), generator(z, y))


def test_a_mix_is_what_the_package_makes_of_it(tmp_path: Path) -> None:
    """`pytorch_pretrained_biggan` takes class vectors, as deep-music-visualizer and big-sleep use them."""
    network: BigGAN = tiny_network()
    generator = load_generator(save_tiny_biggan(tmp_path), device="cpu")
    z, y = drawn(generator, 4).clamp(-2, 2), 1.7 * mixes(generator, 4)
    with torch.no_grad():
        expected = network(z, y, 1.0)
    torch.testing.assert_close(generator(z, y), expected, atol=2e-5, rtol=0)


def test_the_gradient_reaches_the_weights(networks) -> None:
    generator = networks["brock"].double()
    z, y = drawn(generator, 1).double(), mixes(generator, 1).double()
    probe = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def value(weights: Tensor) -> Tensor:
        return (generator(z, weights) * probe).sum()

    [slope] = torch.autograd.grad(value(y.requires_grad_()), y)
    step = 1e-6 * torch.eye(5, dtype=torch.float64)
    expected = [(value(y + each) - value(y - each)).item() / 2e-6 for each in step]
    torch.testing.assert_close(slope[0], torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=1e-5)
    generator.float()


def test_a_mix_does_not_depend_on_those_beside_it() -> None:
    table = torch.randn(1000, 128, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(7, 1000, generator=torch.Generator().manual_seed(1))
    together = rows_of(table, weights)
    assert torch.equal(together[3:4], rows_of(table, weights[3:4]))
    torch.testing.assert_close(together, (weights.double() @ table.double()).float(), atol=0, rtol=0)


@pytest.mark.usefixtures("fixtures_dir")
def test_the_real_network() -> None:
    generator = load_generator(FOLDER / "cifar32-biggan", device="cpu")
    z, y = generator.latents(torch.rand(10, generator.z_dim, dtype=torch.float64)), torch.arange(10)
    hot = torch.eye(10)
    assert torch.equal(generator(z, hot), generator(z, y))
    soft = 0.7 * hot + 0.3 * hot.roll(1, dims=0)
    torch.testing.assert_close(generator(z, soft), generator.reference()(z, soft), atol=5e-5, rtol=0)


def test_a_network_with_all_layers_and_classes_of_128_pixels(tmp_path: Path) -> None:
    made = save_biggan_deep(tmp_path, {**NETWORKS["biggan-deep-128"], "channel_width": 16})
    generator = load_generator(tmp_path, device="cpu")
    z, y = made.z[:1], made.y[:1]
    assert torch.equal(generator(z, F.one_hot(y, 1000).float()), generator(z, y))


def test_samples_of_soft_classes(networks) -> None:
    generator = networks["deep"]
    place = {"count": 64, "probes": 2, "path_size": 1.0, "seed": 0, "stream": 0, "step": 0}
    soft = draw(generator, [2, ((0, 0.25), (4, 0.75))], 3, **place)
    hard = draw(generator, [2, 4], 3, **place)
    assert torch.equal(soft.z, hard.z)
    rows = {tuple(row) for row in soft.y.tolist()}
    assert rows == {(0, 0, 1, 0, 0), (0.25, 0, 0, 0, 0.75)}
    assert torch.equal(soft.y.argmax(dim=1), hard.y)


def test_jacobians_of_soft_classes(networks) -> None:
    """Of one-hot weights they are those of the index."""
    generator = networks["deep"]
    z, axes = drawn(generator, 1), torch.eye(generator.z_dim)

    def rows(y: Tensor) -> Tensor:
        images, _ = shifted_images(generator, z, y)
        return torch.stack([jvp(images, (torch.zeros_like(z),), (axis[None],))[1] for axis in axes[:3]])

    assert torch.equal(rows(torch.eye(5)[3:4]), rows(torch.tensor([3])))


def test_a_users_own_function() -> None:
    def pixels(z: Tensor, y: Tensor) -> Tensor:
        return z[:, :3, None, None] + y.to(z).sum(dim=-1).view(-1, 1, 1, 1)

    soft = FunctionGenerator(pixels, z_dim=3, num_classes=2, mixes_classes=True)
    assert torch.equal(soft(torch.zeros(1, 3), torch.tensor([[0.5, 1.5]])), torch.full((1, 3, 1, 1), 2.0))
    with pytest.raises(UserError, match="takes class indices only"):
        FunctionGenerator(pixels, z_dim=3, num_classes=2)(torch.zeros(1, 3), torch.eye(2)[:1])


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (torch.zeros(2, 4), r"y has shape \(2, 4\); it should be \(2,\) or \(2, 5\) or \(2, 5, 5\)"),
        (torch.zeros(3, 5), r"y has shape \(3, 5\)"),
        (torch.zeros(2, 4, 5), r"y has shape \(2, 4, 5\)"),
        (torch.zeros(2, 5, dtype=torch.float64), r"y are torch.float64 on cpu, but the generator is torch.float32"),
    ],
)
def test_bad_weights(networks, y: Tensor, said: str) -> None:
    with pytest.raises(UserError, match=said):
        networks["deep"](torch.zeros(2, 16), y)
