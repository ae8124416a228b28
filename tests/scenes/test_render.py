from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.scenes.render import CLASSES, FACTORS, RESOLUTION, render

EVERY_CLASS = torch.arange(len(CLASSES))


def middle(count: int = 1) -> torch.Tensor:
    return torch.full((count, len(FACTORS)), 0.5)


def changed(factor: str, start: float, end: float, y: torch.Tensor) -> torch.Tensor:
    """Maximum change (N, R, R) of each pixel when one factor varies and the others stay at 0.5."""
    first, second = middle(len(y)), middle(len(y))
    first[:, FACTORS.index(factor)], second[:, FACTORS.index(factor)] = start, end
    return (render(first, y) - render(second, y)).abs().amax(dim=1)


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=5)
def test_images_are_in_range_finite_and_the_same_each_time(seed):
    random = torch.Generator().manual_seed(seed)
    factors, y = torch.rand(3, len(FACTORS), generator=random), torch.randint(len(CLASSES), (3,), generator=random)
    images = render(factors, y)
    assert images.shape == (3, 3, RESOLUTION, RESOLUTION)
    assert images.isfinite().all()
    assert images.min() >= -1
    assert images.max() <= 1
    assert torch.equal(images, render(factors, y))
    # An image depends on its own factors only.
    assert torch.allclose(render(factors.flip(0), y.flip(0)).flip(0), images, atol=1e-5)


@pytest.mark.parametrize("factor", FACTORS)
def test_every_factor_changes_every_class(factor):
    assert (changed(factor, 0.3, 0.7, EVERY_CLASS).flatten(1).amax(dim=1) > 0.1).all()


def test_hues_change_their_own_part_only():
    parts = ("object", "wall", "floor")
    objects, walls, floors = (changed(f"{part} hue", 0.2, 0.8, EVERY_CLASS) > 0.01 for part in parts)
    assert not objects[:, 0].any()  # the top row shows wall, the bottom row floor
    assert not objects[:, -1].any()
    assert walls[:, 0].all()
    assert not walls[:, -1].any()
    assert floors[:, -1].all()
    assert not floors[:, 0].any()
    assert (objects | walls | floors).all()


def test_hue_ranges_do_not_wrap_around():
    for part in ("object", "wall", "floor"):
        assert changed(f"{part} hue", 0.0, 1.0, EVERY_CLASS).flatten(1).amax(dim=1).min() > 0.1


def test_the_torus_has_a_hole_and_the_others_have_none():
    shown = changed("object hue", 0.2, 0.8, EVERY_CLASS) > 0.02
    for index, name in enumerate(CLASSES):
        filled = shown[index]
        rows = filled.any(dim=1).nonzero()[:, 0]
        columns = filled.any(dim=0).nonzero()[:, 0]
        centre = filled[(rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2]
        assert bool(centre) == (name != "torus")


def test_size_and_position_do_what_they_say():
    factors = middle(4)
    factors[0, FACTORS.index("object size")], factors[1, FACTORS.index("object size")] = 0.1, 0.9
    factors[2, FACTORS.index("object position")], factors[3, FACTORS.index("object position")] = 0.1, 0.9
    recoloured = factors.clone()
    recoloured[:, 0] = 0.9
    sphere = torch.full((4,), CLASSES.index("sphere"))
    shown = (render(factors, sphere) - render(recoloured, sphere)).abs().amax(dim=1) > 0.02
    areas = shown.flatten(1).sum(dim=1)
    assert areas[1] > 1.5 * areas[0]
    places = [columns.nonzero()[:, 0].float().mean() for columns in shown.any(dim=1)]
    assert places[3] - places[2] > 8


def test_edges_are_anti_aliased():
    across_the_edge = render(middle(), torch.tensor([CLASSES.index("sphere")]))[0, 0].diff(dim=1).abs()
    assert 0.05 < across_the_edge.max() < 0.6


@pytest.mark.parametrize(
    ("factors", "y", "message"),
    [
        (torch.zeros(2, 7), torch.zeros(2, dtype=torch.int64), "must be"),
        (torch.zeros(2, 8), torch.zeros(3, dtype=torch.int64), "must be"),
        (torch.zeros(2, 8), torch.tensor([0, 5]), "0 to 4"),
        (torch.full((1, 8), 1.5), torch.tensor([0]), "1.5"),
    ],
)
def test_bad_scenes(factors, y, message):
    with pytest.raises(ValueError, match=message):
        render(factors, y)
