"""The server: what is drawn, and what is saved."""

from __future__ import annotations

import io
import json
import shlex
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from websockets.exceptions import ConnectionClosed

from biggan_discovery import Directions, discover, load_generator
from biggan_discovery.cli import cli
from biggan_discovery.directions import changing
from biggan_discovery.explorer import gallery, pictures
from biggan_discovery.explorer.sources import Generators, open_sources
from biggan_discovery.rendering import sample_latents, save_latents, settings_of, to_uint8
from tests.explorer.serving import NDIRS, Page, Served, save_directions


def of_library(
    served: Served, row: int, amount: float, *, seed: int = 0, label: int = 0, number: int = 0
) -> np.ndarray:
    """The image of one sample after one step, without the explorer's code."""
    directions = Directions.load(served.sources[0].path)
    generator = load_generator(directions.metadata["generator"], device="cpu")
    z = sample_latents(generator, number + 1, seed)[number:]
    with torch.no_grad():
        return to_uint8(generator(z + amount * directions.Q[row], torch.tensor([label])))[0]


class TestPictures:
    def test_they_are_those_of_the_library(self, served: Served, page: Page) -> None:
        found = page.ask("draw", view={"edits": [[2, 1.5, None]], "pick": [1], "seed": 4, "classes": [[3, 1]]})
        assert found["numbers"] == [1]
        expected = of_library(served, 2, 1.5, seed=4, label=3, number=1)
        assert np.abs(found["pixels"][0].astype(int) - expected).max() <= 1

    def test_edits_add_up_and_layers_are_respected(self, served: Served, page: Page) -> None:
        both = page.draw(edits=[[0, 1, None], [1, -1, None]])
        swapped = page.draw(edits=[[1, -1, None], [0, 1, None]])
        assert np.abs(both.astype(int) - swapped).max() <= 1
        coarse, fine = page.draw(edits=[[0, 2, "coarse"]]), page.draw(edits=[[0, 2, "fine"]])
        assert np.abs(coarse.astype(int) - fine).max() > 1

    def test_samples_of_several_classes_stand_side_by_side(self, page: Page) -> None:
        found = page.ask("draw", view={"pick": [0, 1, 3]})
        assert found["names"] == ["cube", "sphere", "cone"]
        assert found["pixels"].shape[0] == 3

    def test_classes_are_mixed_by_their_weights(self, served: Served, page: Page) -> None:
        generator = load_generator(Directions.load(served.sources[0].path).metadata["generator"], device="cpu")
        y = torch.tensor([[0.75, 0, 0, 0.25, 0]])
        with torch.no_grad():
            expected = to_uint8(generator(sample_latents(generator, 1, 0), y))
        found = page.ask("draw", view={"classes": [[0, 3], [3, 1]]})
        assert found["names"] == ["cube 0.75 + cone 0.25"]
        assert np.abs(found["pixels"].astype(int) - expected).max() <= 1
        assert np.abs(page.draw(classes=[[0, 1]]).astype(int) - expected).max() > 1

    def test_truncation_is_that_of_the_generator(self, served: Served, page: Page) -> None:
        generator = load_generator(Directions.load(served.sources[0].path).metadata["generator"], truncation=0.4)
        with torch.no_grad():
            expected = to_uint8(generator(sample_latents(generator, 1, 0), torch.tensor([0])))
        assert np.abs(page.draw(truncation=0.4).astype(int) - expected).max() <= 1
        assert np.abs(page.draw().astype(int) - expected).max() > 1

    def test_a_draft_is_of_as_many_samples_as_there_is_time_for(
        self, page: Page, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pictures, "seconds_per_image", lambda _: 0.04)
        draft = page.ask("draw", draft=True, view={"pick": [0, 1, 2, 3]})
        assert draft["count"] == 2
        assert draft["numbers"] == [0, 1, 2, 3]
        monkeypatch.setattr(pictures, "seconds_per_image", lambda _: 5.0)
        assert page.ask("draw", draft=True, view={"pick": [0, 1, 2, 3]})["count"] == 1

    def test_smaller_pictures_can_be_asked_for(self) -> None:
        pixels = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
        assert pictures.smaller(pixels, 4).shape == (2, 4, 4, 3)
        block = pixels[0, :2, :2, 0].mean()
        assert abs(int(pictures.smaller(pixels, 4)[0, 0, 0, 0]) - block) <= 1
        assert pictures.smaller(pixels, 8) is pixels

    def test_the_newest_request_is_drawn_and_others_are_told(self, served: Served, page: Page) -> None:
        busy = threading.Event()
        served.compute.submit(0, "test", lambda: busy.wait(10))  # pyright: ignore
        for number in range(10):
            page.send("draw", id=number, view={"edits": [[0, number / 5, None]]})
        overtaken = [page.hear("overtaken")["id"] for _ in range(8)]
        busy.set()
        rest = [page.hear("overtaken", "picture") for _ in range(2)]  # The first one was in work by then, or not.
        assert rest[-1]["type"] == "picture"
        assert sorted([*overtaken, *(each["id"] for each in rest)]) == list(range(10))
        assert max(rest, key=lambda each: each["id"])["type"] == "picture"

    def test_a_page_is_not_kept_waiting_by_films_and_galleries(self, served: Served, page: Page) -> None:
        with served.page() as other:
            other.send(
                "export", id=1, form="webp", frames=2000, view={"edits": [[0, 1, None]], "pick": list(range(16))}
            )
            other.hear("exporting")
            start = time.monotonic()
            for number in range(5):
                page.draw(seed=number)
            assert time.monotonic() - start < 5
            other.send("cancel", export=1)
            assert other.hear("cancelled")["id"] == 1


class TestMessages:
    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '"draw"', "{}", "[" * 5000])
    def test_what_is_no_message_gets_an_answer(self, page: Page, text: str) -> None:
        page.connection.send(text)
        assert page.hear("error")["text"]
        assert page.ask("open")["type"] == "opened"

    @pytest.mark.parametrize(
        "message",
        [
            {"type": 3},
            {"type": "fly"},
            {"type": "draw"},
            {"type": "draw", "view": 3},
            {"type": "draw", "view": {}, "file": 9},
            {"type": "open", "file": "x"},
            {"type": "draw", "view": {}, "side": 1},
            {"type": "draw", "view": {}, "channel": 1},
            {"type": "draw", "view": {"edits": [[99, 1, None]]}},
            {"type": "draw", "view": {"edits": [[0, 1, "9-12"]]}},
            {"type": "draw", "view": {"classes": [[77, 1]]}},
            {"type": "draw", "view": {"latents": "0123456789abcdef"}},
            {"type": "mark", "direction": "x"},
            {"type": "mark", "direction": 99, "key": "name", "value": "a"},
            {"type": "mark", "direction": 0, "key": "A", "value": "a"},
            {"type": "mark", "direction": 0, "key": "name", "value": 1, "was": ""},
            {"type": "mark", "direction": 0, "key": "range", "value": [2, 1], "was": None},
            {"type": "mark", "direction": 0, "key": "starred", "value": 1, "was": False},
            {"type": "strips", "rows": "all"},
            {"type": "export", "id": 1, "form": "exe", "view": {}},
            {"type": "export", "id": 1, "form": "mp4", "view": {}},
            {"type": "export", "id": 1, "form": "mp4", "frames": 1e9, "view": {}},
            {"type": "export", "form": "mp4", "view": {}},
        ],
    )
    def test_a_bad_message_gets_an_answer(self, page: Page, message: dict[str, Any]) -> None:
        page.connection.send(json.dumps(message))
        found = page.hear("error")
        assert 5 < len(found["text"]) < 400
        assert page.ask("open")["type"] == "opened"

    def test_bytes_end_the_connection_only_of_the_page_that_sent_them(self, served: Served, page: Page) -> None:
        with served.page() as other:
            other.connection.send(b"\0" * 100)
            with pytest.raises(ConnectionClosed):
                other.hear("nothing")
        assert page.ask("open")["type"] == "opened"

    def test_about(self, page: Page) -> None:
        found = page.ask("open")
        assert found["generator"]["layer_words"] == ["coarse", "mid", "fine"]
        assert [each["name"] for each in found["generator"]["classes"]] == [
            "cube",
            "sphere",
            "cylinder",
            "cone",
            "torus",
        ]
        assert len(found["directions"]) == NDIRS
        assert found["ranges"][0] == [-2.0, 2.0]
        assert found["metrics"] == [{"title": "strength", "values": [3.0, 9.0, 5.0, 4.0, 1.0, 2.0]}]
        assert found["locked"] == ""

    def test_metrics_of_the_report_beside_the_file(self, served: Served, page: Page) -> None:
        from biggan_discovery import evaluate

        path = Path(served.sources[0].path)
        folder = path.with_name("found-report")
        network = str(path.parent / "tiny")
        report = evaluate(network, path, metrics="activeness", out=folder, figures=False, quiet=True)
        [figures] = report.of_directions.values()
        found = {each["title"]: each["values"] for each in page.ask("open")["metrics"]}
        assert set(found) >= {"strength"}
        assert len(found) == 1 + len(figures)
        key, estimates = next(iter(figures.items()))
        assert [each.mean for each in estimates] in list(found.values()), key


class TestMarks:
    def test_they_are_in_the_file_at_once_and_told_to_all(self, served: Served, page: Page) -> None:
        path = served.sources[0].path
        with served.page() as other:
            other.ask("open")
            changes = [("name", "hue", ""), ("note", "turns", ""), ("range", [-1.5, 2], None), ("starred", True, False)]
            for key, value, was in changes:
                found = page.ask("mark", direction=3, key=key, value=value, was=was)
                assert found == {"type": "marked", "id": 7, "done": True, "now": value}
            found = Directions.load(path)
            assert (found.names[3], found.notes[3], found.recommended_ranges[3]) == ("hue", "turns", (-1.5, 2.0))
            assert found.starred == [False, False, False, True, False, False]
            told = other.hear("marks", true=lambda message: message["directions"][3]["starred"])
            assert told["directions"][3]["name"] == "hue"

    def test_a_newer_change_of_someone_else_stays(self, served: Served, page: Page) -> None:
        path = served.sources[0].path
        with changing(path) as directions:
            directions.rename(2, "theirs")
        found = page.ask("mark", direction=2, key="name", value="mine", was="")
        assert (found["done"], found["now"]) == (False, "theirs")
        assert Directions.load(path).names[2] == "theirs"
        assert page.ask("mark", direction=2, key="name", value="mine", was="theirs")["done"]
        assert Directions.load(path).names[2] == "mine"

    def test_changes_by_others_are_told(self, served: Served, page: Page) -> None:
        page.ask("open")
        with changing(served.sources[0].path) as directions:
            directions.rename(5, "from a terminal")
        page.hear("marks", true=lambda message: message["directions"][5]["name"] == "from a terminal")

    def test_many_at_once_are_all_kept(self, served: Served, page: Page) -> None:
        def name(row: int) -> None:
            with served.page() as other:
                other.ask("mark", direction=row, key="name", value=f"name {row}x", was="")

        threads = [threading.Thread(target=name, args=(row,)) for row in range(NDIRS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Directions.load(served.sources[0].path).names == [f"name {row}x" for row in range(NDIRS)]

    def test_a_name_that_is_taken_is_refused(self, page: Page) -> None:
        page.ask("mark", direction=0, key="name", value="hue", was="")
        found = page.ask("mark", direction=1, key="name", value="Hue", was="")
        assert "already called" in found["text"]

    def test_the_bundled_file_is_copied_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        served = Served(Path("scenes-64"))
        try:
            with served.page() as page:
                assert "bundled" in page.ask("open")["locked"]
                assert "copy" in page.ask("mark", direction=8, key="name", value="x", was="")["text"]
                assert page.ask("copy")["path"] == "scenes-64.safetensors"
                assert page.hear("marks")["locked"] == ""
                assert page.ask("mark", direction=8, key="name", value="x y", was="")["done"]
        finally:
            served.stop()
        assert Directions.load("scenes-64.safetensors").names[8] == "x y"
        assert Directions.load("scenes-64.safetensors").names[0] == "object position"


class TestStrips:
    def test_they_are_made_once_and_kept_beside_the_file(self, served: Served, page: Page) -> None:
        page.send("strips", rows=[1, 0])
        found = [page.hear("strip", "error") for _ in range(2)]
        assert [each["direction"] for each in found] == [1, 0]
        content = served.get(found[0]["name"]).content
        picture = Image.open(io.BytesIO(content))
        frames, samples = found[0]["frames"], found[0]["samples"]
        assert picture.size == (samples * 8, frames * 8)
        assert found[0]["ends"][0] == -found[0]["ends"][1] < 0
        kept = Path(served.sources[0].path).parent / ".found.explore" / "strips" / found[0]["name"].rpartition("/")[2]
        assert kept.read_bytes() == content
        time_made = kept.stat().st_mtime_ns
        page.send("strips", rows=[1])
        assert page.hear("strip")["name"] == found[0]["name"]
        assert kept.stat().st_mtime_ns == time_made

    def test_frames_go_from_end_to_end(self, served: Served, page: Page) -> None:
        page.ask("mark", direction=4, key="range", value=[-1.0, 3.0], was=None)
        page.send("strips", rows=[4])
        found = page.hear("strip")
        assert (found["ends"], found["equal"]) == ([-1.0, 3.0], False)
        picture = np.asarray(Image.open(io.BytesIO(served.get(found["name"]).content)).convert("RGB"))
        first, last = picture[:8, :8], picture[-8:, :8]
        for drawn, amount in ((first, -1.0), (last, 3.0)):
            near = np.abs(drawn.astype(int) - of_library(served, 4, amount)).mean()
            far = np.abs(drawn.astype(int) - of_library(served, 4, 2 - amount)).mean()
            assert near < far  # WebP of 8 pixels is coarse.


class TestExports:
    def test_the_command_line_makes_the_same_file(
        self, served: Served, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        view = {
            "edits": [[0, 1.25, None], [3, -1, "fine"]],
            "pick": [2, 0],
            "seed": 5,
            "classes": [[4, 1]],
            "truncation": 0.5,
        }
        found = page.ask("export", form="png", view=view)
        assert found["type"] == "exported", found
        content = served.get(found["address"]).content
        monkeypatch.chdir(tmp_path)
        program, *arguments = shlex.split(found["command"])
        assert program == "biggan-discovery"
        cli.main([*arguments, "--quiet"], standalone_mode=False)
        made, ours = (np.asarray(Image.open(source)) for source in ("edit.png", io.BytesIO(content)))
        assert np.array_equal(made, ours)
        Path("ours.png").write_bytes(content)
        assert settings_of("ours.png")["command"] == found["command"]

    def test_a_mix_of_classes_is_exported_and_comes_back(self, served: Served, page: Page) -> None:
        view = {"edits": [[0, 1, None]], "classes": [[0, 0.5], [4, 0.5]]}
        assert "--class '0:0.5, 4:0.5'" in page.ask("export", form="png", view=view)["command"]
        latents = served.get(page.ask("export", form="npz", view=view)["address"]).content
        taken = json.loads(served.get("latents/0?name=mix.npz", body=latents).content)
        assert np.array_equal(page.draw(latents=taken["latents"]), page.draw(**view))

    def test_strips_are_of_the_soft_classes_of_a_file(self, folder: Path, tmp_path: Path) -> None:
        known = Directions.load(save_directions(folder)).metadata["generator"]
        path = tmp_path / "soft.safetensors"
        Directions(torch.eye(2, 6), metadata={"generator": known, "classes": [[[0, 0.5], [1, 0.5]]]}).save(path)
        [source] = open_sources([str(path)], Generators(lambda _: None, device="cpu"))
        assert gallery.strip_of(source, 0) is not None

    @pytest.mark.parametrize("form", ["mp4", "webp", "gif"])
    def test_films(self, served: Served, page: Page, form: str) -> None:
        page.send("export", id=7, form=form, frames=4, fps=10, view={"edits": [[1, 2, None]]})
        progress = []
        while (found := page.hear("exporting", "exported", "error"))["type"] == "exporting":
            progress.append(found["done"])
        assert progress == [1, 2, 3, 4]
        answer = served.get(found["address"])
        assert answer.headers["content-disposition"].startswith("attachment")
        assert len(answer.content) > 500
        assert "--frames 4 --fps 10" in found["command"]

    def test_latents_as_shown_come_back_as_the_same_picture(self, served: Served, page: Page) -> None:
        view = {"edits": [[1, 2, None]], "pick": [3]}
        found = page.ask("export", form="npz", view=view)
        content = served.get(found["address"]).content
        taken = json.loads(served.get("latents/0?name=my%20latents.npz", body=content).content)
        assert taken["count"] == 1
        assert np.array_equal(page.draw(latents=taken["latents"]), page.draw(**view))
        film = page.ask("export", form="png", view={"latents": taken["latents"], "edits": [[0, 1, None]]})
        assert "my-latents.npz" in film["command"]

    def test_latents_that_do_not_fit_are_refused(self, served: Served, tmp_path: Path) -> None:
        save_latents(tmp_path / "z.npy", torch.zeros(2, 7))
        for content in ((tmp_path / "z.npy").read_bytes(), b"", b"\0" * 50, b"hello"):
            answer = served.get("latents/0?name=..%2Fz.npy", body=content)
            assert answer.status == 400
            assert json.loads(answer.content)["text"]
        folder = Path(served.sources[0].path).parent / ".found.explore" / "latents"
        assert not list(folder.glob("*z.npy*"))


def test_several_files_are_shown(folder: Path, tmp_path: Path) -> None:
    one, other = save_directions(folder), tmp_path / "other.safetensors"
    known: dict[str, Any] = {"generator": Directions.load(one).metadata["generator"]}
    Directions(torch.eye(2, 6), metadata=known).save(other)
    served = Served(one, other)
    try:
        with served.page() as page:
            assert [each["label"] for each in page.ask("files")["files"]] == ["found", "other"]
            assert len(page.ask("open", file=1)["directions"]) == 2
    finally:
        served.stop()


def test_directions_of_class_embeddings_stand_beside_those_of_latents(folder: Path, tmp_path: Path) -> None:
    one, other = save_directions(folder), tmp_path / "classes.safetensors"
    network = Directions.load(one).metadata["generator"]
    found = discover(network, method="random", space="class", directions=2, judge=False, quiet=True)
    found.save(other)
    served = Served(one, other)
    try:
        with served.page() as page:
            assert page.ask("open", file=1)["type"] == "opened"
            moved, still = (
                page.ask("draw", file=1, view={"edits": edits})["pixels"].astype(int) for edits in ([[0, 2, None]], [])
            )
            assert np.abs(moved - still).max() > 1
            assert np.abs(still - page.draw()).max() <= 1
    finally:
        served.stop()


CODE = """
import torch
from torch import nn
torch.manual_seed(3)
G = nn.Sequential(nn.Linear(4, 8 * 8), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
G.z_dim = 4
"""


def test_a_network_of_ones_own_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_gan.py").write_text(CODE)
    Directions(torch.eye(3, 4)).save("mine.safetensors")
    served = Served(Path("mine.safetensors"), generator="my_gan.py:G")
    try:
        with served.page() as page:
            about = page.ask("open")["generator"]
            assert (about["classes"], about["layer_words"], about["layers"]) == ([], [], 1)
            found = page.ask("draw", view={"edits": [[1, 1, None]], "pick": [0, 1]})
            space: dict[str, Any] = {}
            exec(CODE, space)
            z = sample_latents(served.sources[0].generator(), 2, 0) + torch.eye(3, 4)[1]
            with torch.no_grad():
                expected = to_uint8(space["G"](z))
            assert np.abs(found["pixels"].astype(int) - expected).max() <= 1
            assert found["names"] == ["", ""]
            page.send("strips", rows=[0])
            assert page.hear("strip", "error")["type"] == "strip"
            command = page.ask("export", form="png", view={"edits": [[1, 1, None]]})["command"]
            assert "--generator my_gan.py:G" in command
            cli.main([*shlex.split(command)[1:], "--quiet"], standalone_mode=False)
    finally:
        served.stop()
