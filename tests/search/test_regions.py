"""Directions for regions: against dense linear algebra, and on a generator whose parts of the image are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image

from biggan_discovery import Directions, discover, draw, evaluate
from biggan_discovery.directions.change_maps import best_f1, change_maps, inside_shares
from biggan_discovery.directions.region import parse_box, region_weights
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.generators.batching import Batch
from biggan_discovery.numerics.derivatives import Derivative, weighted_grams
from biggan_discovery.numerics.eigenvectors import strongest_ratio

SIDE = 8
PLACES = {"upper": (0, 0, 8, 3), "left": (3, 0, 5, 3), "everywhere": (0, 0, 8, 8)}  # x0, y0, x1, y1 in pixels


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def frame() -> torch.Tensor:
    return torch.linalg.qr(normal(5, 5, seed=3))[0]


@pytest.fixture(scope="module")
def painted(frame: torch.Tensor) -> FunctionGenerator:
    """Rows 0 to 2 of the frame change the upper rows, the middle of them, and all pixels; the other two nothing."""
    slopes = torch.zeros(3, 3, SIDE, SIDE, dtype=torch.float64)
    for slope, (x0, y0, x1, y1) in zip(slopes, PLACES.values(), strict=True):
        slope[:, y0:y1, x0:x1] = normal(3, y1 - y0, x1 - x0, seed=x0 + y1)

    def images(z: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nk,kchw->nchw", torch.tanh(z @ frame[:3].T.to(z) / 4), slopes.to(z))

    return FunctionGenerator(images, z_dim=5, resolution=SIDE)


def test_weights_of_boxes_count_covered_parts_of_pixels() -> None:
    weights = region_weights((4, 2), "0.25,0.125,1,0.5")
    expected = np.outer([0.5, 1, 0, 0], [0.5, 1])
    np.testing.assert_allclose(weights, expected, atol=1e-12)
    assert parse_box("upper") == (0, 0, 1, 1 / 3)


def test_masks_are_averaged_to_the_size_of_images(tmp_path: Path) -> None:
    levels = np.zeros((8, 4), dtype=np.uint8)
    levels[:3] = 255
    Image.fromarray(levels).save(tmp_path / "mask.png")
    np.testing.assert_allclose(region_weights((4, 2), mask=tmp_path / "mask.png"), np.outer([1, 0.5, 0, 0], [1, 1]))


def test_transparent_pixels_of_masks_are_outside(tmp_path: Path) -> None:
    pixels = np.full((2, 2, 4), 255, dtype=np.uint8)
    pixels[1, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    np.testing.assert_allclose(region_weights((2, 2), mask=tmp_path / "mask.png"), [[1, 1], [0, 0]])


@pytest.mark.parametrize("most_bytes", [2**30, 0])
def test_weighted_grams_are_those_of_the_dense_jacobian(most_bytes: int) -> None:
    slopes, weights = normal(12, 4), normal(2, 12, seed=1).abs()
    expected = torch.einsum("kp,pi,pj->kij", weights, slopes, slopes)

    def images(x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x @ slopes.T)

    axes = torch.eye(4, dtype=torch.float64)
    grams, cost = weighted_grams(images, axes, weights, Batch(3), Derivative(), most_bytes=most_bytes)
    torch.testing.assert_close(grams, expected)
    assert cost == (6 if most_bytes else 17)


def test_strongest_ratio_agrees_with_scipy() -> None:
    half, other = normal(6, 6), normal(6, 6, seed=1)
    matrix, reference = half @ half.T, other @ other.T + torch.eye(6)
    values, vectors = strongest_ratio(matrix, reference)
    expected, columns = scipy.linalg.eigh(matrix.numpy(), reference.numpy())
    np.testing.assert_allclose(values, expected[::-1], rtol=1e-9)
    columns = columns[:, ::-1] / np.linalg.norm(columns[:, ::-1], axis=0)
    np.testing.assert_allclose(np.abs((vectors.numpy() * columns).sum(axis=0)), 1, rtol=1e-9)


def test_the_region_finds_what_changes_it_alone(painted: FunctionGenerator, frame: torch.Tensor) -> None:
    found = discover(painted, region="0,0,1,0.375", samples=4, directions=2, judge=False, quiet=True)
    # Both change nothing outside, so that the strongest per unit step comes first: a plane is determined.
    inside = found.Q.double() @ frame[:2].T
    np.testing.assert_allclose(inside.norm(dim=1), 1, atol=1e-3)
    np.testing.assert_allclose(found.metadata["region_share"], 1, atol=1e-3)
    assert 0.375 < found.metadata["random_share"] < 0.95


def test_projected_directions_leave_the_region_alone(
    painted: FunctionGenerator, frame: torch.Tensor, tmp_path: Path
) -> None:
    slanted = torch.nn.functional.normalize(frame[0] + frame[2], dim=0)
    rows = torch.stack((slanted, frame[1])).float()
    given = Directions(rows, rows, {"names": ["slanted", "middle"], "settings": {"orthogonalize": "none"}})
    given.save(tmp_path / "given.safetensors")
    region: dict[str, Any] = {"region": "0,0.5,1,1", "samples": 4, "judge": False, "quiet": True}
    found = discover(painted, avoid=tmp_path / "given.safetensors", **region)
    assert found.names == ["slanted", "middle"]
    np.testing.assert_allclose(found.metadata["region_share"], 0, atol=1e-4)
    assert "was 0." in found.notes[0]
    np.testing.assert_allclose((found.Q[1].double() @ frame[1]).abs(), 1, atol=1e-4)


def test_what_is_all_in_the_region_cannot_be_projected(painted: FunctionGenerator, tmp_path: Path) -> None:
    given = discover(painted, region="0,0,1,0.375", samples=4, directions=1, judge=False, quiet=True)
    given.save(tmp_path / "given.safetensors")
    with pytest.raises(UserError, match="nothing is left"):
        discover(painted, avoid=tmp_path / "given.safetensors", region="upper", samples=4, judge=False, quiet=True)


def test_change_maps_are_squared_slopes_of_pixels(frame: torch.Tensor) -> None:
    slopes = normal(5, 3, SIDE, SIDE)
    linear = FunctionGenerator(
        lambda z: torch.einsum("nk,kchw->nchw", z, slopes.to(z)), z_dim=5, resolution=SIDE
    ).double()
    z, y = normal(2, 5), torch.zeros(2, dtype=torch.int64)
    maps = list(change_maps(linear, 3 * frame, z, y))
    expected = torch.einsum("ik,kchw->ichw", frame, slopes).square().mean(dim=1)
    assert len(maps) == 2
    torch.testing.assert_close(maps[1], expected)


def test_scores_of_a_map_that_is_the_region() -> None:
    weights = region_weights((8, 8), "0,0,1,0.5")
    maps = torch.stack((weights, 1 - weights, torch.ones(8, 8, dtype=torch.float64)))
    np.testing.assert_allclose(inside_shares(maps, weights), [1, 0, 0.5])
    np.testing.assert_allclose(best_f1(maps, weights), [1, 2 / 3, 2 / 3])


def test_reports_judge_localization_in_the_region_of_the_search(painted: FunctionGenerator) -> None:
    found = discover(painted, region="0,0,1,0.375", samples=4, directions=1, judge=False, quiet=True)
    report = evaluate(painted, found, metrics="localization", quiet=True)
    assert report.figures["directions"]["largest region share"].mean == pytest.approx(1, abs=1e-4)
    elsewhere = evaluate(painted, found, metrics="localization", region="lower", quiet=True)
    assert elsewhere.figures["directions"]["largest region share"].mean == pytest.approx(0, abs=1e-4)


def test_films_end_rows_with_the_change_map(painted: FunctionGenerator, frame: torch.Tensor, tmp_path: Path) -> None:
    rows = frame[:1].float()
    pictures = []
    for maps in (True, False):
        file = draw(painted, Directions(rows, rows), tmp_path / "strip.png", maps=maps, frames=3, scale=16, quiet=True)
        assert isinstance(file, Path)
        with Image.open(file) as picture:
            pictures.append(np.asarray(picture.convert("RGB")))
    shown, without = pictures
    side = 16 * SIDE
    assert shown.shape[1] - without.shape[1] >= side
    last = shown[-4 - side : -4, -4 - side : -4]
    assert last[:40].any(axis=(1, 2)).all()  # The upper three rows of pixels change.
    assert not last[80:].any()
    with pytest.raises(UserError, match="maps"):
        draw(painted, Directions(rows, rows), tmp_path / "strip.png", maps=True, transfer=True, quiet=True)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("1,2,3", "write x0,y0,x1,y1"),
        ("0,0,2,1", "0 ≤ x0 < x1 ≤ 1"),
        ("0.5,0,0.5,1", "0 ≤ x0 < x1 ≤ 1"),
        ("0,0,nan,1", "0 ≤ x0 < x1 ≤ 1"),
        ("0,0,1,1", "covers every pixel"),
    ],
)
def test_invalid_regions_are_refused(painted: FunctionGenerator, region: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        discover(painted, region=region, judge=False, quiet=True)
