"""A stand-in of the Hugging Face Hub on this machine: model repositories in memory, and what is asked of it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_of_the_test"


class Hub(http.server.ThreadingHTTPServer):
    """Files by repository and path.

    Attributes:
        repos: the files.
        asked: methods and paths of all requests.
        claimed: bytes that a file pretends to have.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.asked: list[str] = []
        self.claimed: dict[str, int] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, repo: str, *paths: Path, folder: str = "") -> None:
        files = self.repos.setdefault(repo, {})
        files |= {f"{folder}{path.name}": path.read_bytes() for path in paths}

    def commit(self, repo: str) -> str:
        return hashlib.sha1(
            json.dumps(sorted((name, _etag(file)) for name, file in self.repos[repo].items())).encode()
        ).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if parts[:1] == ["api"]:
            self._api(parts[1:], body)
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._send(404)

    @property
    def _trusted(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _known(self, repo: str, revision: str = "main") -> bool:
        """Whether there is a repository and revision; says so where there is none."""
        if repo not in self.server.repos or (repo in self.server.private and not self._trusted):
            self._send(401, headers={"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", self.server.commit(repo)):
            self._send(404, headers={"X-Error-Code": "RevisionNotFound"})
        else:
            return True
        return False

    def _file(self, repo: str, revision: str, path: str) -> None:
        if not self._known(repo, revision):
            return
        content = self.server.repos[repo].get(path)
        commit = {"X-Repo-Commit": self.server.commit(repo)}
        if content is None:
            self._send(404, headers={"X-Error-Code": "EntryNotFound", **commit})
        else:
            size = self.server.claimed.get(path, len(content))
            self._send(200, content, {"ETag": f'"{_etag(content)}"', **commit}, size=size)

    def _api(self, parts: list[str], body: bytes) -> None:
        server = self.server
        if parts == ["validate-yaml"]:
            assert json.loads(body)["content"].startswith("---\n")
            self._send(200, {"errors": [], "warnings": []})
        elif not self._trusted and self.command == "POST":
            self._send(401, {"error": "Invalid username or password."})
        elif parts == ["repos", "create"]:
            asked = json.loads(body)
            repo = "/".join(filter(None, (asked.get("organization") or "someone", asked["name"])))
            known = repo in server.repos
            server.repos.setdefault(repo, {})
            if asked.get("private") or asked.get("visibility") == "private":
                server.private.add(repo)
            self._send(409 if known else 200, {"url": f"{server.address}/{repo}", "name": repo})
        elif parts[0] == "models" and self._known("/".join(parts[1:3])):
            repo = "/".join(parts[1:3])
            files = server.repos[repo]
            match parts[3:4]:
                case ["preupload"]:
                    names = [each["path"] for each in json.loads(body)["files"]]
                    self._send(
                        200,
                        {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]},
                    )
                case ["commit"]:
                    for line in filter(None, body.splitlines()):
                        each = json.loads(line)
                        if each["key"] == "file":
                            files[each["value"]["path"]] = base64.b64decode(each["value"]["content"])
                    commit = server.commit(repo)
                    self._send(
                        200,
                        {"success": True, "commitOid": commit, "commitUrl": f"{server.address}/{repo}/commit/{commit}"},
                    )
                case ["tree"]:
                    tree = [
                        {"type": "file", "path": name, "size": len(file), "oid": _etag(file)}
                        for name, file in files.items()
                    ]
                    self._send(200, tree)
                case _:
                    siblings = [{"rfilename": name} for name in files]
                    self._send(200, {"id": repo, "modelId": repo, "sha": server.commit(repo), "siblings": siblings})
        elif parts[0] != "models":
            self._send(404, {"error": "Not Found"})

    def _send(
        self,
        code: int,
        content: bytes | dict[str, Any] | list[Any] = b"",
        headers: dict[str, str] | None = None,
        size: int | None = None,
    ) -> None:
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if size is None else size))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


def use(hub: Hub, cache: Path, patch: pytest.MonkeyPatch) -> None:
    """Have this process take the stand-in for the Hub; others do by HF_ENDPOINT and HF_HOME."""
    from huggingface_hub import constants

    patch.setenv("HF_ENDPOINT", hub.address)
    patch.setenv("HF_HOME", str(cache))
    patch.setenv("HF_TOKEN", TOKEN)
    patch.setattr(constants, "ENDPOINT", hub.address)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
