"""Bundled predictors predict factors from held-out renders and from generated images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from biggan_discovery import load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.metrics.factors import factor_values
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator
from biggan_discovery.generators.catalogue import find_folder
from biggan_discovery.generators.factor_predictor import FACTOR_PREDICTOR, load_factor_predictor
from biggan_discovery.scenes.predictor import fit_predictor, save_factor_predictor, train_factor_predictor
from biggan_discovery.scenes.rotate import rotate
from biggan_discovery.scenes.table import SCENES, find_scene, scene_of
from tests.tiny import save_tiny_biggan

ROOM = find_scene("room")


@pytest.fixture(scope="module", params=[scene.checkpoint for scene in SCENES.values()])
def generator(request: pytest.FixtureRequest) -> FrozenGenerator:
    return load_generator(request.param, device="cpu")


def test_it_reads_renders(generator: FrozenGenerator) -> None:
    predictor = generator.factor_predictor()
    assert predictor is not None
    factors = torch.rand(15, 8, generator=torch.Generator().manual_seed(12345))
    read = predictor(scene_of(generator).render(factors, torch.arange(15) % 5))
    assert (read - factors).abs().mean() < 0.02
    assert (read - factors).square().mean().sqrt() < 0.04


def test_it_reads_generated_images(generator: FrozenGenerator) -> None:
    predictor = generator.factor_predictor()
    assert predictor is not None
    assert generator.true_directions is not None
    z = torch.randn(10, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        read = predictor(generator(z, torch.arange(10) % 5))
    truth = factor_values(z, generator.true_directions)
    assert (read - truth).abs().mean() < 0.03


def test_the_predictor_is_read_beside_the_weights(tmp_path: Path) -> None:
    folder = shutil.copytree(find_folder("scenes-64")[1], tmp_path / "copy")
    generator = load_generator(folder, device="cpu")
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    predictor, bundled = generator.factor_predictor(), load_generator("scenes-64", device="cpu").factor_predictor()
    assert predictor is not None
    assert bundled is not None
    assert torch.equal(predictor(images), bundled(images))
    (folder / FACTOR_PREDICTOR).write_bytes(b"cut")
    with pytest.raises(UserError, match=r"copy/factor_predictor\.safetensors is not a predictor of 8 factors"):
        generator.factor_predictor()
    (folder / FACTOR_PREDICTOR).unlink()
    assert generator.factor_predictor() is None


def test_generators_without_known_factors_have_none(tmp_path: Path) -> None:
    folder = save_tiny_biggan(tmp_path)
    shutil.copy(find_folder("scenes-64")[1] / FACTOR_PREDICTOR, folder)
    assert load_generator(folder, device="cpu").factor_predictor() is None
    assert FunctionGenerator(lambda z: z[:, None, None], z_dim=4).factor_predictor() is None


def test_a_rotated_generator_keeps_its_predictor(tmp_path: Path) -> None:
    rotate(find_folder("scenes-apart")[1], tmp_path / "rotated", seed=1)
    assert load_generator(tmp_path / "rotated", device="cpu").factor_predictor() is not None


def test_a_fit_ends_in_a_file_that_is_judged_on_held_out_renders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renders(scene: object, folder: Path, count: int, seed: int) -> dict[str, torch.Tensor]:
        assert (scene, folder, seed) == (ROOM, tmp_path, 3)
        u = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
        colour = (torch.special.ndtr(u[:, :3]) * 255).round().byte()
        return {"u": u, "images": colour[:, :, None, None].expand(-1, -1, 64, 64)}

    monkeypatch.setattr("biggan_discovery.scenes.predictor.load_renders", renders)
    explained = fit_predictor(ROOM, tmp_path, tmp_path / FACTOR_PREDICTOR, count=1300, epochs=4, seed=3)
    assert (tmp_path / FACTOR_PREDICTOR).stat().st_size < 600_000
    # Three factors are the image's colour; the others are not in it.
    assert explained[:3].min() > 0.3
    assert explained[3:].max() < 0.05


@pytest.fixture(scope="module")
def coloured() -> tuple[Tensor, Tensor]:
    """Uniform images whose colour encodes the factors."""
    factors = torch.rand(300, 3, generator=torch.Generator().manual_seed(0))
    return (factors * 255).round().byte()[:, :, None, None].expand(-1, -1, 64, 64), factors


def test_a_predictor_learns_survives_its_file_and_leaves_the_random_state(
    coloured: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    images, factors = coloured
    state = torch.get_rng_state()
    network = train_factor_predictor(images[:240], factors[:240], epochs=5)
    assert torch.equal(torch.get_rng_state(), state)
    save_factor_predictor(network, tmp_path / "predictor.safetensors")
    restored = load_factor_predictor(tmp_path / "predictor.safetensors", 3)
    held = images[240:].float() / 127.5 - 1
    torch.testing.assert_close(restored(held), network(held), rtol=0, atol=5e-3)
    error = (restored(held) - factors[240:]).square().mean(dim=0) / factors[240:].var(dim=0)
    assert error.max() < 0.5


def test_bad_predictor_files_and_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(UserError, match=r"bad\.safetensors is not a predictor of 3 factors"):
        load_factor_predictor(tmp_path / "bad.safetensors", 3)
    network = train_factor_predictor(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), torch.rand(2, 3), epochs=1)
    save_factor_predictor(network, tmp_path / "three.safetensors")
    with pytest.raises(UserError, match="not a predictor of 4 factors"):
        load_factor_predictor(tmp_path / "three.safetensors", 4)
    with pytest.raises(UserError, match=r"images have shape \(1, 3, 32, 32\)"):
        network(torch.zeros(1, 3, 32, 32))
