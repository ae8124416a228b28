"""`python -m benchmarks.explore`: frames per second and latency of the explorer while a slider is dragged.

Runs `biggan-discovery explore` as a process, and drags as its page does: the next picture is asked for when the last
one has come, always of the newest amount. Latency is the time from the request to the last byte of the picture, which a
browser shows within one frame of the screen. Tabs are sockets of their own that drag at the same time.
"""

from __future__ import annotations

import json
import math
import statistics
import struct
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import click
from websockets.sync.client import connect

from biggan_discovery import output
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_FLOAT, IntRange
from biggan_discovery.errors import UserError

_WARM_UP = 1.0  # seconds
_PERIOD = 2.0  # seconds of a drag there and back


def drag(address: str, pictures: int, seconds: float, latencies: list[float]) -> None:
    """Drag a slider for some seconds, and note how long each picture took."""
    parts = urlsplit(address)
    with connect(f"ws://{parts.netloc}{parts.path}socket", max_size=None) as page:
        start = time.perf_counter()
        while (now := time.perf_counter() - start) < _WARM_UP + seconds:
            amount = 2 * math.sin(2 * math.pi * now / _PERIOD)
            view = {"edits": [[0, amount, None], [1, -amount, None]], "pick": list(range(pictures))}
            page.send(json.dumps({"type": "draw", "id": 1, "view": view, "draft": True}))
            answer = page.recv()
            if not isinstance(answer, bytes):
                raise UserError(f"the server says {answer[:200]}")
            [length] = struct.unpack("<I", answer[:4])
            assert len(answer) > 4 + length
            if now >= _WARM_UP:
                latencies.append(time.perf_counter() - start - now)


def measured(address: str, tabs: int, pictures: int, seconds: float) -> str:
    """One line of the table."""
    of_tabs: list[list[float]] = [[] for _ in range(tabs)]
    threads = [threading.Thread(target=drag, args=(address, pictures, seconds, own)) for own in of_tabs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies = sorted(each for own in of_tabs for each in own)
    if len(latencies) < 2:
        raise UserError("fewer than two pictures came; give more --seconds")
    slowest = latencies[min(len(latencies) - 1, round(0.95 * len(latencies)))]
    rate = min(len(own) for own in of_tabs) / seconds
    return (
        f"{tabs:>4}  {pictures:>7}  {rate:>8.1f}  {1000 * statistics.median(latencies):>9.0f}  {1000 * slowest:>9.0f}"
    )


@click.command()
@click.argument("directions", default="scenes-64")
@click.option("--seconds", type=POSITIVE_FLOAT, default=8.0, show_default=True, help="Length of each measurement.")
@click.option("--tabs", type=IntRange(1, 16), default=3, show_default=True, help="Tabs at once, at most.")
@click.option("--device", default="auto", show_default=True, help="Device of the generator.")
def main(directions: str, seconds: float, tabs: int, device: str) -> None:
    """Frames per second for each tab (of the slowest one), and milliseconds that a picture takes."""
    command = [sys.executable, "-m", "biggan_discovery", "explore", directions, "--no-open", "--device", device]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        address = server.stdout.readline().strip()
        if not address:
            raise UserError("the explorer did not start")
        output.result("tabs  samples  frames/s  median ms  95 % < ms")
        for count, pictures in [(1, 1), (1, 4), *((count, 1) for count in range(2, tabs + 1))]:
            output.result(measured(address, count, pictures, seconds))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    run(main)
