"""Pictures of directions each of which reaches layers of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from biggan_discovery import Directions, FunctionGenerator
from biggan_discovery.errors import UserError
from biggan_discovery.rendering import draw, edit, move, settings_of
from biggan_discovery.rendering.strips import direction_strips
from biggan_discovery.rendering.ways import equal_reach

Z_DIM = 100
GAINS = (1.0, 0.3, 0.5)


def by_layer(z: Tensor) -> Tensor:
    """Layer k shows the first coordinate of its z in channel k."""
    shown = 0.2 * z[:, :, 0] * z.new_tensor(GAINS)
    return shown[:, :, None, None].expand(-1, -1, 8, 8)


GENERATOR = FunctionGenerator(by_layer, z_dim=Z_DIM, num_layers=3, resolution=8, channels=3)


def each() -> Directions:
    Q = torch.eye(Z_DIM)[[0, 0, 0]]
    return Directions(Q, Q, {"layers": "each", "direction_layers": ["2", "0", "1"], "settings": {"path_size": 2.0}})


def changed_channels(z: Tensor) -> list[int]:
    before, after = by_layer(torch.zeros(1, 3, Z_DIM)), by_layer(z)
    return (after - before).abs().flatten(2).sum(dim=2)[0].nonzero().flatten().tolist()


def test_each_direction_moves_its_own_layers():
    found = each()
    for row, layer in enumerate((2, 0, 1)):
        assert changed_channels(move(GENERATOR, found, torch.zeros(1, Z_DIM), row, 1.0)) == [layer]
    assert changed_channels(move(GENERATOR, found, torch.zeros(1, Z_DIM), 0, 1.0, layers="0-1")) == [0, 1]


def test_path_sizes_are_equal_over_layers():
    reach = equal_reach(GENERATOR, each(), [2, 0, 1], classes=[0])
    assert list(reach) == [2, 0, 1]
    images = {row: by_layer(move(GENERATOR, each(), torch.zeros(1, Z_DIM), row, reach[row])) for row in reach}
    changes = [image.square().mean().item() ** 0.5 for image in images.values()]
    assert reach[1] < reach[0] < reach[2]
    assert changes == pytest.approx([sum(changes) / 3] * 3, rel=1e-3)


def test_one_picture_shows_all_and_says_which_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    labels: list[str] = []
    from biggan_discovery.rendering import drawing

    class Spied(drawing.Sheet):
        def __init__(self, titles: Any, *args: Any, **kwargs: Any):
            labels.extend(f"{label.number} {label.name}" for label in titles)
            super().__init__(titles, *args, **kwargs)

    monkeypatch.setattr(drawing, "Sheet", Spied)
    out = tmp_path / "all.png"
    draw(GENERATOR, each(), out, quiet=True, path_size=2.0)
    assert labels[:3] == ["0 layer 2", "1 layer 0", "2 layer 1"]
    assert settings_of(out)["layers"] == "each"
    with Image.open(out) as image:
        assert np.asarray(image).std() > 5


def test_layers_choose_the_directions_to_draw(tmp_path: Path):
    out = tmp_path / "one.png"
    draw(GENERATOR, each(), out, quiet=True, layers="0", path_size=2.0)
    assert settings_of(out)["only"] == [1]
    assert settings_of(out)["layers"] == "0"
    with pytest.raises(UserError, match="there is no direction 2 for the layers 0; the directions has 1"):
        draw(GENERATOR, each(), out, quiet=True, layers="0", only=[2])
    with pytest.raises(UserError, match="no directions for the layers 0-1, only for 2, 0, 1"):
        draw(GENERATOR, each(), out, quiet=True, layers="0-1")


def test_curved_paths_are_of_one_layer(tmp_path: Path):
    with pytest.raises(UserError, match="choose one of the layers 2, 0, 1"):
        draw(GENERATOR, each(), tmp_path / "c.png", quiet=True, curved=True)
    draw(GENERATOR, each(), tmp_path / "c.png", quiet=True, curved=True, layers="0", path_size=0.5)


def test_an_edit_moves_each_direction_in_its_layers(tmp_path: Path):
    out = tmp_path / "e.png"
    edit(GENERATOR, each(), {0: 1.0, 1: -1.0}, out, quiet=True)
    assert settings_of(out)["edits"] == ["0 +1 (layers 2)", "1 -1 (layers 0)"]


def test_records_of_searches_have_strips_of_them():
    assert direction_strips(GENERATOR, each()).std() > 5
