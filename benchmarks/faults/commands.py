"""Commands of the tool that end within seconds, and processes that run them without loading torch each time."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["biggan_discovery.search", "biggan_discovery.rendering", "biggan_discovery.reports.evaluate", "matplotlib.figure"]
)
OUTPUT = "output.txt"
"""File in a command's folder that gets what it prints."""

_NETWORK = """
import torch

def G(z):
    x = torch.linspace(-2, 2, 16)
    planes = z[:, :3, None, None] * x[:, None] + z[:, 3:, None, None] * x
    return torch.tanh(planes + planes.square() / 4)

G.z_dim = 6
"""
_OWN = "--generator gan.py:G --quiet"
_SMALL = f"--samples 1 --frames 6 --only 0-1 {_OWN}"
_SEARCH = f"--save-every 1 --no-judge --out run {_OWN}"
COMMANDS = {
    "discover": f"discover --samples 12 {_SEARCH}",
    "discover-adam": f"discover --steps 40 --batch 2 --precision float32 {_SEARCH}",
    "discover-each": f"discover --method random --each {_SEARCH}",
    "visualize-gif": f"visualize d.safetensors {_SMALL} --out film.gif",
    "visualize-mp4": f"visualize d.safetensors {_SMALL} --out film.mp4",
    "visualize-webp": f"visualize d.safetensors {_SMALL} --out film.webp",
    "visualize-png": f"visualize d.safetensors --samples 1 --only 0-1 {_OWN} --out strip.png",
    "visualize-each": f"visualize d.safetensors {_SMALL} --per-direction --out films",
    "edit": f"edit d.safetensors --set 0=1 --frames 6 --save-latents z.npy {_OWN} --out edited.gif",
    "evaluate": f"evaluate d.safetensors --metrics activeness {_OWN} --out report",
    "compare": f"compare d.safetensors e.safetensors {_OWN} --out comparison",
    "name": "name d.safetensors 0 hue",
    "import": "import m.npy --out imported.safetensors",
    "export": "export d.safetensors exported.npz",
}


def prepare(folder: Path) -> None:
    """Create a folder with the inputs of `COMMANDS`."""
    import numpy as np
    import torch

    from biggan_discovery import Directions

    folder.mkdir(parents=True)
    (folder / "gan.py").write_text(_NETWORK)
    for seed, name in enumerate(("d", "e")):
        A = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))
        Directions(A, metadata={"generator": "gan.py:G"}).save(folder / f"{name}.safetensors")
    np.save(folder / "m.npy", np.eye(3, 6, dtype=np.float32))


def start(name: str, folder: Path) -> BaseProcess:
    """Start a command of `COMMANDS` in a folder."""
    process = _CONTEXT.Process(target=_run, args=(COMMANDS[name].split(), str(folder)))
    process.start()
    return process


def files(folder: Path) -> set[str]:
    """All files below a folder, but for the output of the command."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {OUTPUT}


def _run(arguments: list[str], folder: str) -> None:
    os.chdir(folder)
    output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.environ["TMPDIR"] = folder
    sys.argv = ["biggan-discovery", *arguments]
    importlib.import_module("biggan_discovery.cli").main()
