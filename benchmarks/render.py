"""`python -m benchmarks.render`: frames per second of a film, the reference implementation against ours.

A film of a few samples that move along one direction, written as MP4. The reference is the authors' network, frame by
frame, with all frames passed to imageio at the end. Each side runs in its own process, in alternation.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.sides import SIDES, Side, generator_folder, shown, spread
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, device_option
from biggan_discovery.files import atomic_write

_FPS = 24
_side: dict[str, Any] = {}
"""The state of a side's process."""


@click.command()
@click.option("--generator", default="random:biggan-deep-128", show_default=True, metavar="NAME|PATH|random:NAME")
@device_option
@click.option("--samples", type=POSITIVE_INT, default=4, show_default=True, help="Pictures per frame.")
@click.option("--frames", type=POSITIVE_INT, default=12, show_default=True, help="Frames per film.")
@click.option("--rounds", type=POSITIVE_INT, default=3, show_default=True, help="Films per side.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write OUT.json and OUT.md.")
def benchmark(generator: str, device: str, samples: int, frames: int, rounds: int, out: Path | None) -> None:
    """Time films of the reference implementation and ours, in alternation."""
    with generator_folder(generator) as folder, ExitStack() as stack:
        sides = {name: Side(stack, _prepare, name, folder, device, samples) for name in SIDES}
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for side in sides.values():
            side.run(_film, 1)
        for _ in range(rounds):
            for name, side in sides.items():
                rates[name].append(frames / side.run(_film, frames))
    ratio = spread([ours / plain for plain, ours in zip(*rates.values(), strict=True)])
    figures = {"generator": generator, "samples": samples, "frames": frames, "rounds": rounds, "ratio": ratio}
    figures |= {name: {"frames_per_second": spread(rates[name])} for name in SIDES}
    lines = ["| | frames a second |", "|---|---|"]
    lines += [f"| {name} | {shown(spread(rates[name]), '/s')} |" for name in SIDES]
    lines += ["", f"{generator}, {samples} pictures a frame, {rounds} films of {frames} frames: "]
    lines[-1] += f"**{ratio['median']:.2f} times as fast** ({ratio['smallest']:.2f}-{ratio['largest']:.2f})."
    table = "\n".join(lines)
    click.echo(table)
    if out is not None:
        atomic_write(out.with_name(f"{out.name}.json"), json.dumps(figures, indent=1) + "\n")
        atomic_write(out.with_name(f"{out.name}.md"), table + "\n")


def _prepare(name: str, folder: str, device: str, samples: int) -> None:
    import torch

    from biggan_discovery.directions import Directions, initial_matrix
    from biggan_discovery.generators import load_generator

    generator = load_generator(folder, device=device)
    if name == "reference":
        generator = generator.reference()
    uniform = torch.rand(samples, generator.z_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    directions = Directions(initial_matrix("random", 1, generator.z_dim, 0))
    y = torch.arange(samples, device=generator.device) % generator.num_classes
    _side.update(name=name, generator=generator, z=generator.latents(uniform), y=y, directions=directions)


def _film(frames: int) -> float:
    """Duration of writing a film in seconds."""
    import torch

    amounts = torch.linspace(-3, 3, frames + 1)[:-1].tolist()
    with tempfile.TemporaryDirectory() as place:
        begin = time.perf_counter()
        (_reference if _side["name"] == "reference" else _ours)(Path(place, "film.mp4"), amounts)
        return time.perf_counter() - begin


def _reference(path: Path, amounts: list[float]) -> None:
    import imageio.v2 as imageio
    import torch

    row = _side["directions"].Q[0].to(_side["z"])
    frames = []
    with torch.no_grad():
        for amount in amounts:
            images = _side["generator"](_side["z"] + amount * row, _side["y"])
            picture = torch.cat(list(images), dim=2).permute(1, 2, 0)
            frames.append(((picture + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy())
    imageio.mimwrite(path, frames, fps=_FPS, macro_block_size=None)


def _ours(path: Path, amounts: list[float]) -> None:
    from biggan_discovery.rendering.encode import open_writer
    from biggan_discovery.rendering.film import Film
    from biggan_discovery.rendering.sheet import Label, Sheet

    generator = _side["generator"]
    film = Film(generator, _side["directions"], _side["z"], _side["y"], "all")
    sheet = Sheet([Label()], tile=generator.resolution, columns=len(_side["z"]), scale=1)
    with open_writer(path, _FPS) as writer:
        for frame in film.loop([0], amounts, sheet):
            writer.add(frame)


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.render")
