"""Labels with letters missing in Pillow's default font."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from biggan_discovery.rendering import Label, Sheet
from biggan_discovery.rendering.fonts import Fonts


def drawn(name: str) -> np.ndarray:
    return Sheet([Label("0", name)], tile=64).draw([np.full((64, 64, 3), 255, np.uint8)])


@pytest.mark.parametrize(("one", "other"), [("größe", "grüße"), ("размер", "разрез"), ("taille é", "taille è")])
def test_letters_that_the_default_font_lacks_are_told_apart(
    one: str, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    # As boxes, which are all alike, they would give the same picture.
    first, second = drawn(one), drawn(other)
    assert first.shape != second.shape or (first != second).any()
    assert not caplog.records


def test_texts_that_the_default_font_has_keep_it() -> None:
    fonts = Fonts(16)
    assert fonts.of("camera height ±0.5 …") is fonts.default
    assert fonts.of("") is fonts.default
    assert fonts.of("größe") is not fonts.default
    # Another font that has no more of the letters is no better.
    assert fonts.of("漢字") is fonts.default


def test_one_warning_names_the_letters_that_no_font_has(caplog: pytest.LogCaptureFixture) -> None:
    blank = np.full((64, 64, 3), 255, np.uint8)
    with caplog.at_level(logging.WARNING, "biggan_discovery"):
        Sheet([Label("0", "漢字"), Label("1", "größe 漢"), Label("2", "size")], tile=64).draw([blank] * 3)
    assert caplog.messages == ["no font has the letters 字漢; labels show boxes instead"]


def test_without_matplotlib_labels_are_drawn_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert drawn("größe").any()
    assert caplog.messages == ["no font has the letters ßö; labels show boxes instead"]
