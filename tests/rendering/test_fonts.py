"""Labels with letters missing in Pillow's default font."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.rendering import Label, Sheet, fonts
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


@pytest.fixture
def no_other_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_installed_with", lambda _: None)


@pytest.fixture
def a_font_with_chess_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if ♜ and ♞ were in an installed font only."""
    own = fonts._has
    monkeypatch.setattr(fonts, "_has", lambda font, letter: letter not in "♜♞" and own(font, letter))
    monkeypatch.setattr(fonts, "_installed", lambda: ["/nowhere/gone.ttf", str(fonts._dejavu())])
    fonts._installed_with.cache_clear()


@pytest.mark.usefixtures("a_font_with_chess_pieces")
def test_installed_fonts_are_tried_letter_by_letter(caplog: pytest.LogCaptureFixture) -> None:
    one, other = drawn("große ♜"), drawn("große ♞")
    assert one.shape != other.shape or (one != other).any()
    assert not caplog.records
    fonts._installed_with.cache_clear()


@pytest.mark.parametrize(
    "text",
    ["a\x1b[31mb", "a\nb", "a\u202eb", "a\x00b", "a\ud800b", "a\u2028b", "a\x9bb", "a\u200fb", "a\ufeffb"],
)
def test_control_characters_are_not_drawn(text: str, caplog: pytest.LogCaptureFixture) -> None:
    shown = fonts.printable(text)
    assert shown.isprintable()
    np.testing.assert_array_equal(drawn(text), drawn(shown))
    assert not caplog.records


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=40), st.floats(0, 200))
def test_every_text_is_one_printable_line_and_is_cut_to_its_place(text: str, limit: float) -> None:
    font = Fonts(11)
    line = fonts.printable(text)
    assert line.isprintable()
    assert fonts.printable(line) == line
    cut = font.cut(line, limit)
    assert font.length(cut) <= limit or cut == "…"
    assert cut == line or cut.endswith("…")


def test_a_text_of_a_million_letters_takes_no_time() -> None:
    assert len(fonts.printable("a" * 10**6)) < 1000
    assert drawn("ab " * 10**6).shape[1] < 400


@pytest.mark.usefixtures("no_other_fonts")
def test_one_warning_names_the_letters_that_no_font_has(caplog: pytest.LogCaptureFixture) -> None:
    blank = np.full((64, 64, 3), 255, np.uint8)
    with caplog.at_level(logging.WARNING, "biggan_discovery"):
        Sheet([Label("0", "漢字"), Label("1", "größe 漢"), Label("2", "size")], tile=64).draw([blank] * 3)
    assert caplog.messages == ["no font has the letters 字漢; labels show boxes instead"]


def test_without_matplotlib_labels_are_drawn_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fonts, "_dejavu", lambda: None)
    fonts._installed.cache_clear()
    fonts._installed_with.cache_clear()
    assert drawn("größe").any()
    assert caplog.messages == ["no font has the letters ßö; labels show boxes instead"]
    fonts._installed.cache_clear()
    fonts._installed_with.cache_clear()
