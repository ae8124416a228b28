"""`biggan-discovery explore` as a process."""

from __future__ import annotations

import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from biggan_discovery.cli import cli
from biggan_discovery.errors import UserError
from tests.explorer.serving import save_directions, until
from tests.processes import Command


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_directions(tmp_path_factory.mktemp("command"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_its_address_first_and_ends_cleanly(found: Path, tmp_path: Path, number: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    running = Command(tmp_path, "explore", found, "--no-open", "--port", str(port), environment=state)
    out = tmp_path / "out.txt"
    until(lambda: out.is_file() and out.read_text().endswith("\n"), 120)
    [address] = out.read_text().splitlines()
    assert address.startswith(f"http://127.0.0.1:{port}/")
    with urllib.request.urlopen(address) as page:
        assert b"Explorer" in page.read()
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/")
    running.send(number)
    ended = running.wait(60)
    assert ended.code == 128 + number
    assert ended.err.strip() == "stopped; the same command opens the pages again"
    assert list(found.parent.glob(".*.part*")) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.safetensors"], "there is no file nothing.safetensors"),
        (["FOUND", "FOUND"], "given twice"),
        (["FOUND", "--generator", "scenes-64"], "z_dim"),
        (["--generator", "my_gan.py:G"], "give DIRECTIONS of my_gan.py:G"),
        (["FOUND", "--port", "TAKEN"], "is taken"),
    ],
)
def test_what_is_wrong_is_said_before_a_page_is_opened(found: Path, arguments: list[str], said: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words: dict[str, Any] = {"FOUND": str(found), "TAKEN": str(taken.getsockname()[1])}
        with pytest.raises(UserError, match=said):
            cli.main(["explore", *(words.get(each, each) for each in arguments), "--no-open"], standalone_mode=False)
