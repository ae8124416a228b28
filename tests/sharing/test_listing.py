"""Lists of directions files, without their generators."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from biggan_discovery import Directions, load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.rendering.thumbnail import COLUMNS, SIDE, add_thumbnail
from biggan_discovery.sharing.listing import found_in, write_listing
from tests.cli.console import Console
from tests.explorer.serving import save_directions
from tests.hub import serving, use


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs, of which one has a thumbnail; their generator is gone."""
    monkeypatch.chdir(tmp_path)
    path = save_directions(tmp_path)
    found = Directions.load(path)
    found.rename(3, "<b>from afar</b>")
    found.save("runs/b/directions.safetensors")
    add_thumbnail(found, load_generator(found.metadata["generator"], device="cpu"), {0: 1.0, 3: 2.0})
    found.save("runs/a/directions.safetensors")
    Path("runs/a/state.safetensors").write_bytes(Path("runs/a/directions.safetensors").read_bytes())
    path.unlink()
    (tmp_path / "tiny").rename(tmp_path / "gone")
    return Path("runs")


def test_files_in_folders_are_listed(runs: Path, console: Console) -> None:
    lines = [line.split() for line in console("list", runs).splitlines()]
    assert lines[1:] == [
        ["6", "1", "-", "tiny", "yes", "runs/a/directions.safetensors"],
        ["6", "1", "-", "tiny", "-", "runs/b/directions.safetensors"],
    ]


def test_the_page_shows_thumbnails_and_names_as_they_are(runs: Path, console: Console) -> None:
    console("list", runs, "--out", "page.html")
    page = Path("page.html").read_text()
    [picture] = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert image.size == (3 * COLUMNS * SIDE, 3 * 2 * SIDE)
    assert page.count("&lt;b&gt;from afar&lt;/b&gt;") == 2
    assert "<b>from" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_thumbnail_of_a_stranger_is_not_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4000, 4000)).save(buffer, "webp", lossless=True)
    thumbnail = base64.b64encode(buffer.getvalue()).decode()
    assert len(thumbnail) < 9_990
    Directions(torch.eye(2, 4), metadata={"thumbnail": thumbnail}).save(tmp_path / "a.safetensors")
    write_listing(found_in([tmp_path]), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "4,000 × 4,000 pixels" in page
    assert "data:image" not in page


def test_damaged_files_in_a_folder_are_warned_of(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = (runs / "b" / "directions.safetensors").read_bytes()
    (runs / "b" / "directions.safetensors").write_bytes(content[:-1])
    assert len(found_in([runs])) == 1
    assert "b/directions.safetensors is not a directions file, or is damaged" in caplog.text
    with pytest.raises(UserError, match="damaged"):
        found_in([runs / "b" / "directions.safetensors"])


def test_files_on_the_hub_are_listed(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    with serving() as hub:
        use(hub, tmp_path / "cache", monkeypatch)
        hub.add("someone/cones", runs / "a" / "directions.safetensors")
        [found] = found_in(["hf://someone/cones"])
        assert found.thumbnail is not None
