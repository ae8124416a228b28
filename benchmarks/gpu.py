"""`python -m benchmarks.gpu`: everything that needs a GPU, in one command.

Sections run one after the other, each in a process of its own, and print as they end; one that fails does not keep the
others. `--only` chooses. With `--out`, what each prints is kept as NAME.md and its figures as NAME.json.

    python -m benchmarks.gpu --only correct,step --out gpu
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.full_size import NETWORKS
from benchmarks.sides import generator_folder
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT, Name
from biggan_discovery.files import atomic_write

_BATCH, _PROBES, _EPSILON, _PATH_SIZE = 96, 2, 0.1, 5.0
_DEVICE = "cuda"
_LONGEST = 240  # seconds of a section
_STEP_NETWORKS = ("biggan-deep-128", "biggan-deep-256", "biggan-deep-512", "brock-128")
_PRECISIONS = ("float32", "tf32", "float16")

Figures = dict[str, Any]


@click.command()
@click.option("--only", default=None, metavar="NAMES", help="Sections, comma-separated.  [default: all]")
@click.option("--networks", default=",".join(_STEP_NETWORKS), show_default=True, help="Networks of the section step.")
@click.option("--latents", type=POSITIVE_INT, default=96, show_default=True, help="Of the joint diagonalization.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for NAME.md and NAME.json.")
@click.option("--section", type=click.STRING, hidden=True)
def benchmark(only: str | None, networks: str, latents: int, out: Path | None, section: str | None) -> None:
    """Check and measure on a GPU."""
    if section is not None:
        _print_section(section, networks.split(","), latents, out)
        return
    chosen = Name(tuple(SECTIONS))
    for name in [chosen.convert(each, None, None) for each in only.split(",")] if only else SECTIONS:
        begin = time.monotonic()
        arguments = ["--section", name, "--networks", networks, "--latents", str(latents)]
        arguments += ["--out", str(out)] if out else []
        try:
            done = subprocess.run([sys.executable, "-m", "benchmarks.gpu", *arguments], timeout=_LONGEST, check=False)
            ended = f"exit code {done.returncode}"
        except subprocess.TimeoutExpired:
            ended = f"stopped after {_LONGEST} s"
        click.echo(f"[{name}: {ended}, {time.monotonic() - begin:.1f} s]\n")


def _print_section(name: str, networks: list[str], latents: int, out: Path | None) -> None:
    lines: list[str] = []

    def say(line: str = "") -> None:
        lines.append(line)
        click.echo(line)
        sys.stdout.flush()

    say(f"## {name}")
    figures = SECTIONS[name](say, networks=networks, latents=latents)
    if out is not None:
        atomic_write(out / f"{name}.json", json.dumps(figures, indent=1) + "\n")
        atomic_write(out / f"{name}.md", "\n".join(lines) + "\n")


def _machine(say: Callable[[str], None], **_: Any) -> Figures:
    """The card, and the ceilings of its units."""
    import torch

    device = torch.device("cuda")
    say(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    figures: Figures = {"device": torch.cuda.get_device_name(device), "torch": torch.__version__}
    data = torch.empty(2**30, dtype=torch.uint8, device=device)
    figures["copy TB/s"] = 2 * data.numel() / _seconds(lambda: data.clone()) / 1e12
    say(f"copy {figures['copy TB/s']:.2f} TB/s")
    for precision, dtype in (("float32", torch.float32), ("tf32", torch.float32), ("float16", torch.float16)):
        with _entered(precision):
            a = torch.randn(8192, 8192, dtype=dtype, device=device)
            x = torch.randn(64, 256, 64, 64, dtype=dtype, device=device).to(memory_format=torch.channels_last)
            weight = torch.randn(256, 256, 3, 3, dtype=dtype, device=device).to(memory_format=torch.channels_last)
            product = 2 * 8192**3 / _seconds(lambda a=a: a @ a) / 1e12
            convolution = 2 * 9 * 256**2 * x[:, 0].numel() / _seconds(partial(_convolve, x, weight)) / 1e12
        figures[precision] = {"product": product, "convolution": convolution}
        say(f"{precision}: products {product:.0f}, 3 × 3 convolutions {convolution:.0f} TFLOP/s")
    return figures


def _correct(say: Callable[[str], None], **_: Any) -> Figures:
    """What every command gives on the GPU, against the CPU."""
    import numpy as np
    import torch
    from PIL import Image

    from biggan_discovery import Directions

    found = "directions/scenes-64.safetensors"
    film = f"visualize {found} --only 0-3 --format png"
    commands = {
        "hessian, joint diagonalization": "discover --samples 3 --no-judge",
        "hessian, sketches": "discover --samples 3 --sketches 4 --no-judge",
        "orojar, joint diagonalization": "discover --method orojar --samples 3 --no-judge",
        "hessian, adam": "discover --solver adam --steps 3 --precision float32 --no-judge",
        "orojar, adam": "discover --method orojar --solver adam --steps 3 --precision float32 --no-judge",
        "hessian, adam, auto": "discover --solver adam --steps 3 --no-judge",
        "sefa": "discover --method sefa --no-judge",
        "ganspace": "discover --method ganspace --no-judge",
        "jacobian": "discover --method jacobian --samples 4 --no-judge",
        "strip": film,
        "path size auto": f"visualize {found} --only 0-1 --path-size auto --format png",
        "curved": f"visualize {found} --curved --only 0-1 --path-size 1 --format png",
        "edit": f"edit {found} --set 0=2 --set 3=-1",
    }
    figures: Figures = {}
    say("| command | largest difference from the CPU |\n|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for title, command in commands.items():
            results = []
            for device in ("cpu", _DEVICE):
                suffix = "" if command.startswith("discover") else ".png"
                out = Path(place) / f"{title.replace(', ', '-').replace(' ', '-')}-{device}{suffix}"
                error = _command([*command.split(), "--device", device, "--out", str(out), "--quiet"])
                if error:
                    results.append(error)
                elif suffix:
                    results.append(torch.from_numpy(np.asarray(Image.open(out)).astype(np.float32)))
                else:
                    results.append(Directions.load(out / "directions.safetensors").Q)
            failed = [each for each in results if isinstance(each, str)]
            if failed:
                figures[title] = failed
                say(f"| {title} | {failed[0]} |")
                continue
            one, other = results
            difference = (one - other).abs().max().item()
            cosine = torch.nn.functional.cosine_similarity(one, other, dim=-1).abs().min().item()
            figures[title] = {"difference": difference, "least cosine of a row": cosine}
            unit = "of 255" if command[0] in "ve" else f"(least cosine of a direction {cosine:.6f})"
            say(f"| {title} | {difference:.2g} {unit} |")
        figures["evaluate"] = _evaluations(say, found, Path(place))
    return figures


def _evaluations(say: Callable[[str], None], found: str, place: Path) -> Figures:
    """Figures of `evaluate` on both devices."""
    reports = []
    for device in ("cpu", _DEVICE):
        error = _command(["evaluate", found, "--device", device, "--out", str(place / device), "--quiet"])
        if error:
            say(f"| evaluate | {error} |")
            return {"error": error}
        reports.append(json.loads((place / device / "report.json").read_text())["sets"][0]["figures"])
    worst: dict[str, float] = {}
    for key, each in reports[0].items():
        mean, other = each["mean"], reports[1][key]["mean"]
        if mean:
            worst[key] = abs(other - mean) / abs(mean)
    for key, value in sorted(worst.items(), key=lambda item: -item[1])[:8]:
        say(f"| evaluate: {key} | {value:.2g} relative |")
    return worst


def _command(arguments: list[str]) -> str:
    """Run a command in this process; its error as one line, or nothing."""
    from biggan_discovery.cli import cli

    try:
        with redirect_stdout(io.StringIO()):
            cli.main(arguments, standalone_mode=False)
    except Exception as error:  # whatever it is, the other commands are tried
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]
    return ""


def _kernels(say: Callable[[str], None], **_: Any) -> Figures:
    """The fused kernels; see `benchmarks.kernels`."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "kernels"
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.kernels", "--device", "cuda", "--out", str(out)],
            capture_output=True,
            text=True,
            check=False,
        )
        say(done.stdout if not done.returncode else done.stderr[-800:])
        made = out.with_name("kernels.json")
        return json.loads(made.read_text()) if made.exists() else {}


def _step(say: Callable[[str], None], *, networks: list[str], **_: Any) -> Figures:
    """A search step of 96 samples and two probes: the reference implementation and ours."""
    import torch

    say("| network | side | ms a step | GiB | images at once | cosine |\n|---|---|---|---|---|---|")
    figures: Figures = {}
    for network in networks:
        with _loaded(network) as generator:
            rows = figures[network] = {}
            for precision in ("float32", "tf32"):
                rows[f"reference {precision}"] = _reference(generator, precision)
            exact = _gradient_of_few(generator, "float64")
            for precision in _PRECISIONS:
                rows[precision] = _ours(generator, precision, exact, None)
            rows["float16, 64 images"] = _ours(generator, "float16", exact, 64)
            for side, row in rows.items():
                cosine = f"{row['cosine']:.4f}" if "cosine" in row else ""
                say(f"| {network} | {side} | {row['ms']:.1f} | {row['gib']:.2f} | {row['images']} | {cosine} |")
        torch.cuda.empty_cache()
    return figures


def _reference(generator: Any, precision: str) -> Figures:
    """The published way: 2k + 1 passes of the whole batch, which is cut to what fits, then scaled to 96."""
    import torch

    from benchmarks.reference import reference_step

    reference = generator.reference()
    Q = _rows(generator)
    for count in (96, 48, 24, 12, 6):
        samples = _samples(reference, count)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            with _entered(precision):
                seconds = _seconds(lambda samples=samples: reference_step(reference, Q, samples, _EPSILON), repeats=3)
        except torch.OutOfMemoryError:
            continue
        return {"ms": 1000 * seconds * _BATCH / count, "gib": _peak(), "images": 5 * count}
    return {"ms": float("nan"), "gib": float("nan"), "images": 0}


def _ours(generator: Any, precision: str, exact: Any, images: int | None) -> Figures:
    import torch

    from biggan_discovery.generators.batching import Batch, gradient_size
    from biggan_discovery.objectives.gradient import objective_gradient
    from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
    from biggan_discovery.search.precision import in_precision

    candidate = in_precision(generator, precision)
    Q, samples = _rows(generator), _samples(generator, _BATCH)
    torch.cuda.empty_cache()
    batch = Batch(min(images or gradient_size(candidate), 2 * _PROBES * _BATCH))
    torch.cuda.reset_peak_memory_stats()
    with _entered(precision):
        seconds = _seconds(lambda: objective_gradient(HESSIAN_PENALTY, candidate, Q, samples, _EPSILON, batch=batch))
    few = _gradient_of_few(candidate, precision)
    cosine = torch.nn.functional.cosine_similarity(few.flatten(), exact.flatten(), dim=0).item()
    return {"ms": 1000 * seconds, "gib": _peak(), "images": batch.size, "cosine": cosine}


def _gradient_of_few(generator: Any, precision: str) -> Any:
    """The gradient at four samples, in float64 for "float64"."""
    import copy

    from biggan_discovery.generators.batching import Batch
    from biggan_discovery.objectives.gradient import objective_gradient
    from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY

    if precision == "float64":
        generator = copy.deepcopy(generator).double()
    samples = _samples(generator, 4)
    with _entered("float32" if precision == "float64" else precision):
        found = objective_gradient(HESSIAN_PENALTY, generator, _rows(generator), samples, _EPSILON, batch=Batch(16))
    return found.gradient.double()


def _profile(say: Callable[[str], None], **_: Any) -> Figures:
    """Where the time of a step of BigGAN-deep-128 in float16 goes."""
    from torch.profiler import ProfilerActivity, profile

    from biggan_discovery.generators.batching import Batch
    from biggan_discovery.objectives.gradient import objective_gradient
    from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
    from biggan_discovery.search.precision import in_precision

    with _loaded("biggan-deep-128") as generator:
        candidate, Q, samples = in_precision(generator, "float16"), _rows(generator), _samples(generator, _BATCH)

        def step() -> None:
            objective_gradient(HESSIAN_PENALTY, candidate, Q, samples, _EPSILON, batch=Batch(2 * _PROBES * _BATCH))

        _seconds(step, repeats=2)
        with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as trace:
            step()
    events = [
        each for each in trace.key_averages() if each.self_device_time_total > 0 and each.device_type.name == "CUDA"
    ]
    events.sort(key=lambda each: -each.self_device_time_total)
    total = sum(each.self_device_time_total for each in events)
    say(f"kernels take {total / 1000:.1f} ms\n\n| ms | launches | kernel |\n|---|---|---|")
    for each in events[:28]:
        say(f"| {each.self_device_time_total / 1000:.2f} | {each.count} | {each.key[:110]} |")
    return {each.key: [each.self_device_time_total / 1000, each.count] for each in events}


def _diagonalize(say: Callable[[str], None], *, latents: int, **_: Any) -> Figures:
    """A joint diagonalization of BigGAN-deep-128 by the command, everything included; and its matrices' errors."""
    figures: Figures = {}
    with generator_folder("random:biggan-deep-128") as folder, tempfile.TemporaryDirectory() as place:
        begin = time.monotonic()
        out = Path(place) / "run"
        command = ["discover", "--generator", folder, "--class", "207", "--device", _DEVICE, "--out", str(out)]
        done = subprocess.run(
            [sys.executable, "-m", "biggan_discovery", *command, "--samples", str(latents)],
            capture_output=True,
            text=True,
            check=False,
        )
        figures["seconds"] = time.monotonic() - begin
        say(f"{latents} latents, all 128 directions, judged: {figures['seconds']:.1f} s")
        say("\n".join((done.stderr + done.stdout).strip().splitlines()[-12:]))
    return figures


def _films(say: Callable[[str], None], **_: Any) -> Figures:
    """Images per second of the generator alone, and of whole films."""
    import torch

    from biggan_discovery.generators.batching import forward_batch
    from biggan_discovery.rendering.motion import generate

    figures: Figures = {}
    for network in ("biggan-deep-128", "biggan-deep-256"):
        with _loaded(network) as generator:
            z = torch.randn(2048, generator.z_dim)
            y = torch.zeros(len(z), dtype=torch.int64)
            list(generate(generator, z[:256], y[:256]))
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for images in generate(generator, z, y):
                images.sum().item()
            rate = len(z) / (time.perf_counter() - begin)
            figures[network] = {"images/s": rate, "at once": forward_batch(generator).size}
            say(f"{network}: {rate:.0f} images/s, {forward_batch(generator).size} at once")
    with generator_folder("random:biggan-deep-256") as folder, tempfile.TemporaryDirectory() as place:
        out = Path(place) / "film.mp4"
        random = Path(place) / "random"
        _command(
            ["discover", "--generator", folder, "--method", "random", "--no-judge", "--out", str(random), "--quiet"]
        )
        begin = time.monotonic()
        film = [
            "visualize",
            str(random / "directions.safetensors"),
            "--only",
            "0-5",
            "--samples",
            "4",
            "--frames",
            "60",
        ]
        error = _command([*film, "--out", str(out), "--quiet"])
        figures["film"] = {"seconds": time.monotonic() - begin, "error": error}
        say(f"film of 60 frames of 24 pictures of 256 pixels: {figures['film']['seconds']:.1f} s in all {error}")
    return figures


def _startup(say: Callable[[str], None], **_: Any) -> Figures:
    """Seconds before anything happens."""
    pieces = {
        "python": "pass",
        "import torch": "import torch",
        "a CUDA context": "import torch; torch.zeros(1, device='cuda')",
        "load scenes-64": "import biggan_discovery as b; b.load_generator('scenes-64', device='cpu')",
        "load scenes-64 to the GPU": "import biggan_discovery as b; b.load_generator('scenes-64', device='cuda')",
        "discover, imported": "from biggan_discovery.search import discover",
        "discover --help": "import sys; sys.argv[1:] = ['discover', '-h']; from biggan_discovery import cli; cli.cli()",
    }
    figures: Figures = {}
    for title, code in pieces.items():
        for _attempt in range(2):  # the first may read from disk
            begin = time.monotonic()
            subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
            figures[title] = time.monotonic() - begin
        say(f"{title}: {figures[title]:.2f} s")
    return figures


SECTIONS: dict[str, Callable[..., Figures]] = {
    "machine": _machine,
    "correct": _correct,
    "step": _step,
    "kernels": _kernels,
    "profile": _profile,
    "diagonalize": _diagonalize,
    "films": _films,
    "startup": _startup,
}


@contextmanager
def _loaded(network: str) -> Iterator[Any]:
    """A random network of a published size on the GPU."""
    from biggan_discovery import load_generator

    assert network in NETWORKS
    with generator_folder(f"random:{network}") as folder:
        yield load_generator(folder, device=_DEVICE)


@contextmanager
def _entered(precision: str) -> Iterator[None]:
    from biggan_discovery.numerics.arithmetic import arithmetic

    with arithmetic(precision):
        yield


def _rows(generator: Any) -> Any:
    import torch

    random = torch.randn(generator.z_dim, generator.z_dim, generator=torch.Generator().manual_seed(0))
    return torch.linalg.qr(random.double()).Q.to(generator.device, generator.dtype)


def _samples(generator: Any, count: int) -> Any:
    from biggan_discovery.numerics.streams import Stream
    from biggan_discovery.objectives.samples import draw

    sizes = {"count": count, "probes": _PROBES, "path_size": _PATH_SIZE}
    return draw(generator, [0], generator.z_dim, **sizes, seed=0, stream=Stream.SEARCH, step=0)


def _convolve(x: Any, weight: Any) -> Any:
    import torch

    return torch.nn.functional.conv2d(x, weight, padding=1)


def _peak() -> float:
    import torch

    return torch.cuda.max_memory_allocated() / 2**30


def _seconds(function: Callable[[], object], *, repeats: int = 5) -> float:
    """Median over calls, after one that does not count."""
    import torch

    seconds = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        function()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.gpu")
