"""Whether every command gives on a GPU what it gives on the CPU."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.gpu.common import DEVICE, Figures, Say, run_command
from biggan_discovery import Directions

_FOUND = "directions/scenes-64.safetensors"
_COMMANDS = {
    "hessian, joint diagonalization": "discover --samples 3 --no-judge",
    "hessian, sketches": "discover --samples 3 --sketches 4 --no-judge",
    "orojar, joint diagonalization": "discover --method orojar --samples 3 --no-judge",
    "hessian, adam": "discover --solver adam --steps 3 --precision float32 --no-judge",
    "orojar, adam": "discover --method orojar --solver adam --steps 3 --precision float32 --no-judge",
    "hessian, adam, auto": "discover --solver adam --steps 3 --no-judge",
    "sefa": "discover --method sefa --no-judge",
    "ganspace": "discover --method ganspace --no-judge",
    "jacobian": "discover --method jacobian --samples 4 --no-judge",
    "strip": f"visualize {_FOUND} --only 0-3 --format png",
    "path size auto": f"visualize {_FOUND} --only 0-1 --path-size auto --format png",
    "curved": f"visualize {_FOUND} --curved --only 0-1 --path-size 1 --format png",
    "edit": f"edit {_FOUND} --set 0=2 --set 3=-1",
}
_FIGURES_SHOWN = 8


def correct(say: Say, **_: Any) -> Figures:
    """What every command gives on the GPU, against the CPU."""
    figures: Figures = {}
    say("| command | largest difference from the CPU |\n|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for number, (title, command) in enumerate(_COMMANDS.items()):
            cpu, gpu = (_result(command, device, Path(place) / f"{number}-{device}") for device in ("cpu", DEVICE))
            if isinstance(cpu, str) or isinstance(gpu, str):
                figures[title] = {"error": [each for each in (cpu, gpu) if isinstance(each, str)]}
                say(f"| {title} | {figures[title]['error'][0]} |")
                continue
            count = min(len(cpu), len(gpu))
            difference = (cpu[:count] - gpu[:count]).abs().max().item()
            cosine = torch.nn.functional.cosine_similarity(cpu[:count], gpu[:count], dim=-1).abs().min().item()
            figures[title] = {"difference": difference, "least cosine of a row": cosine}
            is_search = command.startswith("discover")
            unit = f"(least cosine of a direction {cosine:.6f})" if is_search else "of 255"
            say(f"| {title} | {difference:.2g} {unit} |")
        figures["evaluate"] = _evaluations(say, Path(place))
    return figures


def _result(command: str, device: str, out: Path) -> Tensor | str:
    """The directions that change something, or the picture (height, width, 3); or an error."""
    is_search = command.startswith("discover")
    out = out if is_search else out.with_suffix(".png")
    error = run_command(*command.split(), "--device", device, "--out", str(out), "--quiet")
    if error:
        return error
    if is_search:
        return _active(Directions.load(out / "directions.safetensors"))
    return torch.from_numpy(np.asarray(Image.open(out)).astype(np.float32))


def _active(found: Directions) -> Tensor:
    """The rows of Q that change anything, as far as the method tells; the others are arbitrary."""
    for key in ("strength", "singular_values", "eigenvalues", "explained_variance"):
        if key in found.metadata:
            values = found.metadata[key]
            return found.Q[[value > 1e-2 * max(values) for value in values]]
    return found.Q


def _evaluations(say: Say, place: Path) -> Figures:
    """The figures of `evaluate` on both devices that differ most, relative to their value."""
    reports = []
    for device in ("cpu", DEVICE):
        out = place / f"report-{device}"
        error = run_command("evaluate", _FOUND, "--device", device, "--out", str(out), "--quiet")
        if error:
            say(f"| evaluate | {error} |")
            return {"error": error}
        reports.append(json.loads((out / "report.json").read_text())["sets"][0]["figures"])
    worst: dict[str, float] = {}
    for key, each in reports[0].items():
        mean, other = each["mean"], reports[1][key]["mean"]
        if mean:
            worst[key] = abs(other - mean) / abs(mean)
    for key, value in sorted(worst.items(), key=lambda item: -item[1])[:_FIGURES_SHOWN]:
        say(f"| evaluate: {key} | {value:.2g} relative |")
    return worst
