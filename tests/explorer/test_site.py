"""The static demo, under its strict Content Security Policy, in Chromium."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biggan_discovery import Directions, load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.explorer import site
from biggan_discovery.rendering import Edit, edited, sample_latents, to_uint8
from tests.chromium import chromium
from tests.explorer.serving import save_directions

onnxruntime = pytest.importorskip("onnxruntime")
sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("onnxscript")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
_BROWSER = chromium()
expect = sync_api.expect
DRAWN = "#pictures[aria-busy=false] canvas"


class Handler(http.server.SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", site.POLICY)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        site.runtime()
    except UserError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "SEEDS", 4)
        site.build_site([str(save_directions(folder))], folder / "demo")
    return folder / "demo"


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(built)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    thread.join()
    server.server_close()


def tells_of_a_problem(message: Any) -> bool:
    """Whether a message of the console does; reading pixels often is only done here."""
    return message.type in ("error", "warning") and "getImageData" not in message.text


def of_torch(built: Path) -> np.ndarray:
    """Sample 5 of seed 2, moved along two directions, of a mixed class, without the code of the page."""
    path = built.parent / "found.safetensors"
    directions = Directions.load(path)
    generator = load_generator(directions.metadata["generator"], device="cpu")
    z = edited(generator, directions, sample_latents(generator, 6, 2)[5:], [Edit(0, 1.5), Edit(3, -1.25, "2-3")])
    with torch.no_grad():
        return to_uint8(generator(z, torch.tensor([[0.25, 0, 0, 0.75, 0]])))[0]


def test_the_onnx_file_gives_the_images_of_torch(built: Path) -> None:
    path = built.parent / "found.safetensors"
    generator = load_generator(Directions.load(path).metadata["generator"], device="cpu")
    z = torch.randn(1, generator.num_layers, generator.z_dim)
    y = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.0]])
    session = onnxruntime.InferenceSession(built / "data" / "0" / "generator.onnx")
    [found] = session.run(None, {"z": z.numpy(), "y": y.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, generator(z, y).numpy(), atol=1e-4)


def test_it_says_what_the_files_hold(built: Path) -> None:
    about = json.loads((built / "data" / "0" / "about.json").read_text())
    latents = np.fromfile(built / "data" / "0" / "latents.bin", "<f4").reshape(4, site.SAMPLES, 6)
    generator = load_generator(Directions.load(built.parent / "found.safetensors").metadata["generator"], device="cpu")
    assert np.array_equal(latents[3, :7], sample_latents(generator, 7, 3).numpy())
    assert [len(each) for each in (about["strips"], about["directions"])] == [6, 6]
    for strip in about["strips"]:
        assert (built / strip["name"]).is_file()
    text = (built / "index.html").read_text()
    assert "http" not in text.replace("http-equiv", "")


_NO_BROWSER = pytest.mark.skipif(_BROWSER is None, reason="no Chromium; `python tests/chromium.py --install` gets one")
_SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")


@pytest.mark.long
@_NO_BROWSER
def test_webgpu_gives_the_images_of_torch_and_is_taken_if_right_and_faster(built: Path, address: str) -> None:
    generator = load_generator(Directions.load(built.parent / "found.safetensors").metadata["generator"], device="cpu")
    z = torch.randn(1, generator.num_layers, generator.z_dim, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.0]])
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_BROWSER, args=["--no-sandbox", *_SOFTWARE_GPU])
        page = browser.new_page()
        page.goto(address)
        script = """async ([z, shape, y]) => {
          const { load, create, fastest } = await import("./static/network.js");
          const { ort, providers } = await load();
          const networks = await create(ort, "0", providers);
          const tensor = (values, shape) => new ort.Tensor("float32", new Float32Array(values), shape);
          const inputs = { z: tensor(z, shape), y: tensor(y, [1, y.length]) };
          const images = [];
          for (const network of networks) images.push([...(await network.run(inputs)).images.data]);
          const chosen = await fastest(networks, inputs);
          const again = [...(await chosen.run(inputs)).images.data];
          const fake = (name, image, milliseconds) => ({
            name,
            run: async () => {
              if (!image) throw new Error("lost");
              await new Promise((resolve) => setTimeout(resolve, milliseconds));
              return { images: { data: image } };
            },
            release: async () => {},
          });
          const named = async (...networks) => (await fastest(networks, {})).name;
          const choices = [
            await named(fake("slow", [0.5], 40), fake("fast", [0.5 + 1 / 255], 1)),
            await named(fake("right", [0.5], 40), fake("wrong", [0.6], 1)),
            await named(fake("right", [0.5], 40), fake("broken", [NaN], 1)),
            await named(fake("right", [0.5], 1), fake("lost", null, 1)),
          ];
          return { providers, images, again, choices };
        }"""
        found = page.evaluate(script, [z.flatten().tolist(), list(z.shape), y[0].tolist()])
        browser.close()
    if "webgpu" not in found["providers"]:
        pytest.skip("this Chromium has no WebGPU in software")
    with torch.no_grad():
        expected = generator(z, y).flatten().numpy()
    assert len(found["images"]) == 2
    for image in (*found["images"], found["again"]):
        np.testing.assert_allclose(image, expected, atol=1e-3)
    assert found["choices"] == ["fast", "right", "right", "right"]


@_NO_BROWSER
def test_the_page_draws_what_torch_draws(built: Path, address: str) -> None:
    problems: list[str] = []
    hosts: set[str] = set()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.on("console", lambda message: problems.append(message.text) if tells_of_a_problem(message) else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        page.goto(f"{address}#editor&seed=2&pick=5&class=0:1,3:3&set=0=1.5&set=3=-1.25@2-3")
        page.wait_for_selector(DRAWN, timeout=60_000)
        script = """() => {
          const canvas = document.querySelector("#pictures canvas");
          return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
        }"""
        drawn = np.array(page.evaluate(script)).reshape(8, 8, 4)[..., :3]
        assert np.abs(drawn - of_torch(built).astype(int)).max() <= 2
        page.fill("[data-row='0'] .move-line input[type=number]", "-1")
        page.keyboard.press("Enter")
        page.wait_for_timeout(50)
        page.wait_for_selector(DRAWN)
        assert np.abs(np.array(page.evaluate(script)).reshape(8, 8, 4)[..., :3] - drawn).max() > 2
        expect(page.locator("[data-row='0'] input.name")).to_be_disabled()
        page.fill("#seed", "9")  # There are 4.
        page.keyboard.press("Enter")
        expect(page.locator("#seed")).to_have_value("2")
        with page.expect_download() as download:
            page.click("#export")
        assert download.value.suggested_filename.endswith(".png")
        assert axe.Axe().run(page).response["violations"] == []
        page.click("#to-gallery")
        expect(page.locator(".strip .wait")).to_have_count(0)
        browser.close()
    assert problems == []
    assert hosts <= {address.split("/")[2], ""}
