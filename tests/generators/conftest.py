from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from biggan_discovery.generators import transfer
from biggan_discovery.generators.catalogue import CHECKPOINTS_VARIABLE
from biggan_discovery.generators.download import MIRROR_VARIABLE, OFFLINE_VARIABLE
from tests.brock_tiny import save_tiny_brock
from tests.hosting import CONFIG, WEIGHTS, Host, handler
from tests.tiny import save_tiny_biggan


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_biggan(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def brock_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_brock(tmp_path_factory.mktemp("brock"))


@pytest.fixture(scope="session")
def payload(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = save_tiny_biggan(tmp_path_factory.mktemp("payload"), num_classes=1000, channel_width=4)
    return {CONFIG: (folder / "config.json").read_bytes(), WEIGHTS: (folder / "pytorch_model.bin").read_bytes()}


@pytest.fixture
def host(payload: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    host = Host(files=dict(payload))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(host))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    host.address = f"http://127.0.0.1:{server.server_address[1]}/some/where"
    monkeypatch.setenv(MIRROR_VARIABLE, host.address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(transfer, "_WAITS", (0.0, 0.0, 0.0))
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
