"""Names that the explorer suggests after what directions change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from biggan_discovery import Directions
from biggan_discovery.explorer import suggesting
from biggan_discovery.explorer.pictures import DRAFT_SECONDS
from tests.chromium import chromium
from tests.explorer.serving import Served

CODE = """
import torch

def G(z):
    places = torch.linspace(-1, 1, 24)
    y, x = torch.meshgrid(places, places, indexing="ij")
    across, bright, other = z[:, :3, None, None].unbind(1)
    picture = torch.sin(5 * (x - across / 8)) * torch.cos(3 * y) / 2 + bright / 8 + other * torch.sin(9 * x * y) / 9
    return picture[:, None].repeat(1, 3, 1, 1)

G.z_dim = 4
"""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.chdir(tmp_path)
    Path("my_gan.py").write_text(CODE)
    found = Directions(torch.eye(3, 4))
    found.save("mine.safetensors")
    served = Served(Path("mine.safetensors"), generator="my_gan.py:G")
    yield served
    served.stop()


def test_names_are_suggested_once_and_kept(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    [source] = served.sources
    assert [suggesting.suggestion_of(source, row) for row in range(3)] == ["shift-x", "brighter", ""]

    def again(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(suggesting, "suggest_from_changes", again)
    assert [suggesting.suggestion_of(source, row) for row in range(3)] == ["shift-x", "brighter", ""]
    source.change(1, "name", "light", "")
    assert suggesting.suggestion_of(source, 1) == ""
    (source.folder / "suggestions.json").write_text("[[")  # Others may write there.
    with pytest.raises(AssertionError):
        suggesting.suggestion_of(source, 0)


def test_a_slow_network_is_not_measured(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggesting, "seconds_per_image", lambda _: 2 * DRAFT_SECONDS)
    assert suggesting.suggestion_of(served.sources[0], 0) == ""


def test_pages_are_told_after_the_strips(served: Served) -> None:
    with served.page() as page:
        page.ask("open")
        page.send("strips", rows=[1, 0])
        told = [page.hear("strip", "suggested", "error") for _ in range(4)]
        assert [each["type"] for each in told] == ["strip", "strip", "suggested", "suggested"]
        assert {each["direction"]: each["name"] for each in told[2:]} == {0: "shift-x", 1: "brighter"}


def test_the_page_offers_them(served: Served) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    browser_path = chromium()
    if browser_path is None:
        pytest.skip("no Chromium; `python tests/chromium.py --install` gets one")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(served.address)
        sent: list[str] = []
        page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
        page.reload()
        sync_api.expect(page.locator(".card[data-row='0'] .name")).to_have_text("shift-x?", timeout=30_000)
        sent.clear()
        sync_api.expect(page.locator(".card[data-row='1'] .name")).to_have_text("brighter?", timeout=30_000)
        page.wait_for_timeout(500)
        assert not any('"strips"' in each and '"rows":[]' not in each for each in sent)  # They are not drawn anew.
        page.click(".card[data-row='0'] .strip")
        page.click("text=Use the suggested name “shift-x”")
        sync_api.expect(page.locator("[data-row='0'] input.name")).to_have_value("shift-x")
        browser.close()
    assert Directions.load("mine.safetensors").names[0] == "shift-x"
