"""Putting directions on the Hub, against a stand-in of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from biggan_discovery import Directions
from tests.explorer.serving import save_directions
from tests.hub import TOKEN, Hub, serving
from tests.processes import Command, Ended

pytest.importorskip("huggingface_hub")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    save_directions(tmp_path)
    with serving() as hub:
        yield hub


def command(hub: Hub, folder: Path, *words: str, token: str = TOKEN) -> Ended:
    """A command in another process, which takes the stand-in for the Hub by its environment, as a user's does."""
    environment = {name: "" for name in os.environ if name.startswith(("HF_", "HUGGING"))}
    environment |= {"HF_ENDPOINT": hub.address, "HF_HOME": str(folder / "home"), "HF_TOKEN": token, "COLUMNS": "60"}
    return Command(folder, *words, inside=True, environment=environment).wait()


def test_what_is_pushed_is_used_by_its_address(hub: Hub, tmp_path: Path) -> None:
    done = command(hub, tmp_path, "push", "found.safetensors", "hf://someone/cones", "--quiet")
    assert done.code == 0, done.err
    assert "for everybody to see" in done.err
    assert "no author and no licence is stated" in done.err
    assert "others need their own copy of the generator" in done.err
    assert "explore hf://someone/cones" in done.out
    files = hub.repos["someone/cones"]
    assert set(files) == {"directions.safetensors", "README.md", "found-card.png"}
    assert b"explore hf://someone/cones" in files["README.md"]
    assert hub.private == set()
    (tmp_path / "pulled.safetensors").write_bytes(files["directions.safetensors"])
    pulled, here = Directions.load(tmp_path / "pulled.safetensors"), Directions.load(tmp_path / "found.safetensors")
    assert pulled.sha256 == here.sha256
    assert pulled.thumbnail is not None
    other = tmp_path / "other"
    other.mkdir()
    done = command(hub, other, "edit", "hf://someone/cones", "--set", "0=1", "--out", "edit.png", "--quiet")
    assert done.code == 0, done.err
    assert (other / "edit.png").is_file()


def test_a_card_that_was_edited_is_taken_as_it_is(hub: Hub, tmp_path: Path) -> None:
    assert command(hub, tmp_path, "card", "found.safetensors", "--quiet").code == 0
    with (tmp_path / "README.md").open("a") as file:
        file.write("By hand.\n")
    done = command(
        hub, tmp_path, "push", "found.safetensors", "hf://someone/cones/my.safetensors", "--private", "--quiet"
    )
    assert done.code == 0, done.err
    assert set(hub.repos["someone/cones"]) == {"my.safetensors", "README.md", "found-card.png"}
    assert hub.repos["someone/cones"]["README.md"].endswith(b"By hand.\n")
    assert hub.private == {"someone/cones"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("found.safetensors", "someone/cones"), "not an address on the Hub"),
        (("found.safetensors", "hf://someone"), "not an address on the Hub"),
        (("found.safetensors", "hf://someone/cones/readme.txt"), "must end in .safetensors"),
        (("missing.safetensors", "hf://someone/cones"), "no file missing.safetensors"),
    ],
)
def test_bad_input_puts_nothing_there(hub: Hub, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = command(hub, tmp_path, "push", *words)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert hub.asked == []


def test_without_the_right_to_write_one_line_says_how_to_get_it(hub: Hub, tmp_path: Path) -> None:
    done = command(hub, tmp_path, "push", "found.safetensors", "hf://someone/cones", "--quiet", token="hf_wrong")
    assert done.code == 2
    assert "log in with `hf auth login`" in done.err.splitlines()[-1]
    assert hub.repos == {}


def test_without_a_network_one_line_says_so(tmp_path: Path) -> None:
    save_directions(tmp_path)
    with serving() as gone:
        pass
    done = command(gone, tmp_path, "push", "found.safetensors", "hf://someone/cones", "--quiet")
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("error: hf://someone/cones: ")
    assert "Traceback" not in done.err
    done = command(gone, tmp_path, "name", "hf://someone/cones")
    assert done.code == 2
    [error] = done.err.splitlines()  # Attempts are not told one by one.
    assert "cannot be reached" in error
