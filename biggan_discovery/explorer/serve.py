"""`explore`: the server, from its first line to its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence

import uvicorn

from biggan_discovery.errors import UserError
from biggan_discovery.explorer.access import user_token
from biggan_discovery.explorer.app import Explorer
from biggan_discovery.explorer.compute import Compute
from biggan_discovery.explorer.sources import Generators, open_sources

HOST, PORT = "127.0.0.1", 8870
_LONGEST_MESSAGE = 2**20  # bytes
_GRACE = 2  # seconds for pages to close


def explore(
    paths: Sequence[str],
    *,
    generator: str | None = None,
    truncation: float | None = None,
    device: str = "auto",
    offline: bool | None = None,
    mirror: str | None = None,
    port: int | None = None,
    browser: bool = True,
    announce: Callable[[str], object] = print,
) -> None:
    """Serve the explorer to this machine until a signal ends it.

    Args:
        paths: directions files, or the name of the bundled one.
        generator: what `load_generator` takes. Defaults to the generators that the files name.
        truncation: in (0, 1]. Defaults to those of the searches.
        device: see `load_generator`.
        offline: see `load_generator`.
        mirror: see `load_generator`.
        port: of 127.0.0.1. Defaults to 8870, or any free one if that is taken.
        browser: open the page.
        announce: called with the address of the page, when it can be opened.

    Raises:
        UserError: a file or its generator cannot be read, or the port is taken.
        KeyboardInterrupt: Ctrl-C.
    """
    compute = Compute()
    generators = Generators(
        lambda network: network.register_forward_pre_hook(compute.give_way),
        generator,
        truncation,
        device=device,
        offline=offline,
        mirror=mirror,
    )
    sources = open_sources(paths, generators)
    for source in sources:
        source.generator()  # What is wrong with it, and a download, is said before a page is opened.
    token = user_token()
    with contextlib.closing(_bound(port)) as listener:
        # Lines about each picture would bury those that matter.
        logging.getLogger("biggan_discovery").setLevel(logging.WARNING)
        address = f"http://{HOST}:{listener.getsockname()[1]}/{token}/"
        announce(address)
        if browser and _has_browser():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        config = uvicorn.Config(
            Explorer(sources, compute, token).app(),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
            ws_max_size=_LONGEST_MESSAGE,
            ws_per_message_deflate=False,
        )
        try:
            asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
        except (KeyboardInterrupt, SystemExit) as error:
            error.add_note("the same command opens the pages again")
            raise
        finally:
            compute.stop()


def _bound(port: int | None) -> socket.socket:
    for candidate in [port] if port else [PORT, 0]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # Else the port of a server that has just ended is taken for a minute.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, candidate))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            if port:
                raise UserError(
                    f"port {port} is {'taken' if error.errno == errno.EADDRINUSE else 'not allowed'}; "
                    "give another --port, or none"
                ) from error
        else:
            return listener
    raise UserError("no port of this machine is free")


def _has_browser() -> bool:
    """Whether there is a screen for a browser; one for the terminal would take it over."""
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
