from __future__ import annotations

import hashlib
import json
import logging
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from biggan_discovery.errors import UserError
from biggan_discovery.generators import download, transfer
from biggan_discovery.generators.catalogue import list_generators
from biggan_discovery.generators.classes import imagenet_names
from biggan_discovery.generators.remote import REMOTE
from tests.hosting import CONFIG, NAME, WEIGHTS, WHOLE, Host, left, load
from tests.tiny import save_tiny_biggan


def test_whole(
    host: Host,
    root: Path,
    payload: dict[str, bytes],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("biggan_discovery"), "handlers", [])  # Commands install one that prints.
    caplog.set_level("INFO")
    generator = load()
    assert (generator.name, generator.resolution, generator.class_names) == (NAME, 32, imagenet_names())
    assert generator.sha256 == hashlib.sha256(payload[WEIGHTS]).hexdigest()
    assert (root / NAME / "pytorch_model.bin").read_bytes() == payload[WEIGHTS]
    assert left(root) == WHOLE
    out, err = capsys.readouterr()
    assert out == ""
    assert "downloading" not in err
    size = f"{len(payload[WEIGHTS]) / 1e6:.1f} MB"
    assert f"downloading {host.address}/{WEIGHTS} ({size}) to {root / NAME / 'pytorch_model.bin'}" in caplog.text
    assert load().sha256 == generator.sha256
    assert len(host.asked) == 2
    sums = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=root / NAME, capture_output=True, check=False)
    assert sums.returncode == 0
    assert next(entry for entry in list_generators() if entry.name == NAME).problem == ""


def test_addresses_of_the_hosts() -> None:
    base = "https://s3.amazonaws.com/models.huggingface.co/biggan/biggan-deep-"
    for size in (128, 256, 512):
        config, weights = REMOTE[f"biggan-deep-{size}"].files
        assert (config.url, weights.url) == (f"{base}{size}-config.json", f"{base}{size}-pytorch_model.bin")


@pytest.mark.parametrize("breaks", [[100_000], [1, 50_000, 70_000], [0, 0, 0]])
def test_dropped_connection_resumes_in_the_same_command(
    host: Host, root: Path, payload: dict[str, bytes], breaks: list[int]
) -> None:
    host.breaks = list(breaks)
    load()
    assert (root / NAME / "pytorch_model.bin").read_bytes() == payload[WEIGHTS]
    starts = [sum(breaks[:index]) for index in range(len(breaks) + 1)]
    assert host.asked_for(WEIGHTS) == [f"bytes={start}-" if start else None for start in starts]
    assert left(root) == WHOLE


def _break_for_good(host: Host, root: Path, kept: int = 100_000) -> None:
    host.breaks = [kept, 0, 0, 0]
    with pytest.raises(UserError, match=r"was interrupted.*again to resume.*manually, save http") as caught:
        load()
    assert "\n" not in str(caught.value)
    assert (root / NAME / "pytorch_model.bin.part").stat().st_size == kept
    assert not (root / NAME / "pytorch_model.bin").exists()
    host.asked.clear()


def test_lost_connection_is_resumed_by_the_next_command(
    host: Host, root: Path, payload: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    _break_for_good(host, root)
    load()
    assert host.asked == [(WEIGHTS, "bytes=100000-")]
    assert (root / NAME / "pytorch_model.bin").read_bytes() == payload[WEIGHTS]
    assert left(root) == WHOLE
    assert "the last" in caplog.text


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("change", ["ETag", "larger", "smaller", "nothing"])
def test_part_of_another_file_is_not_continued(
    host: Host, root: Path, tmp_path: Path, ranges: bool, change: str
) -> None:
    _break_for_good(host, root)
    host.ranges = ranges
    if change == "ETag":
        host.version = (change, '"two"')
        other = save_tiny_biggan(tmp_path / "other", seed=1, num_classes=1000, channel_width=4)
        host.files[WEIGHTS] = (other / "pytorch_model.bin").read_bytes()
    elif change != "nothing":
        other = save_tiny_biggan(tmp_path / "other", num_classes=1000 if change == "larger" else 5)
        host.files[WEIGHTS] = (other / "pytorch_model.bin").read_bytes()
        if change == "smaller":
            host.files[WEIGHTS] = host.files[WEIGHTS][:90_000]
    if change == "smaller":  # Shorter than what is here, and broken, as any weights of that size would be.
        with pytest.raises(UserError, match="damaged"):
            load()
        assert left(root) == {"config.json", "SHA256SUMS"}
        return
    download.fetch(NAME, root / NAME)
    assert (root / NAME / "pytorch_model.bin").read_bytes() == host.files[WEIGHTS]
    assert left(root) == WHOLE


def test_damaged_part_is_found_out_and_fetched_anew(host: Host, root: Path, payload: dict[str, bytes]) -> None:
    _break_for_good(host, root)
    (root / NAME / "pytorch_model.bin.part").write_bytes(bytes(100_000))
    load()
    assert (root / NAME / "pytorch_model.bin").read_bytes() == payload[WEIGHTS]


def test_part_that_is_whole_is_only_checked(host: Host, root: Path, payload: dict[str, bytes]) -> None:
    _break_for_good(host, root)
    (root / NAME / "pytorch_model.bin.part").write_bytes(payload[WEIGHTS])
    load()
    assert host.asked == []
    assert left(root) == WHOLE


def test_chunked_answer(host: Host, root: Path, payload: dict[str, bytes]) -> None:
    host.chunked = True
    load()
    assert (root / NAME / "pytorch_model.bin").read_bytes() == payload[WEIGHTS]


def test_busy_host_is_asked_again(host: Host, root: Path) -> None:
    host.statuses = [503, 429]
    load()
    assert left(root) == WHOLE


@pytest.mark.parametrize("status", [403, 404])
def test_refusal_is_one_line_at_once(host: Host, root: Path, status: int) -> None:
    host.statuses = [status]
    with pytest.raises(UserError, match=f"{CONFIG}: the host answered {status} .*download it manually, save") as caught:
        load()
    assert "\n" not in str(caught.value)
    assert len(host.asked) == 1
    assert left(root) == set()


def test_missing_weights_leave_the_config_and_nothing_else(host: Host, root: Path) -> None:
    weights = host.files.pop(WEIGHTS)
    with pytest.raises(UserError, match="404"):
        load()
    assert left(root) == {"config.json", "SHA256SUMS"}
    host.files[WEIGHTS] = weights
    load()
    assert host.asked_for(CONFIG) == [None]


@pytest.mark.usefixtures("host")
def test_no_network(root: Path) -> None:
    for mirror in ("http://127.0.0.1:9", "http://no-such-host.invalid/x"):
        with pytest.raises(UserError, match=r"cannot reach .*download it manually, save") as caught:
            load(mirror=mirror)
        assert "\n" not in str(caught.value)
        assert left(root) == set()


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("mirror", ["nowhere", "file:///etc", "ftp://host/x", "http://"])
def test_bad_mirror(mirror: str) -> None:
    with pytest.raises(UserError, match=r"the mirror .*should be an address"):
        load(mirror=mirror)


def test_host_that_says_nothing_more(host: Host, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_TIMEOUT", 0.05)
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(UserError, match=r"was interrupted: no data for"):
        load(mirror=f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert left(root) == set()
    load(mirror=host.address)


def _know(monkeypatch: pytest.MonkeyPatch, **known: Any) -> None:
    """Register a published size or checksum of the weights."""
    config, weights = REMOTE[NAME].files
    monkeypatch.setitem(REMOTE, NAME, replace(REMOTE[NAME], files=(config, replace(weights, **known))))


def test_wrong_checksum(host: Host, root: Path, payload: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    _know(monkeypatch, sha256=hashlib.sha256(payload[WEIGHTS]).hexdigest())
    host.files[WEIGHTS] = payload[WEIGHTS][:-1] + b"!"
    with pytest.raises(UserError, match=r"its sha256 is [0-9a-f]{64} instead of [0-9a-f]{64}; it was deleted"):
        load()
    assert left(root) == {"config.json", "SHA256SUMS"}
    host.files = payload
    load()
    assert left(root) == WHOLE


def test_wrong_size_is_told_before_it_is_fetched(host: Host, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _know(monkeypatch, size=12)
    with pytest.raises(UserError, match="bytes instead of 12, so it is another file"):
        load()
    assert host.asked_for(WEIGHTS) == [None]
    assert left(root) == {"config.json", "SHA256SUMS"}


def test_published_checksum_of_256(host: Host, root: Path) -> None:
    host.files = {name.replace("128", "256"): content for name, content in host.files.items()}
    with pytest.raises(UserError, match="instead of 715"):
        load("biggan-deep-256")
    host.files["biggan-deep-256-config.json"] = b"{" + b" " * 713 + b"}"
    with pytest.raises(UserError, match="instead of edd106f65ff28ee1638491a978cfa6bc50dfa0344aab70749a7b8eb08bbec677"):
        load("biggan-deep-256")
    assert left(root, "biggan-deep-256") == set()


@pytest.mark.parametrize("content", [b"", b"<html>log in first</html>", b"PK\x03\x04 and so on", b"[]"])
@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_content_of_unknown_checksum_has_to_be_a_generators(host: Host, root: Path, content: bytes, name: str) -> None:
    right, host.files[name] = host.files[name], content
    with pytest.raises(UserError, match="it was deleted") as caught:
        load()
    assert "\n" not in str(caught.value)
    assert left(root) <= {"config.json", "SHA256SUMS"}
    host.files[name] = right
    load()


def test_content_length_that_is_too_short(host: Host, root: Path) -> None:
    host.length = 100_000
    with pytest.raises(UserError, match="damaged"):
        load()
    assert left(root) == {"config.json", "SHA256SUMS"}


def test_content_length_that_is_too_long(host: Host, root: Path, payload: dict[str, bytes]) -> None:
    host.length = len(payload[WEIGHTS]) + 1
    host.ranges = False
    with pytest.raises(UserError, match="was interrupted"):
        load()
    assert not (root / NAME / "pytorch_model.bin").exists()


def test_recorded_checksum_holds_ever_after(host: Host, root: Path, payload: dict[str, bytes], tmp_path: Path) -> None:
    load()
    weights = root / NAME / "pytorch_model.bin"
    other = save_tiny_biggan(tmp_path / "other", seed=1, num_classes=1000, channel_width=4)
    shutil.copy(other / "pytorch_model.bin", weights)
    with pytest.raises(UserError, match=r"is not the file that was downloaded.*SHA256SUMS"):
        load()
    weights.unlink()
    host.files[WEIGHTS] = (other / "pytorch_model.bin").read_bytes()
    with pytest.raises(UserError, match=f"instead of {hashlib.sha256(payload[WEIGHTS]).hexdigest()}"):
        load()
    host.files[WEIGHTS] = payload[WEIGHTS]
    load()
    config = root / NAME / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "eps": 0.5}))
    with pytest.raises(UserError, match=r"config.json is not the file that was downloaded"):
        load()
