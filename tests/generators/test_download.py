from __future__ import annotations

import hashlib
import http.server
import io
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import types
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from biggan_discovery.cli import cli, run
from biggan_discovery.errors import UserError
from biggan_discovery.generators import download, load_generator
from biggan_discovery.generators.catalogue import CHECKPOINTS_VARIABLE, list_generators
from biggan_discovery.generators.classes import imagenet_names
from biggan_discovery.generators.download import MIRROR_VARIABLE, OFFLINE_VARIABLE
from biggan_discovery.generators.remote import REMOTE
from tests.tiny import TINY, save_tiny_biggan

NAME = "biggan-deep-128"  # Nobody published its checksum.
CONFIG, WEIGHTS = f"{NAME}-config.json", f"{NAME}-pytorch_model.bin"


@dataclass
class Host:
    """The server's files, its faults, and the requests it received."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    version: tuple[str, str] = ("ETag", '"one"')
    ranges: bool = True
    breaks: list[int] = field(default_factory=list)  # Bytes of the weights after which each answer breaks off.
    statuses: list[int] = field(default_factory=list)  # Errors to answer with, before anything else.
    length: int | None = None  # A wrong Content-Length of the weights.
    chunked: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def asked_for(self, name: str) -> list[str | None]:
        return [span for asked, span in self.asked if asked == name]


def _handler(host: Host) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            self.close_connection = True
            name, span = self.path.rsplit("/", 1)[-1], self.headers.get("Range")
            host.asked.append((name, span))
            if host.statuses:
                return self.send_error(host.statuses.pop(0))
            if name not in host.files:
                return self.send_error(404)
            content = host.files[name]
            start = int(span.removeprefix("bytes=").removesuffix("-")) if span and host.ranges else 0
            if start and start >= len(content):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header(*host.version)
            weights = name != CONFIG
            if host.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                length = host.length if host.length and weights else len(content) - start
                self.send_header("Content-Length", str(length))
            self.end_headers()
            body = content[start:]
            if weights and host.breaks:
                body = body[: host.breaks.pop(0)]
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if host.chunked else body)
            return None

    return Handler


@pytest.fixture(scope="session")
def payload(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = save_tiny_biggan(tmp_path_factory.mktemp("payload"), num_classes=1000, channel_width=4)
    return {CONFIG: (folder / "config.json").read_bytes(), WEIGHTS: (folder / "pytorch_model.bin").read_bytes()}


@pytest.fixture
def host(payload: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    host = Host(files=dict(payload))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(host))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    host.address = f"http://127.0.0.1:{server.server_address[1]}/some/where"
    monkeypatch.setenv(MIRROR_VARIABLE, host.address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "_WAITS", (0.0, 0.0, 0.0))
    yield host
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkpoints folder; the package's cache is empty too."""
    monkeypatch.setenv(CHECKPOINTS_VARIABLE, str(tmp_path / "checkpoints"))
    monkeypatch.setenv("PYTORCH_PRETRAINED_BIGGAN_CACHE", str(tmp_path / "package"))
    monkeypatch.delenv(OFFLINE_VARIABLE, raising=False)
    return tmp_path / "checkpoints"


def load(name: str = NAME, **keywords: Any) -> Any:
    return load_generator(name, device="cpu", **keywords)


def left(root: Path, name: str = NAME) -> set[str]:
    return {path.name for path in (root / name).glob("*") if path.name != ".download.lock"}


WHOLE = {"config.json", "pytorch_model.bin", "SHA256SUMS"}


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
@pytest.mark.parametrize("change", ["ETag", "Last-Modified", "larger", "smaller", "nothing"])
def test_part_of_another_file_is_not_continued(
    host: Host, root: Path, tmp_path: Path, ranges: bool, change: str
) -> None:
    if change == "Last-Modified":
        host.version = (change, "Sun, 01 Nov 2026 00:00:00 GMT")
    _break_for_good(host, root)
    host.ranges = ranges
    if change in ("ETag", "Last-Modified"):
        host.version = (change, "two")
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
    monkeypatch.setattr(download, "_TIMEOUT", 0.05)
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


def test_files_brought_by_hand_are_taken_as_they_are(root: Path) -> None:
    save_tiny_biggan(root / "biggan-deep-256")
    assert load("biggan-deep-256", offline=True).num_classes == 5


@pytest.mark.parametrize("how", ["argument", "variable", "option"])
def test_offline(
    host: Host, root: Path, monkeypatch: pytest.MonkeyPatch, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if how == "option":
        arguments = ["discover", "--generator", NAME, "--offline", "--out", str(root / "run")]
        monkeypatch.setattr(sys, "argv", ["biggan-discovery", *arguments])
        with pytest.raises(SystemExit) as exited:
            run(cli)
        assert exited.value.code == 2
        message = capsys.readouterr().err.removesuffix("\n")
        assert OFFLINE_VARIABLE not in os.environ
    else:
        if how == "variable":
            monkeypatch.setenv(OFFLINE_VARIABLE, "1")
        with pytest.raises(UserError) as caught:
            load(**({"offline": True} if how == "argument" else {}))
        message = str(caught.value)
    assert "\n" not in message
    assert f"save {host.address}/{CONFIG} as {root / NAME / 'config.json'} and " in message
    assert host.asked == []
    assert not root.exists()


@pytest.mark.parametrize("value", ["0", ""])
def test_offline_variable_that_is_off(host: Host, root: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(OFFLINE_VARIABLE, value)
    load()
    assert left(root) == WHOLE
    assert load(offline=True).name == NAME
    assert len(host.asked) == 2


def _fill_package_cache(payload: dict[str, bytes], folder: Path) -> list[Path]:
    """The two files as the package stores them."""
    from pytorch_pretrained_biggan.file_utils import url_to_filename

    folder.mkdir()
    paths = []
    for file, content in zip(REMOTE[NAME].files, (payload[CONFIG], payload[WEIGHTS]), strict=True):
        path = folder / url_to_filename(file.url, '"etag"')
        path.write_bytes(content)
        Path(f"{path}.json").write_text(json.dumps({"url": file.url, "etag": '"etag"'}))
        paths.append(path)
    return paths


def test_package_cache_is_used_without_a_copy(
    host: Host, root: Path, payload: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    paths = _fill_package_cache(payload, tmp_path / "package")
    assert next(entry for entry in list_generators() if entry.name == NAME).problem == "in the package's cache"
    assert load(offline=True).sha256 == hashlib.sha256(payload[WEIGHTS]).hexdigest()
    assert (root / NAME / "pytorch_model.bin").resolve() == paths[1].resolve()
    assert host.asked == []
    assert f"using {paths[1]}" in caplog.text
    for path in paths:
        path.unlink()
    load()  # The links point nowhere now.
    assert len(host.asked) == 2
    assert not (root / NAME / "pytorch_model.bin").is_symlink()


def test_broken_files_of_the_package_cache_are_left_alone(
    host: Host, root: Path, payload: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    # The package does not write its files atomically; the .json comes when one is whole.
    config, weights = _fill_package_cache(payload, tmp_path / "package")
    Path(f"{config}.json").unlink()
    weights.write_bytes(payload[WEIGHTS][:-1000])
    load()
    assert (root / NAME / "pytorch_model.bin").read_bytes() == payload[WEIGHTS]
    assert len(host.asked) == 2
    assert f"{weights} is not used" in caplog.text
    assert weights.read_bytes() == payload[WEIGHTS][:-1000]


def test_full_disk_is_told_before_it_is_full(host: Host, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"needs .* more, but only 1000 bytes are free"):
        load()
    assert host.asked_for(WEIGHTS) == [None]
    assert not (root / NAME / "pytorch_model.bin").exists()


@pytest.mark.usefixtures("host")
def test_folder_that_cannot_be_written(root: Path) -> None:
    root.write_text("a file")
    with pytest.raises(UserError, match=r"cannot write to .*BIGGAN_DISCOVERY_CHECKPOINTS"):
        load()


def test_two_at_once_download_once(host: Host, root: Path) -> None:
    code = f"from biggan_discovery.generators import download; from pathlib import Path; download.fetch({NAME!r}, Path("
    command = [sys.executable, "-c", f"{code}{str(root / NAME)!r}))"]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(host.asked) == 2
    assert left(root) == WHOLE


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.safetensors"])
def test_safetensors_instead(host: Host, root: Path, payload: dict[str, bytes], name: str) -> None:
    (root / NAME).mkdir(parents=True)
    state = torch.load(io.BytesIO(payload[WEIGHTS]), weights_only=True)
    save_file(state, root / NAME / name)
    generator = load()
    assert host.asked_for(WEIGHTS) == []
    assert generator.sha256 == hashlib.sha256((root / NAME / name).read_bytes()).hexdigest()
    z, y = torch.randn(2, TINY["z_dim"]), torch.tensor([3, 700])
    images = generator(z, y)
    (root / NAME / name).rename(root / "away")
    assert torch.equal(load()(z, y), images)
    (root / NAME / "pytorch_model.bin").unlink()
    (root / NAME / name).write_bytes(b"no safetensors")
    with pytest.raises(UserError, match=f"{name} is not a safetensors file, or is damaged"):
        load()


def _zip_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights/G_ema.pth", content)
    return buffer.getvalue()


def test_google_drive_needs_gdown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    with pytest.raises(UserError, match=r"pip install 'biggan-discovery\[download\]'; to download .*brock-128\.zip"):
        load("brock-128")
    assert left(root, "brock-128") == set()


@pytest.mark.parametrize("outcome", ["right", "page", "nothing", "error"])
def test_google_drive(root: Path, monkeypatch: pytest.MonkeyPatch, outcome: str) -> None:
    content = _zip_of(b"weights") if outcome == "right" else b"<html>quota exceeded</html>"

    def fake(*, id: str, output: str, resume: bool, quiet: bool) -> None:  # noqa: A002
        assert (id, resume, quiet) == ("1nAle7FCVFZdix2--ks0r5JBkFnKw8ctW", True, False)
        if outcome == "error":
            raise RuntimeError("too many\nusers")
        if outcome != "nothing":
            Path(output).write_bytes(content)

    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=fake))
    folder = root / "brock-128"
    if outcome == "right":
        download.fetch("brock-128", folder, mirror="")
        assert left(root, "brock-128") == {"brock-128.zip", "SHA256SUMS"}
    else:
        with pytest.raises(UserError, match=r"not a zip|could not fetch") as caught:
            download.fetch("brock-128", folder, mirror="")
        assert "\n" not in str(caught.value)
        assert left(root, "brock-128") == set()


def test_brock_from_a_mirror_is_loaded_from_its_zip(host: Host, root: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"x": torch.zeros(1)}, buffer)
    host.files["brock-128.zip"] = _zip_of(buffer.getvalue())
    # The archive is found and read; what it holds is no BigGAN.
    with pytest.raises(UserError, match=r"brock-128\.zip.*G_ema\.pth"):
        load("brock-128")
    assert left(root, "brock-128") == {"brock-128.zip", "SHA256SUMS"}
