"""The sliders in notebooks: messages against rendered frames, and the front end in Chromium, without a notebook."""

from __future__ import annotations

import base64
import builtins
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biggan_discovery import Directions, Sliders, load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.explorer.widget import front_end
from biggan_discovery.rendering import Edit, edited, sample_latents, to_uint8
from tests.chromium import chromium
from tests.explorer.serving import NDIRS, save_directions

pytest.importorskip("anywidget")
_BROWSER = chromium()
DRAWN = "#pictures[aria-busy=false] canvas"


@pytest.fixture
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_directions(tmp_path_factory.getbasetemp())


class Kernel:
    """The kernel's side of a widget, as a front end sees it."""

    def __init__(self, sliders: Sliders, monkeypatch: pytest.MonkeyPatch):
        self.sliders, self.sent = sliders, list[tuple[dict[str, Any], list[bytes]]]()
        monkeypatch.setattr(sliders.widget, "send", lambda answer, buffers=(): self.sent.append((answer, buffers)))

    def ask(self, message: Any) -> tuple[dict[str, Any], list[bytes]]:
        """What is answered to a message of a front end, as ipywidgets delivers it."""
        self.sliders.widget._handle_msg({"content": {"data": {"method": "custom", "content": message}}, "buffers": []})
        return self.sent.pop()

    def draw(self, **view: Any) -> np.ndarray:
        answer, [pixels] = self.ask({"type": "draw", "id": "1", "view": view})
        return np.frombuffer(pixels, np.uint8).reshape(answer["count"], answer["height"], answer["width"], 3)


@pytest.fixture
def kernel(found: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(Sliders(None, found, only=[3, 0]), monkeypatch)


def of_torch(found: Path, edits: list[Edit], numbers: list[int], label: int) -> np.ndarray:
    directions = Directions.load(found)
    generator = load_generator(directions.metadata["generator"], device="cpu")
    z = edited(generator, directions, sample_latents(generator, max(numbers) + 1, 2)[numbers], edits)
    with torch.no_grad():
        return to_uint8(generator(z, torch.full((len(numbers),), label)))


def test_pictures_are_those_of_torch(kernel: Kernel, found: Path) -> None:
    drawn = kernel.draw(seed=2, pick=[5, 1], classes=[[3, 1.0]], edits=[[0, 1.5, None], [3, -1.25, "2-3"]])
    assert np.array_equal(drawn, of_torch(found, [Edit(0, 1.5), Edit(3, -1.25, "2-3")], [5, 1], 3))


def test_names_and_ranges_change_the_directions_in_memory(kernel: Kernel, found: Path) -> None:
    answer, _ = kernel.ask({"type": "mark", "id": "9", "direction": 2, "key": "name", "value": "hue"})
    assert answer == {"id": "9", "done": True, "now": "hue"}
    kernel.ask({"type": "mark", "direction": 2, "key": "range", "value": [-1, 3]})
    directions = kernel.sliders.directions
    assert directions.names[2] == "hue"
    assert directions.recommended_ranges[2] == (-1, 3)
    assert kernel.sliders.widget.about["directions"][2]["name"] == "hue"  # A view that is opened later knows it.
    assert Directions.load(found).names[2] == ""


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("draw", "no message None"),
        ({"type": "explode", "id": "1"}, "no message 'explode'"),
        ({"type": "draw", "id": "1", "view": {"edits": [[99, 1, None]]}}, "no direction 99"),
        ({"type": "draw", "id": "1", "view": {"latents": "0123456789abcdef"}}, "there are no latents"),
        ({"type": "mark", "id": "1", "direction": 0, "key": "name", "value": "3"}, "not a number"),
        ({"type": "mark", "id": "1", "direction": 0, "key": "colour", "value": "3"}, "no 'colour'"),
        ({"type": "mark", "id": "1", "direction": "x", "key": "name", "value": "a"}, "ValueError"),
    ],
)
def test_a_bad_message_gets_an_answer(kernel: Kernel, message: Any, said: str) -> None:
    answer, _ = kernel.ask(message)
    assert said in answer["error"]
    assert answer["id"] == (message["id"] if isinstance(message, dict) else None)
    assert kernel.draw(pick=[0]).shape == (1, 8, 8, 3)


def test_what_is_set_by_hand_is_there_for_other_cells(kernel: Kernel) -> None:
    assert [row for row, *_ in kernel.sliders.widget.view["edits"]] == [3, 0]
    assert kernel.sliders.edits == {}
    kernel.sliders.widget.view = {"edits": [[3, 0.0, None], [0, -1.5, None]]}
    assert kernel.sliders.edits == {0: -1.5}
    data, _ = kernel.sliders._repr_mimebundle_()
    assert data["text/plain"].startswith("Sliders(Directions(6 × 6")
    assert "application/vnd.jupyter.widget-view+json" in data


@pytest.mark.parametrize(
    ("options", "said"),
    [({"only": [NDIRS]}, "no direction 6"), ({"samples": 17}, "samples is 17"), ({"seed": -1}, "seed is -1")],
)
def test_what_cannot_be_is_said(found: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Sliders(None, found, **options)


def test_without_anywidget_one_line_says_what_to_install(found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str, *arguments: Any) -> Any:
        if name == "anywidget":
            raise ModuleNotFoundError(name)
        return real(name, *arguments)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install anywidget"):
        Sliders(None, found)


def test_the_front_end_is_one_module() -> None:
    text = front_end()
    assert not re.search(r"^\s*import\b", text, re.MULTILINE)
    assert re.findall(r"^export .*", text, re.MULTILINE) == [
        "export default { render: (context) => load().render(context, own) };"
    ]


# What anywidget does: it imports the module from a blob, and gives `render` a model and an element.
STAND_IN = """async ({ text, state }) => {
  const heard = new Set();
  window.model = {
    state, saved: 0, asked: 0, slow: 0,
    get: (key) => state[key],
    set: (key, value) => { state[key] = value; },
    save_changes: () => { window.model.saved += 1; },
    on: (event, handler) => heard.add(handler),
    off: (event, handler) => heard.delete(handler),
    send: async (message) => {
      window.model.asked += 1;
      if (window.model.slow) await new Promise((done) => setTimeout(done, window.model.slow));
      const [answer, buffers] = await window.kernel(message);
      const views = buffers.map((each) => new DataView(Uint8Array.from(atob(each), (c) => c.charCodeAt(0)).buffer));
      for (const handler of heard) handler(answer, views);
    },
    get heard() { return heard.size; },
  };
  const { default: widget } = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  window.show = () => {
    const el = document.body.appendChild(document.createElement("div"));
    const remove = widget.render({ model: window.model, el });
    return () => { remove(); el.remove(); };
  };
  window.remove = window.show();
}"""


@pytest.fixture
def page(kernel: Kernel) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    if _BROWSER is None:
        pytest.skip("no Chromium; `python tests/chromium.py --install` gets one")

    def answer(message: Any) -> Any:
        content, buffers = kernel.ask(message)
        return [content, [base64.b64encode(each).decode() for each in buffers]]

    problems: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        page.set_default_timeout(15_000)
        page.on("console", lambda each: problems.append(each.text) if each.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.expose_function("kernel", answer)
        page.set_content("<!doctype html><html lang='en'><title>A notebook</title><body></body></html>")
        widget = kernel.sliders.widget
        page.evaluate(STAND_IN, {"text": front_end(), "state": {"about": widget.about, "view": widget.view}})
        page.wait_for_selector(DRAWN)
        yield page
        browser.close()
    assert [each for each in problems if "getImageData" not in each] == []


PIXELS = """() => {
  const root = document.body.querySelector("div").shadowRoot;
  return [...root.querySelectorAll("#pictures canvas")].map((canvas) =>
    [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]);
}"""


def pixels(page: Any) -> np.ndarray:
    return np.array(page.evaluate(PIXELS)).reshape(-1, 8, 8, 4)[..., :3]


def type_amount(page: Any, row: int, text: str) -> None:
    page.fill(f"[data-row='{row}'] .move-line input[type=number]", text)
    page.keyboard.press("Enter")
    page.wait_for_timeout(50)
    page.wait_for_selector(DRAWN)


def test_the_front_end_draws_names_and_goes_back(page: Any, kernel: Kernel) -> None:
    assert page.locator(".move").count() == 2
    before = pixels(page)
    assert np.array_equal(before, kernel.draw(pick=[0, 1]))
    type_amount(page, 3, "-1.5")
    assert np.array_equal(pixels(page), kernel.draw(pick=[0, 1], edits=[[3, -1.5, None]]))
    assert page.evaluate("window.model.state.view.edits") == [[3, -1.5, None], [0, 0, None]]
    page.fill("[data-row='3'] input.name", "from afar")
    page.keyboard.press("Enter")
    page.wait_for_selector("#notice[data-kind=info]")
    assert page.locator("#notice").inner_text() == "Set: direction 3, name “from afar”"
    assert kernel.sliders.directions.names[3] == "from afar"
    page.fill("[data-row='0'] input.name", "from afar")  # It is taken.
    page.keyboard.press("Enter")
    page.wait_for_selector("#notice[data-kind=error]")
    page.click("#undo")
    page.wait_for_timeout(50)
    page.wait_for_selector(DRAWN)
    assert np.array_equal(pixels(page), before)


def test_a_drag_never_queues_pictures(page: Any, kernel: Kernel) -> None:
    script = """async () => {
      window.model.slow = 60;
      window.model.asked = 0;
      const slider = document.body.querySelector("div").shadowRoot.querySelector("#move-3");
      for (let step = 1; step <= 200; step += 1) {
        slider.value = -2 + step / 50;
        slider.dispatchEvent(new Event("input"));
        if (step % 50 === 0) await new Promise((done) => setTimeout(done, 20));
      }
      slider.dispatchEvent(new Event("change"));
    }"""
    page.evaluate(script)
    page.wait_for_timeout(50)
    page.wait_for_selector(DRAWN)
    assert np.array_equal(pixels(page), kernel.draw(pick=[0, 1], edits=[[3, 2.0, None]]))
    assert page.evaluate("window.model.asked") <= 6


def test_two_views_of_a_widget_are_two_editors(page: Any) -> None:
    page.evaluate("() => { window.removeOther = window.show(); }")
    drawn = f"(each) => each.shadowRoot.querySelector('{DRAWN}')"
    page.wait_for_function(f"() => [...document.body.children].every({drawn})")
    script = "(place) => document.body.children[place].shadowRoot.querySelectorAll('.move').length"
    assert [page.evaluate(script, place) for place in (0, 1)] == [2, 2]
    page.evaluate("() => window.removeOther()")
    assert page.evaluate("window.model.heard") == 1
    type_amount(page, 0, "1")


def test_it_is_accessible_and_dark_where_the_notebook_is(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    ground = "() => getComputedStyle(document.body.querySelector('div')).backgroundColor"
    assert page.evaluate(ground) == "rgb(250, 250, 248)"
    results = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response
    assert results["violations"] == []
    page.evaluate("() => { window.remove(); document.body.style = 'background: #111; color: #eee'; window.show(); }")
    page.wait_for_selector(DRAWN)
    assert page.evaluate(ground) == "rgb(20, 20, 22)"
