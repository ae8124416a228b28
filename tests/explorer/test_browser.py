"""The page in a real browser: what people do with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from biggan_discovery import Directions
from biggan_discovery.directions import changing
from biggan_discovery.rendering import save_latents, settings_of
from tests.chromium import chromium
from tests.explorer.serving import Served, save_directions, until

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
_BROWSER = chromium()
pytestmark = pytest.mark.skipif(_BROWSER is None, reason="no Chromium; `python tests/chromium.py --install` gets one")
expect = sync_api.expect
DRAWN = "#pictures[aria-busy=false] canvas"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


class Tab:
    """A page in the browser that collects what goes wrong."""

    def __init__(self, browser: Any, served: Served, place: str = "#editor", **options: Any):
        self.context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.problems: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.served = served
        self.open(place)

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning") and "getImageData" not in message.text:  # Which only tests call.
            self.problems.append(message.text)

    def open(self, place: str) -> None:
        self.page.goto("about:blank")  # Else the picture that is there would be taken for the new one.
        self.page.goto(self.served.address + place)
        self.page.wait_for_selector(DRAWN if place.startswith("#editor") else ".card")

    def pixels(self, index: int = 0) -> list[int]:
        script = """(index) => {
          const canvas = document.querySelectorAll("#pictures canvas")[index];
          return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
        }"""
        return self.page.evaluate(script, index)

    def rests(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.wait_for_timeout(50)
        self.page.wait_for_selector(DRAWN)

    def amount(self, row: int) -> float:
        return float(self.page.input_value(f"[data-row='{row}'] .move-line input[type=number]"))

    def type_amount(self, row: int, text: str) -> None:
        self.page.fill(f"[data-row='{row}'] .move-line input[type=number]", text)
        self.page.keyboard.press("Enter")
        self.rests()


@pytest.fixture
def tab(browser: Any, served: Served) -> Iterator[Tab]:
    save_directions(Path(served.sources[0].path).parent)
    served.sources[0].reread()
    tab = Tab(browser, served)
    yield tab
    tab.context.close()
    assert tab.problems == []


def test_a_slider_is_dragged_undone_and_reset(tab: Tab, served: Served) -> None:
    page = tab.page
    page.select_option("#add", "1")
    tab.rests()
    before, slider = tab.pixels(), page.locator("#move-1")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(1, 8):
        page.mouse.move(box["x"] + box["width"] * (0.5 + 0.06 * step), box["y"] + box["height"] / 2)
    page.mouse.up()
    tab.rests()
    moved = tab.amount(1)
    assert 1 < moved < 2
    after = tab.pixels()
    assert after != before
    with served.page() as socket:
        drawn = socket.draw(edits=[[1, moved, None]])
    assert [value for place, value in enumerate(after) if place % 4 < 3] == drawn.flatten().tolist()
    page.click("#undo")  # A drag is one step.
    tab.rests()
    assert tab.amount(1) == 0
    assert tab.pixels() == before
    page.keyboard.press("Control+Shift+z")
    tab.rests()
    assert tab.pixels() == after
    page.click("#reset")
    tab.rests()
    assert tab.pixels() == before


def test_a_typed_amount_goes_beyond_the_range_and_says_so(tab: Tab) -> None:
    tab.open("#editor&set=2=1")
    tab.type_amount(2, "3.25")
    assert tab.amount(2) == 3.25
    expect(tab.page.locator(".move .warn")).to_have_text("beyond the searched range, -2 to +2")
    assert "set=2=3.25" in tab.page.url


def test_a_drag_never_queues_pictures(tab: Tab) -> None:
    tab.open("#editor&set=0=0.5")
    sent: list[str] = []
    tab.page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    tab.page.reload()
    tab.page.wait_for_selector(DRAWN)
    sent.clear()
    script = """async () => {
      const slider = document.querySelector("#move-0");
      for (let step = 0; step < 500; step += 1) {
        slider.value = -2 + step / 125;
        slider.dispatchEvent(new Event("input"));
        if (step % 50 === 49) await new Promise((done) => setTimeout(done, 5));
      }
      slider.dispatchEvent(new Event("change"));
    }"""
    tab.page.evaluate(script)
    tab.rests()
    drawn = [text for text in sent if '"draw"' in text]
    assert 1 <= len(drawn) < 100
    assert tab.amount(0) == pytest.approx(2, abs=0.02)
    last = tab.pixels()
    tab.page.reload()
    tab.page.wait_for_selector(DRAWN)
    assert tab.pixels() == last


def test_a_name_stays_and_others_see_it(tab: Tab, browser: Any, served: Served) -> None:
    other = Tab(browser, served, "#gallery")
    tab.open("#editor&set=3=1")
    name = tab.page.locator("[data-row='3'] input.name")
    name.fill("rotation of the head")
    name.press("Enter")
    until(lambda: Directions.load(served.sources[0].path).names[3] == "rotation of the head")
    expect(other.page.locator(".card[data-row='3'] .name")).to_have_text("rotation of the head")
    tab.page.reload()
    tab.page.wait_for_selector(DRAWN)
    expect(tab.page.locator("[data-row='3'] input.name")).to_have_value("rotation of the head")
    with changing(served.sources[0].path) as directions:
        directions.rename(3, "")
    expect(other.page.locator(".card[data-row='3'] .name")).to_have_text("unnamed")
    assert other.problems == []
    other.context.close()


def test_star_range_and_note_are_saved(tab: Tab, served: Served) -> None:
    tab.open("#editor&set=4=1")
    page, row = tab.page, ".move[data-row='4']"
    page.click(f"{row} .star")
    page.click(f"{row} summary")
    page.fill(f"{row} textarea", "moves the light")
    page.fill(f"{row} [aria-label^=Least]", "-1")
    page.fill(f"{row} [aria-label^=Greatest]", "2.5")
    page.keyboard.press("Tab")

    def saved() -> bool:
        found = Directions.load(served.sources[0].path)
        return found.starred[4] and found.notes[4] == "moves the light" and found.recommended_ranges[4] == (-1.0, 2.5)

    until(saved)
    expect(page.locator("#move-4")).to_have_attribute("max", "2.5")
    page.select_option(f"{row} .more select", "coarse")
    tab.rests()
    assert "@coarse" in page.url
    page.fill(f"{row} [aria-label^=Least]", "9")
    page.keyboard.press("Tab")
    expect(page.locator("#notice")).to_contain_text("Not saved: the range is 9.0 to 2.5")


def test_a_link_gives_the_same_picture(tab: Tab, browser: Any, served: Served) -> None:
    tab.open("#editor&seed=7&pick=2,0&class=3:1&truncation=0.6&set=0=1.5&set=2=-0.75@fine&compare=both")
    page = tab.page
    assert page.locator("#pictures canvas").count() == 4
    page.click("#link")
    link = page.evaluate("navigator.clipboard.readText()")
    other = Tab(browser, served, link.removeprefix(served.address))
    assert [other.pixels(index) for index in range(4)] == [tab.pixels(index) for index in range(4)]
    assert other.problems == []
    other.context.close()


def test_the_gallery_is_sorted_filtered_and_opened(tab: Tab) -> None:
    tab.open("#gallery")
    page = tab.page

    def shown() -> list[str]:
        return [card.get_attribute("data-row") for card in page.locator(".card:visible").all()]

    assert shown() == ["1", "2", "3", "0", "5", "4"]  # By strength.
    page.select_option("#sort", "number")
    assert shown() == ["0", "1", "2", "3", "4", "5"]
    expect(page.locator(".strip .wait")).to_have_count(0)
    page.click(".card[data-row='2'] .star")
    page.click(".card[data-row='4'] [aria-label^=Hide]")
    assert shown() == ["0", "1", "2", "3", "5"]
    page.check("#only-starred")
    assert shown() == ["2"]
    page.uncheck("#only-starred")
    page.check("#show-hidden")
    assert "4" in shown()
    page.fill("#filter", "nothing like it")
    assert shown() == []
    page.click("#clear-filter")
    page.click(".card[data-row='5'] .strip")
    page.wait_for_selector(DRAWN)
    expect(page.locator("#move-5")).to_be_focused()
    tab.type_amount(5, "1.5")
    page.go_back()
    expect(page.locator("#gallery")).to_be_visible()
    expect(page.locator("#to-gallery")).to_have_attribute("aria-current", "page")
    page.click(".card[data-row='1'] .strip")
    tab.rests()
    assert (tab.amount(5), tab.amount(1)) == (1.5, 0)
    page.evaluate("location.hash = '#editor&set=1=-0.5'")  # As an address that is typed.
    expect(page.locator(".move")).to_have_count(1)
    assert tab.amount(1) == -0.5


def test_samples_classes_pad_and_variations(tab: Tab) -> None:
    page = tab.page
    page.click("#choose")
    page.click("[aria-label='Sample 5 cube']")
    page.click("#use-samples")
    tab.rests()
    assert page.locator("#pictures canvas").count() == 2
    page.fill("#classes input[type=search]", "tor")
    page.keyboard.press("Enter")
    tab.rests()
    assert "class=4:1" in page.url
    expect(page.locator("#pictures figcaption").first).to_have_text("sample 0 · torus")
    page.fill("#classes input[type=search]", "cone")
    page.keyboard.press("Enter")
    tab.rests()
    assert "class=4:1,3:1" in page.url
    expect(page.locator("#pictures figcaption").first).to_have_text("sample 0 · cone 0.5 + torus 0.5")
    page.click("#new-seed")
    assert "seed=" in page.url
    page.click("#pad-section summary")
    box = page.locator(".square").bounding_box()
    page.locator(".square").click(position={"x": 0.75 * box["width"], "y": 0.25 * box["height"]})
    tab.rests()
    assert (tab.amount(0), tab.amount(1)) == (pytest.approx(1, abs=0.05), pytest.approx(1, abs=0.05))
    page.click("#children-section summary")
    expect(page.locator("#children canvas")).to_have_count(12)
    page.click("#children button[aria-label^='Variation 3']")
    tab.rests()
    assert page.url.count("set=") >= 3


def test_a_film_and_latents_are_exported_and_latents_dropped(tab: Tab, tmp_path: Path) -> None:
    tab.open("#editor&set=1=1.5")
    page = tab.page
    page.click("#export")
    expect(page.locator("#command")).to_contain_text("--set 1=+1.5")
    page.select_option("#form", "webp")
    page.fill("#frames", "4")
    page.click("#start-export")
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "film.webp")
    assert settings_of(tmp_path / "film.webp")["edits"] == ["1 +1.5"]
    page.keyboard.press("Escape")
    save_latents(tmp_path / "mine.npz", torch.ones(3, 6))
    page.set_input_files("#latents", tmp_path / "mine.npz")
    expect(page.locator("#notice")).to_have_text("3 latents from mine.npz")
    expect(page.locator("#pictures canvas")).to_have_count(3)
    (tmp_path / "bad.npy").write_bytes(b"no array")
    page.set_input_files("#latents", tmp_path / "bad.npy")
    expect(page.locator("#notice")).to_contain_text("cannot read latents")
    tab.problems = [problem for problem in tab.problems if "400" not in problem]  # The browser tells of the refusal.


def test_the_keyboard_is_enough(tab: Tab, served: Served) -> None:
    tab.open("#gallery")
    page = tab.page
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.type("2")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('strip')"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("#move-2")).to_be_focused()
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowRight")
    tab.rests()
    moved = tab.amount(2)
    assert moved > 0.1
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("by keys")
    page.keyboard.press("Enter")
    until(lambda: Directions.load(served.sources[0].path).names[2] == "by keys")
    page.locator("body").press("g")
    expect(page.locator("#gallery")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+z")
    page.keyboard.press("e")
    tab.rests()
    assert tab.amount(2) < moved


def test_two_tabs_draw_at_once(tab: Tab, browser: Any, served: Served) -> None:
    other = Tab(browser, served, "#editor&set=0=1")
    tab.open("#editor&set=0=-1")
    for each, amount in ((tab, "1.5"), (other, "-1.5"), (tab, "0.5")):
        each.type_amount(0, amount)
    with served.page() as socket:
        for each, amount in ((tab, 0.5), (other, -1.5)):
            drawn = socket.draw(edits=[[0, amount, None]]).flatten().tolist()
            assert [value for place, value in enumerate(each.pixels()) if place % 4 < 3] == drawn
    assert other.problems == []
    other.context.close()


def test_a_server_that_is_started_again_is_found_again(browser: Any, tmp_path: Path) -> None:
    path = save_directions(tmp_path)
    served = Served(path)
    tab = Tab(browser, served, "#editor&set=1=1")
    before = tab.pixels()
    served.stop()
    expect(tab.page.locator("#lost")).to_contain_text("The server has stopped")
    tab.page.fill("[data-row='1'] .move-line input[type=number]", "-1")
    tab.page.keyboard.press("Enter")
    again = Served(path, port=served.port)
    try:
        expect(tab.page.locator("#lost")).to_be_hidden(timeout=15_000)
        tab.rests()
        until(lambda: tab.pixels() != before)
        with again.page() as socket:
            drawn = socket.draw(edits=[[1, -1, None]]).flatten().tolist()
        until(lambda: [value for place, value in enumerate(tab.pixels()) if place % 4 < 3] == drawn)
        # Attempts to connect are told of.
        assert [each for each in tab.problems if "WebSocket" not in each and "ERR_CONNECTION" not in each] == []
        tab.context.close()
    finally:
        again.stop()


def test_a_link_opens_its_file(browser: Any, folder: Path, tmp_path: Path) -> None:
    one, other = save_directions(folder), tmp_path / "other.safetensors"
    Directions(torch.eye(2, 6), metadata={"generator": Directions.load(one).metadata["generator"]}).save(other)
    served = Served(one, other)
    tab = Tab(browser, served, "#editor&file=other&set=1=2")
    page = tab.page
    assert page.locator("#file").input_value() == "1"
    drawn = tab.pixels()
    page.select_option("#file", "0")
    expect(page.locator("#about")).to_contain_text("6 directions")
    assert "file=found" in page.url
    tab.open("#editor&set=1=2")
    assert tab.pixels() != drawn
    tab.open("#editor&file=another")
    expect(page.locator("#notice")).to_have_text("another is not open here; found is shown")
    assert tab.problems == []
    tab.context.close()
    served.stop()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_is_accessible_and_fits(browser: Any, served: Served, scheme: str, width: int) -> None:
    tab = Tab(browser, served, "#gallery", color_scheme=scheme, reduced_motion="reduce")
    page = tab.page
    page.set_viewport_size({"width": width, "height": 844})
    expect(page.locator(".strip .wait")).to_have_count(0)
    _check_accessible(page)
    tab.open("#editor&set=1=1.5&set=2=9&pick=0,1,2&class=3:1&compare=both")
    for opened in ("#pad-section > summary", "#children-section > summary", "[data-row='1'] summary"):
        page.click(opened)
    _check_accessible(page)
    for button in ("#choose", "#export", "#help"):
        page.click(button)
        page.wait_for_timeout(100)
        _check_accessible(page)
        page.keyboard.press("Escape")
    assert tab.problems == []
    tab.context.close()


def _check_accessible(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    found = axe.Axe().run(page)
    said = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found.response["violations"]]
    assert said == []


def test_links_that_make_no_sense_open_what_they_can(tab: Tab) -> None:
    tab.open("#editor&seed=-3&pick=a,b&set=77=1&set=0=x&set=1=1&truncation=9&latents=zz&class=900:1&pad=1,99")
    expect(tab.page.locator("#notice")).to_contain_text(re.compile("link|class"))
    assert tab.amount(1) == 1
