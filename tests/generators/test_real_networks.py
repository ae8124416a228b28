"""Networks trained by others, as plain PyTorch modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from biggan_discovery import contact_sheet, discover, draw, edit, load_generator
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator
from biggan_discovery.rendering import settings_of
from tests.generators import real_networks

NAMES = ("celeba64-dcgan", "celeba32-dcgan", "mnist28-cwgan")
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest, fixtures_dir: Path) -> str:
    assert (fixtures_dir / "real" / request.param).is_dir()
    return request.param


def expected(name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, classes and images that the original code computed."""
    known = load_file(real_networks.FOLDER / name / "expected.safetensors")
    z, y = known["input"], torch.zeros(len(known["input"]), dtype=torch.int64)
    if name == "mnist28-cwgan":
        z, part = z.split(10, dim=1)
        table = load_file(real_networks.FOLDER / name / "generator.safetensors")["embed.weight"]
        distance, y = torch.cdist(part, table).min(dim=1)
        assert distance.max() < 1e-3
    return z, y, known["image"]


def test_function_generator_shows_what_the_original_showed(name: str) -> None:
    network = real_networks.load(name)
    classes: dict[str, Any] = {"num_classes": 10} if name == "mnist28-cwgan" else {}
    generator = FunctionGenerator(network, z_dim=expected(name)[0].shape[1], **classes)
    reproduces(generator, name)


def reproduces(generator: FrozenGenerator, name: str) -> None:
    z, y, images = expected(name)
    assert (generator.z_dim, generator.channels, generator.resolution) == (z.shape[1], images.shape[1], images.shape[2])
    torch.testing.assert_close(generator(z, y), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("form", ["instance", "function", "file of a generator"])
def test_by_module_and_attribute(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.syspath_prepend(ROOT)
    prior = "uniform" if name == "celeba32-dcgan" else "normal"
    (tmp_path / "my_gan.py").write_text(
        "from biggan_discovery import FunctionGenerator\n"
        "from tests.generators import real_networks\n"
        f"def make(): return real_networks.load({name!r})\n"
        "network = make()\n"
        f"generator = FunctionGenerator(network, z_dim=network.z_dim, prior={prior!r}, "
        "num_classes=getattr(network, 'num_classes', None))\n"
    )
    attribute = {"instance": "network", "function": "make", "file of a generator": "generator"}[form]
    generator = load_generator(f"{tmp_path}/my_gan.py:{attribute}", device="cpu")
    reproduces(generator, name)
    assert len(generator.sha256) == 64
    assert generator.num_classes == (10 if name == "mnist28-cwgan" else 1)
    if attribute == "generator" and prior == "uniform":
        uniform = torch.rand(5, 100, dtype=torch.float64)
        torch.testing.assert_close(generator.latents(uniform), (2 * uniform - 1).float())


@pytest.mark.parametrize(("name", "prior"), [("celeba32-dcgan", "uniform"), ("celeba64-dcgan", "normal")])
def test_closed_forms_take_the_first_layer_of_a_dcgan(fixtures_dir: Path, name: str, prior: str) -> None:
    assert (fixtures_dir / "real" / name).is_dir()
    network = real_networks.load(name)
    assert isinstance(network, nn.Sequential)
    first = network[1]
    assert isinstance(first, nn.ConvTranspose2d)
    generator = FunctionGenerator(network, z_dim=100, prior=prior, projections=first.weight.flatten(1).T)
    z = generator.latents(torch.rand(3, 100, dtype=torch.float64))
    # One row per output of the layer, before the norm.
    torch.testing.assert_close(
        (z @ generator.projections().T), first(z[:, :, None, None]).flatten(1), atol=1e-4, rtol=1e-4
    )
    for method in ("sefa", "ganspace"):
        found = discover(generator, method=method, directions=3, judge=False, quiet=True)
        torch.testing.assert_close(found.Q @ found.Q.T, torch.eye(3), atol=1e-4, rtol=0)
        assert found.metadata["prior"] == prior
        if method == "sefa":
            # Shen & Zhou 2021: eigenvectors of the weight whose rows have length 1.
            W = first.weight.detach().double().flatten(1).T
            values, vectors = torch.linalg.eigh((W / W.norm(dim=1, keepdim=True)).T @ (W / W.norm(dim=1, keepdim=True)))
            cosines = (found.Q.double() * vectors.T.flip(0)[:3]).sum(dim=1).abs()
            torch.testing.assert_close(cosines, torch.ones(3, dtype=torch.float64), atol=1e-4, rtol=0)
            assert found.strengths == pytest.approx(values.flip(0)[:3].tolist(), rel=1e-4)


def test_a_users_file_is_searched_and_drawn(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    (tmp_path / "my_gan.py").write_text(
        f"from tests.generators import real_networks\nnetwork = real_networks.load({name!r})\n"
    )
    generator = load_generator(f"{tmp_path}/my_gan.py:network", device="cpu")
    found = discover(generator, method="jacobian", samples=2, directions=3, judge=False, quiet=True)
    file = tmp_path / "found.safetensors"
    found.save(file)
    contact_sheet(generator, tmp_path / "samples.png", samples=3, quiet=True)
    draw(generator, file, tmp_path / "strip.png", frames=3, quiet=True)
    edit(generator, file, {0: 2.0}, tmp_path / "edit.png", pick=[1], quiet=True)
    digits = name == "mnist28-cwgan"
    assert settings_of(tmp_path / "samples.png")["samples"] == [
        f"{i} class {i}" if digits else str(i) for i in range(3)
    ]
    assert settings_of(tmp_path / "edit.png")["generator_sha256"] == found.metadata["generator_sha256"]
