"""Amounts in percent and degrees, on a generator whose edits are known in closed form."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biggan_discovery import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.rendering import Edit, MeasuredEdit, edit
from tests.moving_scene import CENTRES, SIDE, scene

NAMES = ["shift-x", "zoom", "rotate", "brighter 2", "hue (upper)", "mine"]


def picture(z: torch.Tensor) -> torch.Tensor:
    """The scene moved by bent functions of z: amounts are not proportional to steps."""
    right, zoom, turn, bright = z.double()[:4]
    right, zoom, turn = 0.06 * torch.sinh(right), 0.1 * torch.sinh(zoom), torch.sinh(turn) * math.pi / 30
    y, x = torch.meshgrid(CENTRES, CENTRES, indexing="ij")
    x, y = (x - right) * torch.exp(-zoom), y * torch.exp(-zoom)
    x, y = x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos()
    return (scene(x, y) / 2 + 0.2 * torch.tanh(bright)).to(z)


GENERATOR = FunctionGenerator(torch.vmap(picture), z_dim=6, resolution=SIDE)
LATENTS = torch.tensor([[0.0, 0.0, 0.0, 0.0, 2.5, 0.0]])  # Images do not depend on what gives it a length.


def directions(sign: float = 1.0) -> Directions:
    Q = sign * torch.eye(6)
    return Directions(Q, Q, {"names": NAMES})


def reached(amounts: Any, tmp_path: Path, sign: float = 1.0) -> torch.Tensor:
    file = tmp_path / "edited.npy"
    out = tmp_path / "edited.png"
    edit(GENERATOR, directions(sign), amounts, out, latents=LATENTS, save_edited=file, quiet=True)
    return torch.as_tensor(np.load(file))[0]


@pytest.mark.parametrize(
    ("name", "amount", "row", "step"),
    [
        ("shift-x", "20%", 0, math.asinh(0.2 / 0.06)),
        ("shift-x", "-12.5 %", 0, -math.asinh(0.125 / 0.06)),
        ("zoom", "30%", 1, math.asinh(math.log(1.3) / 0.1)),
        ("zoom", "-20%", 1, math.asinh(math.log(0.8) / 0.1)),
        ("rotate", "15°", 2, math.asinh(15 / 6)),
        ("rotate", "-10deg", 2, -math.asinh(10 / 6)),
        ("brighter", "+5%", 3, math.atanh(0.1 / 0.2)),
    ],
)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_amounts_in_the_unit_of_an_edit(
    name: str, amount: str, row: int, step: float, sign: float, tmp_path: Path
) -> None:
    assert reached({name: amount}, tmp_path, sign)[row] == pytest.approx(step, rel=0.03)


def test_measured_amounts_stand_beside_plain_ones(tmp_path: Path) -> None:
    found = reached([MeasuredEdit("shift-x", "20%"), Edit(1, 0.5)], tmp_path)
    assert found[1].item() == 0.5
    assert found[0].item() == pytest.approx(math.asinh(0.2 / 0.06), rel=0.03)


def test_the_line_says_the_amount_in_units_of_z(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    reached({"shift-x": "20%"}, tmp_path)
    assert "0 shift-x by 20% is +1.9" in caplog.text


@pytest.mark.parametrize(
    ("amounts", "said"),
    [
        ({"shift-x": "80%"}, r"0 shift-x by 80%: on these samples it gets from -3\d\.?\d* % to \+3\d\.?\d* % .*±2.5"),
        ({"zoom": "15°"}, "zoom is '15°'; it should be in percents, such as 30%"),
        ({"rotate": "15%"}, "rotate is '15%'; it should be in degrees, such as 15°"),
        ({"zoom": "-100%"}, "above -100%"),
        ({"mine": "30%"}, "5 mine is to change by 30%; .* named after an edit"),
        ({"zoom": "much"}, "'much'; it should be a number"),
        ({"zoom": "30%%"}, "it should be a number"),
        ({"hue (upper)": "20°"}, r"gets from \+0° to \+0° "),
    ],
)
def test_what_cannot_be_had_is_one_line(amounts: dict[int | str, float | str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        reached(amounts, tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_change_than_the_name_says_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = directions()
    found.rename(3, "shift-y")
    edit(GENERATOR, found, {"shift-y": "0%"}, tmp_path / "e.png", latents=LATENTS, quiet=True)
    assert "the change has a cosine of" in caplog.text
    assert "with the wanted one, which is little" in caplog.text
