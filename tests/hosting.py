"""A host of weights on this machine, with faults to choose."""

from __future__ import annotations

import contextlib
import http.server
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biggan_discovery.generators import load_generator

NAME = "biggan-deep-128"  # Nobody published its checksum.
CONFIG, WEIGHTS = f"{NAME}-config.json", f"{NAME}-pytorch_model.bin"


@dataclass
class Host:
    """The server's files, its faults, and the requests it received."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    version: tuple[str, str] = ("ETag", '"one"')
    ranges: bool = True
    conditional: bool = True  # Whether If-Range is understood, as by all hosts but simple ones.
    headers: dict[str, str] = field(default_factory=dict)  # Instead of the right ones of the weights.
    location: str = ""  # Where the weights are said to be.
    endless: bool = False  # Whether the chunks of the weights never end.
    breaks: list[int] = field(default_factory=list)  # Bytes of the weights after which each answer breaks off.
    statuses: list[int] = field(default_factory=list)  # Errors to answer with, before anything else.
    length: int | None = None  # A wrong Content-Length of the weights.
    chunked: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    conditions: list[str | None] = field(default_factory=list)  # The If-Range of each answered request.

    def asked_for(self, name: str) -> list[str | None]:
        return [span for asked, span in self.asked if asked == name]


def handler(host: Host) -> type[http.server.BaseHTTPRequestHandler]:
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
            content, weights = host.files[name], name != CONFIG
            host.authorizations.append(self.headers.get("Authorization"))
            if name == WEIGHTS and host.location:
                self.send_response(302)
                self.send_header("Location", host.location)
                self.send_header("Connection", "close")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            condition = self.headers.get("If-Range")
            host.conditions.append(condition)
            same = not host.conditional or condition in (None, host.version[1])
            start = int(span.removeprefix("bytes=").removesuffix("-")) if span and host.ranges and same else 0
            if start and start >= len(content):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            changed = host.headers if weights else {}
            for header, value in changed.items():
                self.send_header(header, value)
            if start and "Content-Range" not in changed:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if host.version[1]:
                self.send_header(*host.version)
            if host.endless and weights:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                with contextlib.suppress(OSError):
                    while True:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
                return None
            if "Content-Length" in changed:
                pass
            elif host.chunked:
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


def load(name: str = NAME, **keywords: Any) -> Any:
    return load_generator(name, device="cpu", **keywords)


def left(root: Path, name: str = NAME) -> set[str]:
    return {path.name for path in (root / name).glob("*") if path.name != ".download.lock"}


WHOLE = {"config.json", "pytorch_model.bin", "SHA256SUMS"}
