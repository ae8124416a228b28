"""`python -m tests.explorer.screenshots`: the pictures of docs/explore.md, taken in Chromium."""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from biggan_discovery.directions import changing
from biggan_discovery.files import atomic_write
from tests.chromium import chromium
from tests.explorer.serving import Served

DOCS = Path(__file__).parents[2] / "docs"
EDIT = "#editor&set=1=2.2&set=6=-1.4&set=2=1&pad=1,6&compare=both"
SHOTS = [
    ("explore-gallery", "#gallery", (1200, 720), "light"),
    ("explore-editor", EDIT, (1200, 760), "light"),
    ("explore-dark", f"{EDIT}&pick=0,1", (1200, 760), "dark"),
    ("explore-phone", "#editor&pick=3&set=1=2.2&set=6=-1.4", (390, 760), "light"),
]


def take(page: Page, address: str, place: str, size: tuple[int, int]) -> bytes:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto("about:blank")
    page.goto(address + place)
    if place == "#gallery":
        page.wait_for_selector(".card")
        expect(page.locator(".strip .wait")).to_have_count(0, timeout=240_000)
    else:
        page.wait_for_selector("#pictures[aria-busy=false] canvas")
    page.wait_for_timeout(1500)
    return page.screenshot()


def main() -> None:
    """Write the pictures as WebP."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenes.safetensors"
        shutil.copy(DOCS.parent / "directions" / "scenes-64.safetensors", path)
        with changing(path) as directions:
            for row in (1, 6):
                directions.mark(row, starred=True)
        served = Served(path)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            for name, place, size, scheme in SHOTS:
                page = browser.new_page(color_scheme=scheme, device_scale_factor=1.5)  # pyright: ignore
                content = io.BytesIO()
                Image.open(io.BytesIO(take(page, served.address, place, size))).save(content, "webp", quality=80)
                atomic_write(DOCS / f"{name}.webp", content.getvalue())
                page.close()
            browser.close()
        served.stop()


if __name__ == "__main__":
    main()
