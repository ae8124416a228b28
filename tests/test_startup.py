"""What commands import: modules that are slow to import, and not needed, stay out of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from biggan_discovery import Directions
from tests.tiny import save_tiny_biggan

SLOW = {
    "PIL",
    "boto3",
    "imageio",
    "matplotlib",
    "pytorch_pretrained_biggan",
    "scipy.optimize",
    "scipy.stats",
    "sklearn",
    "tensorboard",
    "torch",
    "torch._dynamo",
    "triton",
}
"""Modules that take at least a twentieth of a second."""

PICTURES = {"PIL", "imageio"}

PROGRAM = """
import sys
from biggan_discovery.cli import cli
slow, *arguments = sys.argv[1:]
cli.main(arguments, standalone_mode=False)
print("loaded", *(name for name in slow.split(",") if name in sys.modules))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("startup")
    generator = save_tiny_biggan(folder / "tiny")
    A = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    Directions(A, metadata={"generator": str(generator)}).save(folder / "found.safetensors")
    return folder


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("--help", set()),
        ("discover --help", set()),
        ("evaluate --help", set()),
        ("explore --help", set()),
        ("export-onnx --help", set()),
        ("train --help", set()),
        ("generators", set()),
        ("classes", set()),
        ("export found.safetensors found.npy", {"torch"}),
        ("name found.safetensors", {"torch"}),
        ("import found.csv --out imported.safetensors", {"torch"}),
        ("discover --generator tiny --method random --no-judge --out random", {"torch"}),
        ("discover --generator tiny --samples 1 --sketches 1 --directions 2 --no-judge --out joint", {"torch"}),
        (
            "discover --generator tiny --solver adam --steps 1 --batch 1 --precision float32 --no-judge --out adam",
            {"torch"},
        ),
        ("visualize found.safetensors --only 0 --samples 1 --out strip.png", {"torch", *PICTURES}),
        ("edit found.safetensors --set 0=2 --out edited.png", {"torch", *PICTURES}),
        ("evaluate found.safetensors --metrics activeness --out report", {"torch", "matplotlib", *PICTURES}),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_command_imports_what_it_needs_only(folder: Path, command: str, needed: set[str]) -> None:
    (folder / "found.csv").write_text("1,0,0\n0,1,0\n")
    arguments = [sys.executable, "-c", PROGRAM, ",".join(sorted(SLOW)), *command.split()]
    clone = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(arguments, cwd=folder, env=os.environ | clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    _, *loaded = done.stdout.splitlines()[-1].split()
    assert set(loaded) == needed
