"""Without `only`, active directions are drawn first and as many as fit."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from biggan_discovery import Directions, FunctionGenerator, draw
from biggan_discovery.rendering import settings_of
from biggan_discovery.rendering.shown import inactive_rows, rows_that_fit
from biggan_discovery.rendering.ways import Scene
from tests.rendering.tiles import sheet_of


def generator(z_dim: int, side: int) -> FunctionGenerator:
    return FunctionGenerator(lambda z: z[:, :3, None, None].tanh().expand(-1, -1, side, side), z_dim=z_dim)


def with_strength(strength: list[float]) -> Directions:
    count = len(strength)
    return Directions(torch.eye(count), metadata={"strength": strength, "random_strength": 1.0})


def test_inactive_directions_come_last_and_are_said(tmp_path: Path) -> None:
    found = with_strength([0.0, 4.0, 1e-4, 1.0])
    assert inactive_rows(found) == {0, 2}
    path = draw(generator(4, 8), found, tmp_path / "a.png", frames=2, quiet=True)
    assert isinstance(path, Path)
    assert settings_of(path)["only"] == [1, 3, 0, 2]
    labelled = sheet_of(path)
    found.metadata["strength"] = [1.0] * 4
    plain = draw(generator(4, 8), found, tmp_path / "b.png", only=[1, 3, 0, 2], frames=2, quiet=True)
    assert isinstance(plain, Path)
    assert sheet_of(plain).shape != labelled.shape or (sheet_of(plain) != labelled).any()


def test_directions_that_are_hardly_determined_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = with_strength([1.0] * 3)
    found.metadata["error_angle"] = [4.0, 38.4, float("nan")]
    labels = []
    label = Scene.label
    monkeypatch.setattr(Scene, "label", lambda *given: labels.append(label(*given)) or labels[-1])
    draw(generator(3, 8), found, tmp_path / "a.png", frames=2, quiet=True)
    assert [(each.number, each.name) for each in labels[:3]] == [("0", ""), ("1", "(±38°)"), ("2", "")]


@pytest.mark.parametrize(
    ("side", "form", "least"), [(64, "mp4", 30), (256, "mp4", 8), (256, "gif", 3), (2048, "mp4", 3)]
)
def test_as_many_as_fit(side: int, form: str, least: int, caplog: pytest.LogCaptureFixture) -> None:
    found = with_strength([1.0] * 120)
    with caplog.at_level(logging.INFO, "biggan_discovery"):
        shown = rows_that_fit(found, generator(120, side), form, (1, 5))
    assert shown == list(range(len(shown)))
    assert least <= len(shown) < 120
    assert caplog.messages == [f"showing {len(shown)} of 120 directions, active ones first; --only all shows all"]


def test_few_are_all_shown_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "biggan_discovery"):
        for count in (1, 2, 3, 8):
            assert len(rows_that_fit(Directions(torch.eye(count)), generator(count, 64), "mp4", (1, 5))) == count
    assert not caplog.messages


def test_all_are_shown_if_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = with_strength([1e-4] + [1.0] * 39)
    with caplog.at_level(logging.INFO, "biggan_discovery"):
        path = draw(generator(40, 128), found, tmp_path / "a.png", only="all", frames=2, samples=3, quiet=True)
    assert isinstance(path, Path)
    assert settings_of(path)["only"] == list(range(40))
    assert not caplog.messages
