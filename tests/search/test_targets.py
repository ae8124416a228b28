"""Directions that are asked for: tangents of edits, fits, names after changes, and scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from biggan_discovery import Directions, discover, load_generator
from biggan_discovery.cli.summary import summary
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.regional_edits import parse_edits
from biggan_discovery.evaluation.suggestions import suggest_from_changes
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.numerics.tangents import EDITS, tangents
from tests.brock_tiny import save_tiny_brock
from tests.moving_scene import CENTRES, SIDE, scene

STEP = 1e-4


def moved(edit: str, amount: float) -> torch.Tensor:
    """The scene after an edit, in closed form: pixel p shows what was at the inverse image of p."""
    y, x = torch.meshgrid(CENTRES, CENTRES, indexing="ij")
    turn = torch.tensor(amount * torch.pi / 180)
    places = {
        "zoom": (x * np.exp(-amount), y * np.exp(-amount)),
        "shift-x": (x - amount, y),
        "shift-y": (x, y - amount),
        # A turn to the left takes the point at the right, (1, 0), up to (0, -1), as y points down.
        "rotate": (x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos()),
    }
    return scene(*places[edit])


@pytest.mark.parametrize("edit", ["zoom", "shift-x", "shift-y", "rotate"])
def test_tangents_of_moves_are_derivatives_of_the_moved_scene(edit: str) -> None:
    expected = (moved(edit, STEP) - moved(edit, -STEP)) / (2 * STEP)
    found = tangents([edit], moved(edit, 0.0)[None])[0, 0]
    inner = slice(1, -1)  # Derivatives at the edges are one-sided.
    error = (found - expected)[:, inner, inner].norm() / expected[:, inner, inner].norm()
    assert error < 2e-3


def test_tangents_of_colours() -> None:
    grey = torch.full((1, 3, 2, 2), 0.25, dtype=torch.float64)
    # Turning hues and removing colours leave grey as it is.
    np.testing.assert_allclose(tangents(["hue", "saturation", "contrast"], grey), 0, atol=1e-12)
    coloured = torch.tensor([0.5, -0.25, 0.0], dtype=torch.float64)[None, :, None, None].expand(1, 3, 2, 2)
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    hue, saturation = tangents(["hue", "saturation"], coloured)[0]
    np.testing.assert_allclose(torch.einsum("c,chw->hw", luma, hue), 0, atol=1e-12)
    np.testing.assert_allclose(torch.einsum("c,chw->hw", luma, saturation), 0, atol=1e-12)
    assert abs((hue * saturation).sum()) < 0.1 * hue.norm() * saturation.norm()  # A turn is across, in YIQ.


def test_edits_in_a_region_are_zero_elsewhere() -> None:
    upper = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    upper[:20] = 1
    found = tangents(["brighter"], moved("zoom", 0.0)[None], [upper])[0, 0]
    np.testing.assert_array_equal(found, upper.expand(3, -1, -1))


@pytest.fixture(scope="module")
def frame() -> torch.Tensor:
    return torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64))[0]


@pytest.fixture(scope="module")
def camera(frame: torch.Tensor) -> FunctionGenerator:
    """Rows 0, 1 and 2 of the frame shift, magnify and brighten the scene; row 3 adds waves, the rest do nothing."""
    waves = torch.sin(12 * CENTRES[:, None] + 8 * CENTRES).expand(3, -1, -1)

    def image(z: torch.Tensor) -> torch.Tensor:
        right, zoom, bright, other = (z.double() @ frame.T)[:4]
        y, x = torch.meshgrid(CENTRES, CENTRES, indexing="ij")
        at = scene((x - 0.04 * right) * torch.exp(-0.05 * zoom), y * torch.exp(-0.05 * zoom))
        return (at + 0.02 * bright + 0.01 * other * waves).to(z)

    return FunctionGenerator(torch.vmap(image), z_dim=6, resolution=SIDE)


def test_wanted_edits_are_found_with_their_amounts(camera: FunctionGenerator, frame: torch.Tensor) -> None:
    found = discover(camera, target="shift-x,zoom,brighter", samples=3, ridge=1e-6, judge=False, quiet=True)
    assert found.names == ["shift-x", "zoom", "brighter"]
    np.testing.assert_allclose((found.Q.double() * frame[:3]).sum(dim=1), 1, atol=0.04)
    np.testing.assert_allclose(found.metadata["target_per_step"], [0.04, 0.05, 0.02], rtol=0.05)
    assert min(found.metadata["target_cosine"]) > 0.98
    assert f"shift-x: {found.notes[0]}" in summary(found)


def test_an_edit_that_cannot_be_made_is_warned_of(camera: FunctionGenerator, caplog: pytest.LogCaptureFixture) -> None:
    found = discover(camera, target="saturation@lower", samples=2, judge=False, quiet=True)
    assert found.metadata["target_cosine"][0] < 0.3
    assert "which is little" in caplog.text


def test_directions_are_named_after_what_they_change(camera: FunctionGenerator, frame: torch.Tensor) -> None:
    rows = frame.clone()
    rows[1] *= -1
    found = Directions(rows.float(), rows.float(), {"names": ["", "", "mine", "", "", ""]})
    suggested = suggest_from_changes(found, camera, samples=4)
    assert found.names == ["shift-x", "zoom", "mine", "", "", ""]
    assert "of the opposite sign" in found.notes[1]
    assert found.notes[0].startswith("suggested after what it changes, mean cosine")
    assert [each.named for each in suggested] == [True, True, False, False, False]


def test_the_first_layer_is_fitted_by_least_squares(tmp_path: Path) -> None:
    generator = load_generator(str(save_tiny_brock(tmp_path / "brock")))
    settings = {"fit": "first-layer", "ridge": 1e-9, "samples": 2, "judge": False, "quiet": True}
    found = discover(generator, target="shift-x", **settings)
    weight, bias = (each.double().numpy() for each in generator.first_layer())
    # ∂/∂x of the bias on its four columns, by hand, per width.
    slope = np.stack((bias[..., 1] - bias[..., 0], *((bias[..., i + 1] - bias[..., i - 1]) / 2 for i in (1, 2)),
                      bias[..., 3] - bias[..., 2]), axis=-1)  # fmt: skip
    expected, *_ = np.linalg.lstsq(weight.reshape(-1, weight.shape[-1]), -4 * slope.reshape(-1), rcond=None)
    row = found.Q[0].double().numpy()
    np.testing.assert_allclose(row[: len(expected)], expected / np.linalg.norm(expected), atol=1e-4)
    assert not row[len(expected) :].any()
    with pytest.raises(UserError, match="cannot be fitted at the first layer"):
        discover(generator, target="hue", **settings)
    with pytest.raises(UserError, match="without layer 0"):
        discover(generator, target="zoom", layers="1", **settings)


SCORES = """
def bright(images):
    return images.mean(dim=(1, 2, 3))

def counted(images):
    return (images > 0).float().mean(dim=(1, 2, 3)).detach().numpy()

def many(images):
    return images.flatten(1)
"""


@pytest.mark.parametrize(("score", "least"), [("bright", 0.99), ("counted", 0.7)])
def test_a_score_is_raised(
    frame: torch.Tensor, tmp_path: Path, score: str, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scores.py").write_text(SCORES)
    monkeypatch.chdir(tmp_path)
    slopes = torch.linspace(-0.2, 0.6, 48).view(3, 4, 4)

    def images(z: torch.Tensor) -> torch.Tensor:
        return torch.tanh((z @ frame[0].to(z))[:, None, None, None] * 0.2 + slopes.to(z) - 0.2)

    generator = FunctionGenerator(images, z_dim=6, resolution=4)
    found = discover(generator, score=f"scores.py:{score}", samples=16, judge=False, quiet=True)
    assert found.Q[0].double() @ frame[0] > least
    assert found.metadata["score_rises"] > 0.8
    assert found.names == [f"raises {score}"]
    with pytest.raises(UserError, match="one number each"):
        discover(generator, score="scores.py:many", samples=2, judge=False, quiet=True)


def test_targets_are_read_with_their_regions() -> None:
    found = parse_edits("zoom, hue@0,0,1,0.5,saturation@upper,warmer@sky.png")
    assert [(each.edit, each.region) for each in found] == [
        ("zoom", ""),
        ("hue", "0,0,1,0.5"),
        ("saturation", "upper"),
        ("warmer", "sky.png"),
    ]
    assert len(parse_edits(",".join(EDITS))) == 9


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("zom", "did you mean 'zoom'"),
        ("zoom,zoom", "different edits"),
        ("", "one or more"),
        ("hue@9", "region is '9'"),
        ("hue@1,0,0,1", "0 ≤ x0 < x1 ≤ 1"),
    ],
)
def test_invalid_targets_are_refused(camera: FunctionGenerator, target: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        discover(camera, target=target, judge=False, quiet=True)
