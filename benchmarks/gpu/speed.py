"""How fast a GPU's units, search steps, joint diagonalizations, films and the start of commands are."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.common import (
    BATCH,
    DEVICE,
    EPSILON,
    PRECISIONS,
    PROBES,
    Figures,
    Say,
    median_seconds,
    peak_gib,
    random_network,
    random_rows,
    run_command,
    step_samples,
)
from benchmarks.reference import reference_step
from benchmarks.sides import generator_folder
from benchmarks.startup import measure as measure_startup
from biggan_discovery import FrozenGenerator
from biggan_discovery.generators.batching import Batch, forward_batch, gradient_size
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.objectives.gradient import ObjectiveGradient, objective_gradient
from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
from biggan_discovery.rendering.motion import generate
from biggan_discovery.search.joint_diagonalization import JointDiagonalization
from biggan_discovery.search.precision import in_precision
from biggan_discovery.search.settings import run_settings
from biggan_discovery.search.table import find_method

_IMAGES = 2 * PROBES * BATCH  # of a step


def machine(say: Say, **_: Any) -> Figures:
    """The card, and the ceilings of its units."""
    card = torch.cuda.get_device_name(DEVICE)
    say(f"{card}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    data = torch.empty(2**30, dtype=torch.uint8, device=DEVICE)
    figures: Figures = {"device": card, "torch": torch.__version__}
    figures["copy TB/s"] = 2 * data.numel() / median_seconds(data.clone) / 1e12
    say(f"copy {figures['copy TB/s']:.2f} TB/s")
    for precision in PRECISIONS:
        dtype = torch.float16 if precision == "float16" else torch.float32
        with arithmetic(precision):
            figures[precision] = _teraflops(dtype)
        each = figures[precision]
        say(f"{precision}: products {each['products']:.0f}, 3 × 3 convolutions {each['convolutions']:.0f} TFLOP/s")
    return figures


def _teraflops(dtype: torch.dtype) -> dict[str, float]:
    a = torch.randn(8192, 8192, dtype=dtype, device=DEVICE)
    x = torch.randn(64, 256, 64, 64, dtype=dtype, device=DEVICE).to(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3, dtype=dtype, device=DEVICE).to(memory_format=torch.channels_last)
    products = median_seconds(lambda: a @ a)
    convolutions = median_seconds(lambda: torch.nn.functional.conv2d(x, weight, padding=1))
    return {
        "products": 2 * 8192**3 / products / 1e12,
        "convolutions": 2 * 9 * 256**2 * x[:, 0].numel() / convolutions / 1e12,
    }


def step(say: Say, *, networks: list[str], **_: Any) -> Figures:
    """A search step of 96 samples and two probes: the reference implementation and ours."""
    say("| network | side | ms per step | GiB | images at once | cosine |\n|---|---|---|---|---|---|")
    figures: Figures = {}
    for name in networks:
        with random_network(name) as generator:
            sides = {f"reference {each}": partial(_reference, generator, each) for each in PRECISIONS[:2]}
            exact = _gradient_of_few(copy.deepcopy(generator).double())
            sides |= {each: partial(_ours, generator, each, exact) for each in PRECISIONS}
            sides |= {f"float16, {size}": partial(_ours, generator, "float16", exact, size) for size in (16, 64)}
            for side, measure in sides.items():
                torch.cuda.empty_cache()
                row = figures[f"{name}, {side}"] = measure()
                cosine = f"{row['cosine']:.4f}" if "cosine" in row else ""
                say(f"| {name} | {side} | {row['ms']:.1f} | {row['gib']:.2f} | {row['images']} | {cosine} |")
    return figures


def _reference(generator: FrozenGenerator, precision: str) -> Figures:
    """The published way: 2k + 1 passes of the whole batch, which is cut to what fits, then scaled to 96."""
    reference, Q = generator.reference(), random_rows(generator)
    for count in (96, 48, 24, 12, 6):
        samples = step_samples(reference, count)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            with arithmetic(precision):
                taken = median_seconds(lambda s=samples: reference_step(reference, Q, s, EPSILON), repeats=3)
        except torch.OutOfMemoryError:
            continue
        return {"ms": 1000 * taken * BATCH / count, "gib": peak_gib(), "images": (2 * PROBES + 1) * count}
    return {"ms": float("nan"), "gib": float("nan"), "images": 0}


def _ours(generator: FrozenGenerator, precision: str, exact: Tensor, images: int | None = None) -> Figures:
    candidate = in_precision(generator, precision)
    Q, samples = random_rows(generator), step_samples(generator, BATCH)
    batch = Batch(min(images or gradient_size(candidate), _IMAGES))
    torch.cuda.reset_peak_memory_stats()
    with arithmetic(precision):
        gradient_at = ObjectiveGradient(HESSIAN_PENALTY, candidate, EPSILON, batch=batch)
        taken = median_seconds(partial(gradient_at, Q, samples))
        few = _gradient_of_few(candidate)
    cosine = torch.nn.functional.cosine_similarity(few.flatten(), exact.flatten(), dim=0).item()
    return {"ms": 1000 * taken, "gib": peak_gib(), "images": batch.size, "cosine": cosine}


def _gradient_of_few(generator: FrozenGenerator) -> Tensor:
    """The gradient at four samples."""
    samples = step_samples(generator, 4)
    batch = Batch(8 * PROBES)
    return objective_gradient(HESSIAN_PENALTY, generator, random_rows(generator), samples, EPSILON, batch=batch)[
        1
    ].double()


def matrices(say: Say, **_: Any) -> Figures:
    """What one latent of a joint diagonalization takes, by precision, and how far its matrices are from float64's."""
    say("| network | objective | precision | s per latent | error of the matrices |\n|---|---|---|---|---|")
    figures: Figures = {}
    for name in ("biggan-deep-128", "brock-128"):
        with random_network(name) as generator:
            for objective in ("hessian", "orojar"):
                for precision in PRECISIONS:
                    row = figures[f"{name}, {objective}, {precision}"] = _one_latent(generator, objective, precision)
                    say(f"| {name} | {objective} | {precision} | {row['seconds']:.3f} | {row['error']:.2g} |")
    return figures


def _one_latent(generator: FrozenGenerator, objective: str, precision: str) -> Figures:
    method, _ = find_method(objective, "joint-diagonalization", {})
    assert isinstance(method, JointDiagonalization)
    common: dict[str, Any] = {"classes": [0], "layers": "all", "directions": None, "seed": 0}
    settings: Any = run_settings(generator, method, objective, **common, precision=precision)
    _, facts = method.choose_precision(generator, settings)
    candidate, axes = in_precision(generator, precision), torch.eye(generator.z_dim, device=DEVICE)
    with arithmetic(precision):
        taken = median_seconds(lambda: method.measure(candidate, settings, axes, 0, method.matrices()), repeats=1)
    return {"seconds": taken, "error": facts.get("matrix_error", float("nan"))}


def kernels(say: Say, **_: Any) -> Figures:
    """The fused kernels, see `benchmarks.kernels`; and steps with and without them, see `benchmarks.kernels_step`."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "kernels"
        for module, arguments in (("kernels", ["--out", str(out)]), ("kernels_step", ["--rounds", "3"])):
            command = [sys.executable, "-m", f"benchmarks.{module}", "--device", DEVICE, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            say(done.stdout + done.stderr[-800:] * bool(done.returncode))
        made = out.with_name("kernels.json")
        return json.loads(made.read_text()) if made.exists() else {}


def kernel_times(say: Say, **_: Any) -> Figures:
    """Where the time of a step of BigGAN-deep-128 in float16 goes."""
    with random_network("biggan-deep-128") as generator:
        candidate, Q, samples = (
            in_precision(generator, "float16"),
            random_rows(generator),
            step_samples(generator, BATCH),
        )
        with arithmetic("float16"):
            gradient_at = ObjectiveGradient(HESSIAN_PENALTY, candidate, EPSILON, batch=Batch(_IMAGES))
            median_seconds(partial(gradient_at, Q, samples), repeats=2)
            with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as trace:
                gradient_at(Q, samples)
    events = [each for each in trace.key_averages() if each.device_type.name == "CUDA" and each.self_device_time_total]
    events.sort(key=lambda each: -each.self_device_time_total)
    total = sum(each.self_device_time_total for each in events)
    say(f"kernels take {total / 1000:.1f} ms\n\n| ms | launches | kernel |\n|---|---|---|")
    for each in events[:28]:
        say(f"| {each.self_device_time_total / 1000:.2f} | {each.count} | {each.key[:110]} |")
    return {each.key: [each.self_device_time_total / 1000, each.count] for each in events}


def diagonalize(say: Say, *, networks: list[str], latents: int, **_: Any) -> Figures:
    """A joint diagonalization of each BigGAN-deep of 128 and 256 pixels as a command, everything included."""
    figures: Figures = {}
    for name in ("biggan-deep-128", "biggan-deep-256"):
        if name in networks:
            with generator_folder(f"random:{name}") as folder, tempfile.TemporaryDirectory() as place:
                command = ["discover", "--generator", folder, "--class", "207", "--device", DEVICE]
                begin = time.monotonic()
                done = subprocess.run(
                    [
                        sys.executable,
                        "-m",
                        "biggan_discovery",
                        *command,
                        "--samples",
                        str(latents),
                        "--out",
                        f"{place}/run",
                    ],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                figures[name] = {"seconds": time.monotonic() - begin, "latents": latents, "rc": done.returncode}
            say(f"{name}, {latents} latents, all 128 directions, judged: {figures[name]['seconds']:.1f} s")
            say("\n".join((done.stderr + done.stdout).strip().splitlines()[-14:]))
    return figures


def films(say: Say, **_: Any) -> Figures:
    """Images per second of the generator alone, and a whole film."""
    figures: Figures = {}
    for name in ("biggan-deep-128", "biggan-deep-256"):
        with random_network(name) as generator:
            z, y = torch.randn(2048, generator.z_dim), torch.zeros(2048, dtype=torch.int64)
            list(generate(generator, z[:512], y[:512]))
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for images in generate(generator, z, y):
                images.sum().item()
            rate, at_once = len(z) / (time.perf_counter() - begin), forward_batch(generator).size
        figures[name] = {"images/s": rate, "at once": at_once}
        say(f"{name}: {rate:.0f} images/s, {at_once} at once")
    with generator_folder("random:biggan-deep-256") as folder, tempfile.TemporaryDirectory() as place:
        run, out = Path(place) / "random", Path(place) / "film.mp4"
        error = run_command(*f"discover --generator {folder} --method random --no-judge --out {run} --quiet".split())
        shown = f"visualize {run / 'directions.safetensors'} --only 0-5 --samples 4 --frames 60 --out {out} --quiet"
        begin = time.monotonic()
        error = error or run_command(*shown.split())
        figures["film"] = {"seconds": time.monotonic() - begin, "error": error}
    say(f"film of 60 frames of 24 pictures of 256 pixels: {figures['film']['seconds']:.1f} s in all {error}")
    return figures


def startup(say: Say, **_: Any) -> Figures:
    """Seconds before anything happens; see `benchmarks.startup`."""
    return measure_startup(say, DEVICE, repeats=1)
