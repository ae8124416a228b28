"""Who may use the server: pages with the token, from this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import stat
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)
_TOKEN = re.compile(r"[\w-]{22,64}")
_HERE = frozenset({"127.0.0.1", "localhost", "::1"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer. Nothing is loaded from elsewhere, and no other page shows this one."""


def user_token() -> str:
    """The token of this user, kept in a file that only they can read, so that open pages outlive the server.

    Without such a file, a new one each time.
    """
    try:
        folder = platformdirs.user_state_path("biggan-discovery")
        folder.mkdir(parents=True, exist_ok=True)
        return _kept_token(folder / "explore-token")
    except (OSError, RuntimeError) as error:
        _log.warning("links to the explorer are valid until it stops (%s)", getattr(error, "strerror", None) or error)
        return secrets.token_urlsafe(24)


def _kept_token(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
        status = path.stat()
        private = os.name != "posix" or (status.st_uid == os.getuid() and not status.st_mode & (stat.S_IRWXG | 0o007))
        token = path.read_text()
        if private and _TOKEN.fullmatch(token):
            return token
    token = secrets.token_urlsafe(24)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
    return token


class Guard:
    """Passes requests on whose address begins with the token; all others are refused.

    The host must be this machine's, so that no foreign name that points here (DNS rebinding) is served; and a page that
    says where it is from must be ours.

    Args:
        app: what is guarded.
        token: the secret.
    """

    def __init__(self, app: ASGIApp, token: str):
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; see ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
        else:
            await PlainTextResponse(refusal, 403)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> str | None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if _name(f"//{host}") not in _HERE:
            return "The explorer is served to this machine only; forward its port and open localhost."
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return "Requests of other pages are refused."
        given = scope["path"].split("/", 2)[1] if scope["path"].startswith("/") else ""
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return "Open the address that `biggan-discovery explore` printed; it ends with a token."
        return None


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {name.lower() for name, _ in message["headers"]}
            more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
            message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in known)]
        await send(message)

    return with_headers
