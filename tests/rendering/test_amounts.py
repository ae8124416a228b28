"""An amount is measured from the sample as it is, in films, stills and edits alike; `centred` is the papers' view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from biggan_discovery import Directions, FunctionGenerator, draw, edit
from biggan_discovery.rendering import Edit, edited, move, sample_latents, to_uint8
from biggan_discovery.rendering.path_size import equal_path_sizes
from tests.rendering.test_own_network import Network
from tests.rendering.tiles import assert_in_a_row, places_of, sheet_of

Z_DIM, SIDE = 6, 20


@pytest.fixture(scope="module")
def generator() -> FunctionGenerator:
    return FunctionGenerator(Network(SIDE, 3, classes=3), z_dim=Z_DIM, num_classes=3)


@pytest.fixture(scope="module")
def found() -> Directions:
    return Directions(
        torch.randn(4, Z_DIM, generator=torch.Generator().manual_seed(0)), metadata={"names": list("abcd")}
    )


@pytest.mark.parametrize(("direction", "amount"), [(3, 1.67), (0, 4.0), (2, 0.01)])
def test_an_edit_and_a_strip_mean_the_same_by_an_amount(
    generator: FunctionGenerator, found: Directions, tmp_path: Path, direction: int, amount: float
) -> None:
    options: dict[str, Any] = {"scale": 1, "classes": 1, "seed": 7, "quiet": True}
    still = draw(generator, found, tmp_path / "s.png", only=[direction], frames=3, path_size=amount, **options)
    both = edit(generator, found, {direction: amount}, tmp_path / "e.png", **options)
    z, y, q = sample_latents(generator, 1, 7), torch.tensor([1]), found.Q[direction]
    before, after, behind = (to_uint8(generator(z + a * q, y).detach())[0] for a in (0, amount, -amount))
    assert isinstance(still, Path)
    strip, edited_ = sheet_of(still), sheet_of(both)
    for sheet, tiles in ((strip, [behind, before, after]), (edited_, [before, after])):
        if amount > 0.1:
            assert_in_a_row(sheet, tiles)
    # Not only nearly: pixel for pixel.
    (top, left), *_ = reversed(places_of(strip, after, atol=0))
    (other, right), *_ = reversed(places_of(edited_, after, atol=0))
    np.testing.assert_array_equal(strip[top:][:SIDE, left:][:, :SIDE], edited_[other:][:SIDE, right:][:, :SIDE])


@settings(deadline=None)
@given(st.integers(0, 3), st.floats(-20, 20), st.integers(0, 99))
def test_a_move_is_an_edit_along_one_direction(direction: int, amount: float, seed: int) -> None:
    toy = FunctionGenerator(lambda z: z[:, :3, None, None].expand(-1, -1, 8, 8), z_dim=Z_DIM).double()
    found = Directions(torch.randn(4, Z_DIM, generator=torch.Generator().manual_seed(0)))
    z, q = torch.from_numpy(np.random.default_rng(seed).standard_normal((3, Z_DIM))), found.Q[direction].double()
    plain = move(toy, found, z, direction, amount)
    assert torch.equal(plain, edited(toy, found, z, [Edit(direction, amount)]))
    torch.testing.assert_close(plain, z + amount * q)
    centred = move(toy, found, z, direction, amount, centred=True)
    torch.testing.assert_close(centred, z + (amount - z @ q / (q @ q))[:, None] * q)


def test_centred_pictures_are_the_papers_and_say_so(
    generator: FunctionGenerator, found: Directions, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"only": [2], "frames": 3, "path_size": 2, "scale": 1, "classes": 1, "quiet": True}
    drawn = {}
    for name, centred in (("plain", False), ("centred", True)):
        path = draw(generator, found, tmp_path / f"{name}.png", centred=centred, **options)
        assert isinstance(path, Path)
        drawn[name] = path
    z, q = sample_latents(generator, 1, 0)[0], found.Q[2]
    latents = [(z - (z @ q) * q + amount * q)[None] for amount in (-2.0, 0.0, 2.0)]
    assert_in_a_row(
        sheet_of(drawn["centred"]), [to_uint8(generator(at, torch.tensor([1])).detach())[0] for at in latents]
    )
    captions = [np.asarray(Image.open(path).convert("L"))[:30] for path in drawn.values()]
    assert captions[0].shape != captions[1].shape or (captions[0] != captions[1]).any()


def test_equal_changes_are_measured_from_the_sample_unless_centred(
    generator: FunctionGenerator, found: Directions
) -> None:
    Q = found.Q[:2]
    plain, centred = (equal_path_sizes(generator, Q, path_size=2.0, samples=2, centred=centred) for centred in (0, 1))
    assert plain != centred
