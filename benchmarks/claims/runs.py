"""The networks of the comparison: for every seed a base, and what becomes of it with each regularizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.claims.weights import balanced_weight
from biggan_discovery.runs.folder import read_saved
from biggan_discovery.scenes.table import SCENES
from biggan_discovery.training import train
from biggan_discovery.training.regularizers.table import NONE, REGULARIZERS
from biggan_discovery.training.rendered import RENDERED

BASE = "base"
VARIANTS = (NONE, *REGULARIZERS)
"""What every base is fine-tuned with."""

Z_DIM = 16


@dataclass(frozen=True)
class Size:
    """How large the comparison is.

    Attributes:
        width: of the networks.
        batch: images per step.
        base: steps of the base.
        tuning: steps of each fine-tuning.
        renders: images to learn from.
        judging: images that judges learn from; the last tenth of them is held out.
        epochs: of the judges.
        codes: latents whose factors are read off images.
        preset: sizes of the metrics.
        replaced: sizes that replace those of the preset.
    """

    width: int
    batch: int
    base: int
    tuning: int
    renders: int
    judging: int
    epochs: int
    codes: int
    preset: str
    replaced: dict[str, Any]


SIZES = {
    "gpu": Size(32, 64, 8000, 3000, 20_000, 20_000, 8, 8000, "full", {}),
    "cpu": Size(8, 32, 4000, 400, 10_000, 6000, 6, 1600, "quick", {}),
    "small": Size(4, 16, 700, 200, 4000, 4000, 6, 1600, "quick", {}),
    "tiny": Size(
        2,
        4,
        3,
        2,
        24,
        40,
        1,
        1600,
        "quick",
        {"samples": 2, "probes": 2, "frames": 4, "pairs": 16, "epochs": 1, "side": 16},
    ),
}
"""cpu takes hours on two cores and small about an hour; tiny is for tests."""


def base_of(scene: str, size: Size, seed: int, folder: Path, device: str, *, quiet: bool) -> Path:
    """Train a base, or go on with it; its z has 16 coordinates that reach the first layer alone."""
    settings = {
        "resolution": 32,
        "width": size.width,
        "z_dim": Z_DIM,
        "chunks": False,
        "shared_dim": 16,
        "batch": size.batch,
        "d_steps": 1,
        "augment": "colour,translation",
        "renders": size.renders,
    }
    out = folder / f"{BASE}-{seed}"
    return _trained(scene, out, device, quiet, seed=seed, steps=size.base, decay=0.0, **settings)


def tuned(scene: str, size: Size, seed: int, name: str, folder: Path, device: str, *, quiet: bool) -> Path:
    """Fine-tune the base of a seed, or go on with it: the same images and latents for all regularizers."""
    base = folder / f"{BASE}-{seed}"
    saved = read_saved(base)
    assert saved is not None
    kept = ("batch", "d_steps", "augment", "renders")
    settings = {key: saved.settings[key] for key in kept} | {"steps": size.tuning, "seed": seed, "init": base}
    if name != NONE:
        classes = len(SCENES[RENDERED[scene]].classes)
        settings |= {"regularizer": name, "weight": balanced_weight(saved, name, classes)}
    return _trained(scene, folder / f"{name}-{seed}", device, quiet, **settings)


def seconds_of(run: Path) -> float:
    """Seconds of training."""
    saved = read_saved(run)
    assert saved is not None
    return float(saved.facts["seconds"])


def _trained(scene: str, out: Path, device: str, quiet: bool, **settings: Any) -> Path:
    return train(scene, out=out, device=device, quiet=quiet, save_every=1.0, **settings)
