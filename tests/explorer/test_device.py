"""Pictures and strips on a device that is not the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from biggan_discovery.explorer.gallery import strip_of
from biggan_discovery.explorer.pictures import draw
from biggan_discovery.explorer.sources import Generators, open_sources
from biggan_discovery.explorer.view import View
from tests import standin
from tests.explorer.serving import save_directions

DEVICES = [standin.NAME, *["cuda"] * torch.cuda.is_available()]


@pytest.mark.parametrize("device", DEVICES)
def test_pictures_are_those_of_the_cpu(tmp_path: Path, device: str) -> None:
    path = save_directions(tmp_path)
    drawn = []
    for each in ("cpu", device):
        [source] = open_sources([str(path)], Generators(lambda _: None, device=each))
        assert source.generator().device.type == torch.device(each).type
        view = View.read({"edits": [[0, 1.5, None], [2, -1, "coarse"]], "pick": [0, 2]})
        drawn.append(draw(source, view).pixels.astype(int))
        assert strip_of(source, 1) is not None
    assert np.abs(drawn[0] - drawn[1]).max() <= 1
