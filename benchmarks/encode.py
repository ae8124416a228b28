"""`python -m benchmarks.encode`: films by our own pipe to ffmpeg against imageio's plugins.

The frames are real sheets of a generator, drawn beforehand. Each film is written by a new process, in alternation.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import imageio.v2 as imageio_v2
import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import psutil
from PIL import Image

from benchmarks.sides import shown, spread
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT
from biggan_discovery.files import atomic_write
from biggan_discovery.rendering import encode

_FPS = 20
_LONGEST = 600  # seconds
_CODECS = {".mp4": ("libx264", "yuv420p"), ".gif": ("gif", "rgb8"), ".webp": ("libwebp_anim", "bgra")}
Add = Callable[[np.ndarray], Any]
Way = Callable[[Path, tuple[int, int]], contextlib.AbstractContextManager[Add]]


@contextlib.contextmanager
def _ours(path: Path, size: tuple[int, int]) -> Iterator[Add]:  # noqa: ARG001
    """Our writer without its temporary file, for a fair comparison."""
    writer = encode.WRITERS[path.suffix](path, _FPS)
    try:
        yield writer.add
        writer.finish()
    except BaseException:
        writer.abort()
        raise


@contextlib.contextmanager
def _write_frames(path: Path, size: tuple[int, int]) -> Iterator[Add]:
    """The core of imageio's FFMPEG plugin, with our options; for GIF, with a palette and dithering per frame."""
    codec, pixels = ("gif", "pal8") if path.suffix == ".gif" else _CODECS[path.suffix]
    each = "split[a][b];[a]palettegen=stats_mode=single:reserve_transparent=0[p];[b][p]paletteuse=new=1"
    options = ["-lavfi", each] if path.suffix == ".gif" else getattr(encode.WRITERS[path.suffix], "options")  # noqa: B009
    sender = imageio_ffmpeg.write_frames(
        path,
        size,
        pix_fmt_out=pixels,
        fps=_FPS,
        quality=None,  # type: ignore[arg-type]
        codec=codec,
        macro_block_size=1,
        ffmpeg_log_level="quiet",
        input_params=["-threads", "1"],
        output_params=list(options),
    )
    sender.send(None)
    yield sender.send
    sender.close()


@contextlib.contextmanager
def _ffmpeg_plugin(path: Path, size: tuple[int, int]) -> Iterator[Add]:  # noqa: ARG001
    """The unmodified plugin, through v2, because each call of `write` in v3 starts a new film."""
    with imageio_v2.get_writer(path, format="FFMPEG", fps=_FPS, quality=8, macro_block_size=2) as writer:  # type: ignore
        yield writer.append_data  # type: ignore


@contextlib.contextmanager
def _pyav(path: Path, size: tuple[int, int]) -> Iterator[Add]:  # noqa: ARG001
    """The unmodified plugin; requires the package av."""
    codec, pixels = _CODECS[path.suffix]
    with iio.imopen(path, "w", plugin="pyav") as film:
        film.init_video_stream(codec, fps=_FPS, pixel_format=pixels)
        yield film.write_frame


@contextlib.contextmanager
def _pillow(path: Path, size: tuple[int, int]) -> Iterator[Add]:  # noqa: ARG001
    options = {".gif": {}, ".webp": {"quality": 90, "method": 4}, ".png": {}}[path.suffix]
    if path.suffix != ".png":
        options |= {"duration": 1000 // _FPS, "loop": 0}
    with iio.imopen(path, "w", plugin="pillow") as film:
        yield lambda frame: film.write(frame, **options)


WAYS: dict[str, dict[str, Way]] = {
    ".mp4": {"ours": _ours, "write_frames": _write_frames, "FFMPEG plugin": _ffmpeg_plugin, "pyav plugin": _pyav},
    ".gif": {"ours": _ours, "write_frames": _write_frames, "pyav plugin": _pyav, "pillow plugin": _pillow},
    ".webp": {"ours": _ours, "write_frames": _write_frames, "pyav plugin": _pyav, "pillow plugin": _pillow},
    ".png": {"ours": _ours, "pillow plugin": _pillow},
}


@click.command()
@click.option("--generator", default="scenes-64", show_default=True, metavar="NAME|PATH")
@click.option("--directions", type=POSITIVE_INT, default=6, show_default=True, help="Blocks per sheet.")
@click.option("--samples", type=POSITIVE_INT, default=4, show_default=True, help="Pictures per block.")
@click.option("--frames", type=click.IntRange(4), default=60, show_default=True, help="Frames per film.")
@click.option("--scale", type=POSITIVE_INT, default=2, show_default=True, help="Enlargement of pictures.")
@click.option("--rounds", type=POSITIVE_INT, default=3, show_default=True, help="Films per writer.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write OUT.json and OUT.md.")
def benchmark(
    generator: str, directions: int, samples: int, frames: int, scale: int, rounds: int, out: Path | None
) -> None:
    """Compare time and size of films by our pipe to ffmpeg and imageio's plugins, in alternation."""
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "frames.npy")
        np.save(source, _sheets(generator, directions, samples, frames, scale))
        _, height, width, _ = shape = np.load(source, mmap_mode="r").shape
        lines = [
            f"{frames} frames of {width} x {height} pixels; times to ours, smallest and largest of {rounds} rounds",
            "",
            "| | seconds | time | memory, MB | size | PSNR, dB | noise | frames, ms | full disk | Ctrl-C |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        click.echo("\n".join(lines))
        figures = {}
        for suffix, ways in WAYS.items():
            figures[suffix] = _compare(suffix, ways, source, Path(place), 1 if suffix == ".png" else rounds)
            rows = [_row(f"{suffix} {name}", each, figures[suffix]["ours"]) for name, each in figures[suffix].items()]
            click.echo("\n".join(rows))
            lines += rows
    if out is not None:
        content = {"generator": generator, "shape": shape, "rounds": rounds, "ways": figures}
        atomic_write(out.with_name(f"{out.name}.json"), json.dumps(content, indent=1) + "\n")
        atomic_write(out.with_name(f"{out.name}.md"), "\n".join(lines) + "\n")


def _sheets(name: str, directions: int, samples: int, count: int, scale: int) -> np.ndarray:
    """Frames (count, height, width, 3) of a film as `visualize` makes it."""
    from biggan_discovery.directions import Directions, initial_matrix
    from biggan_discovery.generators import load_generator
    from biggan_discovery.rendering import Film, Label, Sheet, loop_amounts, sample_classes, sample_latents

    generator = load_generator(name)
    shown_rows = Directions(initial_matrix("random", directions, generator.z_dim, 0))
    y = sample_classes(list(range(generator.num_classes)), samples)
    film = Film(generator, shown_rows, sample_latents(generator, samples, 0), y)
    labels = [Label(str(row)) for row in range(directions)]
    sheet = Sheet(labels, tile=generator.resolution, columns=samples, scale=scale)
    amounts = loop_amounts(count, float(str(generator.defaults()["path_size"])))
    frames = np.stack(list(film.loop(range(directions), amounts, sheet)))
    return frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]  # Some writers refuse odd sizes.


def _compare(suffix: str, ways: dict[str, Way], source: Path, place: Path, rounds: int) -> dict[str, dict[str, Any]]:
    frames = np.load(source, mmap_mode="r")[: 1 if suffix == ".png" else None]
    films = {name: place / f"{number}{suffix}" for number, name in enumerate(ways)}
    found: dict[str, dict[str, Any]] = {name: {} for name in ways}
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _, name in itertools.product(range(rounds), ways):
        try:
            runs[name].append(_run(_write, suffix, name, source, films[name]))
        except Exception as error:
            found[name] = {"failed": " ".join(str(error).split())[:80] or type(error).__name__}
    for name, film in films.items():
        if "failed" in found[name]:
            continue
        seconds, memory = zip(*runs[name], strict=True)
        full = place / f"full{suffix}"
        full.unlink(missing_ok=True)
        full.symlink_to("/dev/full")
        found[name] = {
            "seconds": spread(list(seconds)),
            "time": spread([mine / first for (mine, _), (first, _) in zip(runs[name], runs["ours"], strict=True)]),
            "memory": spread(list(memory)),
            "bytes": film.stat().st_size,
            **_looks(film, frames),
            "full_disk": _outcome(_write_full, suffix, name, source, full),
            "interrupted": _outcome(_interrupt, suffix, name, source, place / f"stopped{suffix}"),
        }
    return found


def _row(name: str, figure: dict[str, Any], ours: dict[str, Any]) -> str:
    if "failed" in figure:
        return f"| {name} | {figure['failed']} " + "| " * 8 + "|"
    cells = [
        name,
        f"{figure['seconds']['median']:.2f}",
        shown(figure["time"], ""),
        f"{figure['memory']['median']:.0f}",
        f"{figure['bytes'] / ours['bytes']:.2f}",
        f"{figure['psnr']:.1f}",
        f"{figure['noise']:.2f}",
        f"{figure['count']}, {figure['milliseconds']}",
        figure["full_disk"],
        figure["interrupted"],
    ]
    return f"| {' | '.join(cells)} |"


def _run(target: Callable[..., Any], *arguments: Any) -> tuple[float, float]:
    """The result of `target` in its own process, and the peak memory of the process and its children in MB."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, target, arguments))
    process.start()
    there.close()
    here.recv()
    watched = psutil.Process(process.pid)
    before = most = watched.memory_info().rss
    here.send("go")
    end = time.monotonic() + _LONGEST
    while not here.poll(0.005) and time.monotonic() < end:
        with contextlib.suppress(psutil.Error):
            most = max(most, sum(each.memory_info().rss for each in (watched, *watched.children(recursive=True))))
    answer = here.recv() if here.poll() else TimeoutError(f"no end after {_LONGEST} s")
    process.join(10)
    process.kill()  # Some writers keep their process alive.
    process.join()
    if isinstance(answer, BaseException):
        raise answer
    return answer, (most - before) / 1e6


def _serve(pipe: Connection, target: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    warnings.simplefilter("ignore")
    pipe.send("ready")
    pipe.recv()
    try:
        answer = target(*arguments)
    except BaseException as error:
        answer = error if isinstance(error, OSError) else RuntimeError(f"{type(error).__name__}: {error}")
    pipe.send(answer)


def _write(suffix: str, name: str, source: Path, film: Path) -> float:
    """Duration of writing a film in seconds; its frames are read one at a time."""
    begin = time.perf_counter()
    frames = np.load(source, mmap_mode="r")[: 1 if suffix == ".png" else None]
    with WAYS[suffix][name](film, frames.shape[2:0:-1]) as add:
        for i in range(len(frames)):
            add(_frame(source, i))
    return time.perf_counter() - begin


def _frame(source: Path, i: int) -> np.ndarray:
    """A copy, because mapped pages would count as memory."""
    return np.array(np.load(source, mmap_mode="r")[i])


def _write_full(suffix: str, name: str, source: Path, film: Path) -> str:
    """The outcome of the writer on a full disk."""
    try:
        _write(suffix, name, source, film)
    except OSError as error:
        return f"{type(error).__name__} {error.errno}"
    except Exception as error:
        return type(error).__name__
    return "no error"


def _interrupt(suffix: str, name: str, source: Path, film: Path) -> str:
    """The processes left after Ctrl-C in the middle of a film."""
    shape = np.load(source, mmap_mode="r").shape
    begin = time.perf_counter()
    with contextlib.suppress(KeyboardInterrupt), WAYS[suffix][name](film, shape[2:0:-1]) as add:
        for i in range(min(shape[0], 20)):
            add(_frame(source, i))
        begin = time.perf_counter()
        raise KeyboardInterrupt
    seconds = time.perf_counter() - begin
    return f"{seconds:.1f} s, {'a process left' if psutil.Process().children() else 'nothing left'}"


def _outcome(target: Callable[..., Any], *arguments: Any) -> str:
    try:
        return str(_run(target, *arguments)[0])
    except Exception as error:
        return type(error).__name__


def _looks(film: Path, frames: np.ndarray) -> dict[str, Any]:
    """PSNR of the decoded film in dB, and temporal noise in static regions in levels of 255."""
    if film.suffix == ".mp4":
        reader = imageio_ffmpeg.read_frames(film)
        info: dict[str, Any] = next(reader)  # type: ignore[assignment]
        width, height = info["size"]
        decoded = (np.frombuffer(each, np.uint8).reshape(height, width, 3) for each in reader)
        duration = 1000 / info["fps"]
    else:
        decoded = iio.imiter(film, plugin="pillow", mode="RGB")
        with Image.open(film) as image:  # imageio does not report frame durations of WebP.
            image.load()
            duration = image.info.get("duration", 0)
    squares, changed, still, count = 0.0, 0.0, 0, 0
    before: np.ndarray | None = None
    for count, (seen, frame) in enumerate(zip(decoded, frames, strict=False), 1):
        seen = seen[: frame.shape[0], : frame.shape[1]].astype(np.float32)
        squares += float(((seen - frame) ** 2).mean())
        if before is not None:
            same = (frame == frames[count - 2]).all(-1)
            changed += float(((seen - before)[same] ** 2).sum()) / 3
            still += int(same.sum())
        before = seen
    psnr = 10 * math.log10(255**2 * count / squares) if squares else math.inf
    noise = math.sqrt(changed / still) if still else 0.0
    return {"psnr": psnr, "noise": noise, "count": count, "milliseconds": round(duration, 1)}


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.encode")
