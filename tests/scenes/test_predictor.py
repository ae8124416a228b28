"""Bundled predictors read factors off renders that they have not seen, and off generated images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from biggan_discovery import load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.metrics.factors import factor_values
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.scenes.predictor import FILE, find_predictor, fit_predictor
from biggan_discovery.scenes.table import SCENES, find_scene, scene_of
from tests.tiny import save_tiny_biggan

ROOM = find_scene("room")


@pytest.fixture(scope="module", params=[scene.checkpoint for scene in SCENES.values()])
def generator(request: pytest.FixtureRequest) -> FrozenGenerator:
    return load_generator(request.param, device="cpu")


def test_it_reads_renders(generator: FrozenGenerator) -> None:
    predictor = find_predictor(generator)
    assert predictor is not None
    factors = torch.rand(15, 8, generator=torch.Generator().manual_seed(12345))
    read = predictor(scene_of(generator).render(factors, torch.arange(15) % 5))
    assert (read - factors).abs().mean() < 0.02
    assert (read - factors).square().mean().sqrt() < 0.04


def test_it_reads_generated_images(generator: FrozenGenerator) -> None:
    predictor = find_predictor(generator)
    assert predictor is not None
    assert generator.true_directions is not None
    z = torch.randn(10, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        read = predictor(generator(z, torch.arange(10) % 5))
    truth = factor_values(z, generator.true_directions)
    assert (read - truth).abs().mean() < 0.03


def test_other_generators_have_none_and_damaged_files_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = load_generator("scenes-64", device="cpu")
    assert find_predictor(load_generator(save_tiny_biggan(tmp_path / "tiny"), device="cpu")) is None
    monkeypatch.setenv("BIGGAN_DISCOVERY_CHECKPOINTS", str(tmp_path))
    save_tiny_biggan(tmp_path / "scenes-64")
    assert find_predictor(generator) is None
    (tmp_path / "scenes-64" / FILE).write_bytes(b"cut")
    with pytest.raises(UserError, match="not a predictor of 8 factors"):
        find_predictor(generator)


def test_a_fit_ends_in_a_file_that_is_judged_on_held_out_renders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renders(scene: object, folder: Path, count: int, seed: int) -> dict[str, torch.Tensor]:
        assert (scene, folder, seed) == (ROOM, tmp_path, 3)
        u = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
        colour = (torch.special.ndtr(u[:, :3]) * 255).round().byte()
        return {"u": u, "images": colour[:, :, None, None].expand(-1, -1, 64, 64)}

    monkeypatch.setattr("biggan_discovery.scenes.predictor.load_renders", renders)
    explained = fit_predictor(ROOM, tmp_path, tmp_path / FILE, count=1300, epochs=4, seed=3)
    assert (tmp_path / FILE).stat().st_size < 600_000
    # Three factors are the image's colour; the others are not in it.
    assert explained[:3].min() > 0.3
    assert explained[3:].max() < 0.05
