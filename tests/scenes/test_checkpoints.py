"""The bundled generators in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator, load_generator
from biggan_discovery.generators.catalogue import find_folder
from biggan_discovery.scenes.export import fidelity
from biggan_discovery.scenes.network import random_frame
from biggan_discovery.scenes.rotate import rotate
from biggan_discovery.scenes.scene import Scene
from biggan_discovery.scenes.table import SCENES, scene_of

NEW = [SCENES["apart"], SCENES["overlap"]]


@pytest.fixture(scope="module", params=NEW, ids=lambda scene: scene.checkpoint)
def scene(request: pytest.FixtureRequest) -> Scene:
    return request.param


@pytest.fixture(scope="module")
def generator(scene: Scene) -> FrozenGenerator:
    return load_generator(scene.checkpoint, device="cpu")


def latents(generator: FrozenGenerator, count: int) -> torch.Tensor:
    uniform = torch.rand(count, generator.z_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    return generator.latents(uniform)


@pytest.mark.parametrize("scene", SCENES.values(), ids=lambda scene: scene.checkpoint)
def test_folders_are_small(scene):
    _, folder = find_folder(scene.checkpoint)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 8 * 2**20


def test_what_is_known_about_a_generator(generator, scene):
    assert generator.class_names == scene.classes
    assert generator.factor_names == scene.factors
    assert generator.defaults().items() >= scene.settings.items()
    assert scene_of(generator) is scene
    rows = generator.true_directions
    assert torch.allclose(rows @ rows.T, torch.eye(8), atol=1e-6)


def test_images_are_those_of_the_scene(generator):
    decibels = fidelity(generator, 20)
    assert decibels.mean() > 33
    assert decibels.min() > 25


@torch.no_grad()
def test_true_directions_move_the_image_and_others_do_not(generator):
    z, y = latents(generator, 5), torch.arange(5)
    before = generator(z, y)
    frame = random_frame()[8:].float()
    for row in generator.true_directions:
        assert (generator(z + row, y) - before).square().mean().sqrt() > 0.02
    for row in frame[:2]:
        assert (generator(z + row, y) - before).abs().max() < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rotating_turns_images_and_true_directions_alike(generator, scene, seed, tmp_path: Path):
    rotate(find_folder(scene.checkpoint)[1], tmp_path, seed)
    rotated = load_generator(tmp_path, device="cpu")
    assert (rotated.factor_names, rotated.class_names) == (scene.factors, scene.classes)
    assert (rotated.true_directions @ generator.true_directions.T).abs().max() < 0.95
    z, y = latents(generator, 4), torch.arange(4)
    turned = z @ random_frame(seed).float().T
    moved = rotated(z + 2 * rotated.true_directions[3], y)
    assert (moved - generator(turned + 2 * generator.true_directions[3], y)).abs().max() < 1e-3
    assert (moved - rotated(z, y)).abs().max() > 0.1


def test_a_generator_of_no_scene():
    function = FunctionGenerator(lambda z: z[:, :3, None, None], z_dim=4)
    with pytest.raises(UserError, match="was not fitted to a scene"):
        scene_of(function)
