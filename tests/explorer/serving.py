"""A running explorer, and a page that is a plain socket."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from websockets.sync.client import ClientConnection, connect

from biggan_discovery import Directions
from biggan_discovery.explorer.app import Explorer
from biggan_discovery.explorer.compute import Compute
from biggan_discovery.explorer.sources import Generators, open_sources
from tests.processes import save_fast_biggan

TOKEN = "a-token-for-the-tests-only"
NDIRS = 6


def save_directions(folder: Path, **metadata: Any) -> Path:
    """Six directions of a tiny BigGAN, with strengths."""
    generator = folder / "tiny"
    if not generator.is_dir():
        save_fast_biggan(generator)
    A = torch.randn(NDIRS, 6, generator=torch.Generator().manual_seed(1))
    known = {"generator": str(generator), "strength": [3.0, 9.0, 5.0, 4.0, 1.0, 2.0], "settings": {"path_size": 2.0}}
    path = folder / "found.safetensors"
    Directions(A, metadata={**known, **metadata}).save(path)
    return path


class Served:
    """An explorer in a thread of this process.

    Attributes:
        sources: what it shows.
        port: where.
    """

    def __init__(self, *paths: Path, port: int = 0, generator: str | None = None):
        self.compute = Compute()
        generators = Generators(
            lambda network: network.register_forward_pre_hook(self.compute.give_way), generator, device="cpu"
        )
        self.sources = open_sources([str(path) for path in paths], generators)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            Explorer(self.sources, self.compute, TOKEN).app(),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            ws_per_message_deflate=False,
        )
        self._listener, self._server = listener, uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        until(lambda: self._server.started)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{TOKEN}/"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._listener.close()

    def page(self, **options: Any) -> contextlib.AbstractContextManager[Page]:
        return _page(self, **options)

    def get(self, path: str = "", headers: dict[str, str] | None = None, body: bytes | None = None) -> Answer:
        """Of an address below the token, or of the server if it begins with a slash."""
        address = f"http://127.0.0.1:{self.port}{path}" if path.startswith("/") else self.address + path
        request = urllib.request.Request(address, headers=headers or {}, data=body)
        try:
            with urllib.request.urlopen(request) as response:
                return Answer(response.status, response.read(), dict(response.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), dict(error.headers))


class Answer:
    def __init__(self, status: int, content: bytes, headers: dict[str, str]):
        self.status, self.content = status, content
        self.headers = {name.lower(): value for name, value in headers.items()}


class Page:
    """What a page is to the server."""

    def __init__(self, connection: ClientConnection):
        self.connection = connection

    def send(self, kind: str, **fields: Any) -> None:
        self.connection.send(json.dumps({"type": kind, **fields}))

    def hear(self, *kinds: str, true: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The next message of some kinds for which something is true; pictures have "pixels" (N, H, W, 3)."""
        while True:
            content = self.connection.recv(timeout=60)
            if isinstance(content, bytes):
                [length] = struct.unpack("<I", content[:4])
                found = json.loads(content[4 : 4 + length])
                shape = (found["count"], found["height"], found["width"], 3)
                found["pixels"] = np.frombuffer(content[4 + length :], np.uint8).reshape(shape)
            else:
                found = json.loads(content)
            if (not kinds or found["type"] in kinds) and true(found):
                return found

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        self.send(kind, id=7, **fields)
        while True:
            found = self.hear()
            if found.get("id") == 7 and found["type"] != "exporting":
                return found

    def draw(self, **view: Any) -> np.ndarray:
        return self.ask("draw", view=view)["pixels"]


@contextlib.contextmanager
def _page(served: Served, token: str = TOKEN, origin: str | None = None, host: str | None = None) -> Iterator[Page]:
    headers = {"Host": host} if host else {}
    address = f"ws://127.0.0.1:{served.port}/{token}/socket"
    with connect(address, additional_headers=headers, origin=origin, max_size=None) as connection:  # pyright: ignore
        yield Page(connection)


def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)
