"""One open page: its messages, and the answers to them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import struct
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from biggan_discovery.errors import UserError
from biggan_discovery.explorer import exports, gallery
from biggan_discovery.explorer.about import about, marks
from biggan_discovery.explorer.compute import Compute, Level, Stopping
from biggan_discovery.explorer.pictures import draw
from biggan_discovery.explorer.sources import Source, mark_of
from biggan_discovery.explorer.suggesting import suggestion_of
from biggan_discovery.explorer.view import View
from biggan_discovery.memory import OutOfMemoryError

T = TypeVar("T")
_MOST_CHANNELS, _MOST_STRIPS, _SMALLEST, _LARGEST = 32, 10_000, 16, 4096
_log = logging.getLogger(__name__)
_numbers = itertools.count(1)


class Tab:
    """Answers one page. A message is an object with a type and an id, which the answer repeats.

    Pictures are asked for in channels, of which each has one picture in work at most: the newest request is always
    drawn, and those that it overtakes are told so.

    Args:
        socket: the page.
        sources: the files on show.
        compute: what draws.
        exported: folder for files that are exported.
        changed: called with a source whose file was changed, to tell all pages.
    """

    def __init__(
        self,
        socket: WebSocket,
        sources: list[Source],
        compute: Compute,
        exported: Path,
        changed: Callable[[Source], Coroutine[Any, Any, None]],
    ):
        self._socket, self._sources, self._compute, self._exported = socket, sources, compute, exported
        self._changed = changed
        self._number = next(_numbers)
        self._wanted: dict[str, dict[str, Any]] = {}
        self._channels: set[str] = set()
        self._strips: list[int] = []
        self._unnamed: dict[tuple[Source, int], None] = {}
        self._strips_task: asyncio.Task[None] | None = None
        self._exports: dict[Any, threading.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Answer messages until the page is closed."""
        await self._socket.accept()
        try:
            while True:
                self._take(await self._socket.receive_text())
        except (WebSocketDisconnect, KeyError):  # A message that is not text is no message of ours.
            pass
        finally:
            for stop in self._exports.values():
                stop.set()
            for task in self._tasks:
                task.cancel()
            with contextlib.suppress(RuntimeError):
                await self._socket.close(1003)

    async def send(self, message: dict[str, Any]) -> None:
        """Send an object; dropped if the page is gone."""
        await self._deliver(self._socket.send_text, json.dumps(message))

    async def tell_marks(self, source: Source) -> None:
        """Tell the page what a file says now."""
        await self.send({"type": "marks", "file": self._sources.index(source), **marks(source)})

    async def _deliver(self, send: Callable[[T], Coroutine[Any, Any, None]], content: T) -> None:
        async with self._sending:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await send(content)

    def _take(self, text: str) -> None:
        message: Any = {}
        try:
            message = json.loads(text)
            if not isinstance(message, dict):
                raise UserError("a message should be an object")
            work = _HANDLERS.get(str(message.get("type")))
            if work is None:
                raise UserError(f"no message {ascii(message.get('type'))[:40]}; there are {', '.join(_HANDLERS)}")
            work(self, message)
        except (ValueError, RecursionError) as error:  # `UserError` is a ValueError.
            said = str(error) if isinstance(error, UserError) else "a message should be JSON"
            self._begin(self._error(message if isinstance(message, dict) else {}, said))

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _answer(self, message: dict[str, Any], work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin work on an answer; what goes wrong becomes the answer."""
        self._begin(self._guarded(message, work))

    async def _guarded(self, message: dict[str, Any], work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except (UserError, OutOfMemoryError) as error:
            await self._error(message, str(error))
        except OSError as error:
            await self._error(message, f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}")
        except Stopping:
            pass
        except Exception as error:
            _log.warning("%s: %s", type(error).__name__, " ".join(str(error).split())[:500])
            await self._error(message, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")

    async def _error(self, message: dict[str, Any], text: str) -> None:
        known = {key: message[key] for key in ("id", "channel") if isinstance(message.get(key), int | str)}
        await self.send({"type": "error", **known, "text": text})

    async def _computed(self, level: Level, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._compute.submit(level, self._number, work))

    def _source(self, message: dict[str, Any]) -> Source:
        index = message.get("file", 0)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(self._sources):
            raise UserError(f"no file {ascii(index)[:40]}; there are {len(self._sources)}")
        return self._sources[index]

    def _tell_files(self, message: dict[str, Any]) -> None:
        files = [{"label": each.label, "path": each.path} for each in self._sources]
        self._begin(self.send({"type": "files", "id": message.get("id"), "files": files}))

    def _open(self, message: dict[str, Any]) -> None:
        source = self._source(message)

        async def work() -> None:
            content = await self._computed(Level.PICTURE, lambda: about(source))
            index = self._sources.index(source)
            await self.send({"type": "opened", "id": message.get("id"), "file": index} | content)

        self._answer(message, work)

    def _draw(self, message: dict[str, Any]) -> None:
        channel = message.get("channel", "main")
        if not isinstance(channel, str) or (channel not in self._channels and len(self._channels) >= _MOST_CHANNELS):
            raise UserError(f"a channel is one of at most {_MOST_CHANNELS} strings")
        self._source(message)
        View.read(message.get("view"))
        side = message.get("side")
        if side is not None and (not isinstance(side, int) or not _SMALLEST <= side <= _LARGEST):
            raise UserError(f"side is {ascii(side)[:40]}; it should be {_SMALLEST} to {_LARGEST} pixels")
        overtaken = self._wanted.get(channel)
        self._wanted[channel] = message
        if overtaken is not None:
            self._begin(self.send({"type": "overtaken", "id": overtaken.get("id"), "channel": channel}))
        if channel not in self._channels:
            self._channels.add(channel)
            self._begin(self._draw_newest(channel))

    async def _draw_newest(self, channel: str) -> None:
        try:
            while message := self._wanted.pop(channel, None):
                await self._guarded(message, lambda message=message: self._picture(message))
        finally:
            self._channels.discard(channel)

    async def _picture(self, message: dict[str, Any]) -> None:
        source, view, draft = self._source(message), View.read(message.get("view")), bool(message.get("draft"))
        drawn = await self._computed(Level.PICTURE, lambda: draw(source, view, draft=draft, side=message.get("side")))
        count, height, width = drawn.pixels.shape[:3]
        head = {
            "type": "picture",
            "id": message.get("id"),
            "count": count,
            "height": height,
            "width": width,
            "numbers": drawn.numbers,
            "names": drawn.names,
        }
        text = json.dumps(head).encode()
        await self._deliver(self._socket.send_bytes, struct.pack("<I", len(text)) + text + drawn.pixels.tobytes())

    def _mark(self, message: dict[str, Any]) -> None:
        source, row, key = self._source(message), message.get("direction"), str(message.get("key"))
        if not isinstance(row, int) or isinstance(row, bool):
            raise UserError("a direction is a number")

        async def work() -> None:
            done = await asyncio.to_thread(source.change, row, key, message.get("value"), message.get("was"))
            now = mark_of(source.directions, row)[key]
            await self.send({"type": "marked", "id": message.get("id"), "done": done, "now": now})
            await self._changed(source)

        self._answer(message, work)

    def _copy(self, message: dict[str, Any]) -> None:
        source = self._source(message)

        async def work() -> None:
            await asyncio.to_thread(source.copy)
            await self.send({"type": "copied", "id": message.get("id"), "path": source.path})
            await self._changed(source)

        self._answer(message, work)

    def _want_strips(self, message: dict[str, Any]) -> None:
        source, rows = self._source(message), message.get("rows")
        if not isinstance(rows, list) or len(rows) > _MOST_STRIPS or not all(type(row) is int for row in rows):
            raise UserError("rows are a list of directions")
        self._strips = list(rows)
        self._unnamed |= dict.fromkeys(  # Those of earlier requests still count.
            (source, row) for row in rows if 0 <= row < len(source.directions)
        )
        if self._strips_task is not None:
            self._strips_task.cancel()
        self._strips_task = self._begin(self._guarded(message, lambda: self._tell_strips(source)))

    async def _tell_strips(self, source: Source) -> None:
        for row in self._strips:
            for make in (False, True):
                level = Level.GALLERY if make else Level.PICTURE
                strip = await self._computed(level, lambda row=row, make=make: gallery.strip_of(source, row, make=make))
                if strip is not None:
                    index = self._sources.index(source)
                    fields = {**strip._asdict(), "name": f"strips/{index}/{strip.name}"}
                    await self.send({"type": "strip", "file": index, "direction": row, **fields})
                    break
        while self._unnamed:
            of, row = next(iter(self._unnamed))
            name = await self._computed(Level.GALLERY, lambda of=of, row=row: suggestion_of(of, row))
            self._unnamed.pop((of, row), None)
            if name:
                index = self._sources.index(of)
                await self.send({"type": "suggested", "file": index, "direction": row, "name": name})

    def _export(self, message: dict[str, Any]) -> None:
        source, view = self._source(message), View.read(message.get("view"))
        request, key = exports.Request.read(message), message.get("id")
        if not isinstance(key, int | str) or key in self._exports:
            raise UserError("an export needs an id of its own")
        stop = self._exports[key] = threading.Event()
        loop = asyncio.get_running_loop()

        def advance(number: int) -> None:
            if stop.is_set():
                raise Stopping
            loop.call_soon_threadsafe(lambda: self._begin(self.send({"type": "exporting", "id": key, "done": number})))

        async def work() -> None:
            try:
                folder = Path(tempfile.mkdtemp(dir=self._exported))
                path, size = await self._computed(
                    Level.EXPORT, lambda: exports.export(source, view, request, folder, advance)
                )
                command = exports.command_line(source, view, request)
                address = f"exports/{folder.name}/{path.name}"
                await self.send({"type": "exported", "id": key, "address": address, "size": size, "command": command})
            except Stopping:
                await self.send({"type": "cancelled", "id": key})
            finally:
                self._exports.pop(key, None)

        self._answer(message, work)

    def _cancel(self, message: dict[str, Any]) -> None:
        stop = self._exports.get(message.get("export"))
        if stop is not None:
            stop.set()

    def _tell_command(self, message: dict[str, Any]) -> None:
        source, view, request = self._source(message), View.read(message.get("view")), exports.Request.read(message)
        command = exports.command_line(source, view, request)
        self._begin(self.send({"type": "command", "id": message.get("id"), "command": command}))


_HANDLERS: dict[str, Callable[[Tab, dict[str, Any]], None]] = {
    "files": Tab._tell_files,
    "open": Tab._open,
    "draw": Tab._draw,
    "mark": Tab._mark,
    "copy": Tab._copy,
    "strips": Tab._want_strips,
    "export": Tab._export,
    "cancel": Tab._cancel,
    "command": Tab._tell_command,
}
