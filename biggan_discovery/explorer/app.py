"""The web application: the static page, its socket, strips, latents and exported files."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import mimetypes
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from biggan_discovery.errors import UserError
from biggan_discovery.explorer.access import Guard
from biggan_discovery.explorer.compute import Compute, Level
from biggan_discovery.explorer.gallery import strips_folder
from biggan_discovery.explorer.sources import MOST_LATENTS, Source
from biggan_discovery.explorer.tab import Tab

STATIC = Path(__file__).with_name("static")
_SECONDS_BETWEEN_LOOKS = 1.0  # at files that others may change
_STRIP = re.compile(r"[0-9a-f]{24}\.webp")
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}


class Explorer:
    """Serves pages for some directions files.

    Args:
        sources: the files.
        compute: what draws.
        token: the secret that addresses begin with.
    """

    def __init__(self, sources: list[Source], compute: Compute, token: str):
        self._sources, self._compute, self._token = sources, compute, token
        self._tabs: set[Tab] = set()
        self._exported = Path()

    def app(self) -> ASGIApp:
        """The ASGI application."""
        root = f"/{self._token}"
        routes = [
            Route(f"{root}/", functools.partial(self._static, name="index.html")),
            Route(f"{root}/static/{{name}}", self._static),
            Route(f"{root}/strips/{{file:int}}/{{name}}", self._strip),
            Route(f"{root}/exports/{{folder}}/{{name}}", self._export),
            Route(f"{root}/latents/{{file:int}}", self._latents, methods=["POST"]),
            WebSocketRoute(f"{root}/socket", self._socket),
        ]
        return Guard(Starlette(routes=routes, lifespan=self._lifespan), self._token)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="biggan-discovery-", ignore_cleanup_errors=True) as folder:
            self._exported = Path(folder)
            watching = asyncio.create_task(self._watch())
            try:
                yield
            finally:
                watching.cancel()
                await asyncio.to_thread(self._compute.stop)

    async def _static(self, request: Request, name: str | None = None) -> Response:
        path = STATIC / (name or request.path_params["name"])
        if path.parent != STATIC or not path.is_file():
            raise HTTPException(404)
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
        return FileResponse(path, media_type=kind, headers={"Cache-Control": "no-cache"})

    async def _strip(self, request: Request) -> Response:
        name, index = request.path_params["name"], request.path_params["file"]
        if not _STRIP.fullmatch(name) or index >= len(self._sources):
            raise HTTPException(404)
        path = strips_folder(self._sources[index]) / name
        if not path.is_file():
            raise HTTPException(404)
        forever = {"Cache-Control": "private, max-age=31536000, immutable"}
        return FileResponse(path, media_type="image/webp", headers=forever)

    async def _export(self, request: Request) -> Response:
        path = self._exported / request.path_params["folder"] / request.path_params["name"]
        if path.parent.parent != self._exported or ".." in path.parts or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, filename=path.name, headers={"Cache-Control": "no-store"})

    async def _latents(self, request: Request) -> Response:
        index = request.path_params["file"]
        if index >= len(self._sources):
            raise HTTPException(404)
        content = bytearray()
        try:
            async for piece in request.stream():
                content += piece
                if len(content) > MOST_LATENTS:
                    return JSONResponse({"text": f"latents of more than {MOST_LATENTS >> 20} MiB are not taken"}, 413)
        except ClientDisconnect:
            return Response(status_code=400)
        name = request.query_params.get("name", "latents")
        keep = functools.partial(self._sources[index].keep_latents, bytes(content), name)
        try:
            key, count = await asyncio.wrap_future(self._compute.submit(Level.PICTURE, "latents", keep))
        except UserError as error:
            return JSONResponse({"text": str(error)}, 400)
        return JSONResponse({"latents": key, "count": count})

    async def _socket(self, socket: WebSocket) -> None:
        tab = Tab(socket, self._sources, self._compute, self._exported, self._tell)
        self._tabs.add(tab)
        try:
            await tab.run()
        finally:
            self._tabs.discard(tab)

    async def _tell(self, source: Source) -> None:
        await asyncio.gather(*(tab.tell_marks(source) for tab in list(self._tabs)))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            for source in self._sources if self._tabs else ():
                if await asyncio.to_thread(source.reread):
                    await self._tell(source)
