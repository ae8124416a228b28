"""The figures of one generator: its axes, its dead axes, its penalties, and the quality of its images."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from benchmarks.claims.runs import Size
from biggan_discovery import load_generator, spectral_penalty
from biggan_discovery.evaluation.metric import View
from biggan_discovery.evaluation.metrics.dci import dci, mutual_information_gap
from biggan_discovery.evaluation.metrics.diagonalness import diagonalness
from biggan_discovery.evaluation.metrics.factors import codes_and_predictions
from biggan_discovery.evaluation.suite import Judged, Suite
from biggan_discovery.evaluation.table import with_needed
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.factor_predictor import FactorPredictor, load_factor_predictor
from biggan_discovery.generators.layer_range import ALL, parse_layers
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw_latents
from biggan_discovery.progress import Progress
from biggan_discovery.scenes.predictor import save_factor_predictor, train_factor_predictor
from biggan_discovery.scenes.scene import NUM_FACTORS, RESOLUTION, Scene
from biggan_discovery.training.rendered import render

_SEED = 1000  # of judging, and of the renders that judges learn from: no generator has seen them
_METRICS = ("activeness", "path-length", "hessian", "orojar", "vp")
_PATH = 2.0  # standard deviations of z
_EPSILON = 0.1
_LATENTS = 32  # of the spectral penalty
_HELD_OUT = 10  # of the renders, one in so many


class Judges(NamedTuple):
    """Networks that read factors and classes off images, and what they reach on renders they have not seen.

    Attributes:
        network: to factors, then a score of each class.
        scene: the renderer.
        factors_r2: mean R² over factors.
        accuracy: share of right classes.
        pixels: RMS distance of renders from renders of the factors and the class that are read off them.
    """

    network: FactorPredictor
    scene: Scene
    factors_r2: float
    accuracy: float
    pixels: float

    def __call__(self, images: Tensor) -> Tensor:
        """Factors (N, 8) and scores of classes, of images (N, 3, 32, 32) in [-1, 1]."""
        return self.network.to(images.device)(_enlarged(images))

    def factors(self, images: Tensor) -> Tensor:
        """Factors (N, 8) in (0, 1)."""
        return self(images)[:, :NUM_FACTORS]


def judges(scene: Scene, size: Size, folder: Path, *, quiet: bool) -> Judges:
    """Train the judges, or read them."""
    pixels, labels = render(scene.checkpoint, size.judging, RESOLUTION // 2, _SEED, folder, quiet=quiet)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    path = folder / f"renders-{scene.checkpoint}-{size.judging}-{RESOLUTION // 2}-{_SEED}.npz"
    factors = torch.special.ndtr(torch.from_numpy(_factors(path)))
    y = torch.from_numpy(labels)
    targets = torch.cat((factors, F.one_hot(y, len(scene.classes)).float()), dim=1)
    kept, held = folder / "judges.safetensors", len(y) // _HELD_OUT
    if not kept.exists():
        with Progress(size.epochs * (len(y) - held), "training the judges", unit="image", quiet=quiet) as progress:
            large = images[:-held].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            network = train_factor_predictor(large, targets[:-held], epochs=size.epochs, progress=progress)
        save_factor_predictor(network, kept)
    found = Judges(load_factor_predictor(kept, targets.shape[1]), scene, 0.0, 0.0, 0.0)
    shown, truth = images[-held:].float() / 127.5 - 1, targets[-held:, :NUM_FACTORS]
    read = found(shown)
    explained = 1 - (read[:, :NUM_FACTORS] - truth).square().mean(dim=0) / truth.var(dim=0, unbiased=False)
    right = (read[:, NUM_FACTORS:].argmax(dim=1) == y[-held:]).float().mean()
    return found._replace(
        factors_r2=explained.mean().item(), accuracy=right.item(), pixels=_distance(found, shown, read)
    )


def figures(run: Path, judge: Judges, size: Size, device: str, *, quiet: bool) -> dict[str, Any]:
    """The figures of the generator of a run, measured or read from its folder."""
    kept = run / "claims.json"
    if not kept.exists():
        with arithmetic("float32"):
            measured = _measure(load_generator(str(run), device=device), judge, size, quiet=quiet)
        atomic_write(kept, json.dumps(measured))
    return json.loads(kept.read_text())


def _measure(generator: FrozenGenerator, judge: Judges, size: Size, *, quiet: bool) -> dict[str, Any]:
    axes = torch.eye(generator.z_dim)
    every: list[Class] = list(range(generator.num_classes))
    layers = parse_layers(ALL, generator.num_layers)
    judged = Judged(generator.name, View(generator, axes, layers, every, _PATH, _EPSILON, _SEED))
    Suite(with_needed(_METRICS), size.preset, size.replaced).measure([judged], quiet=quiet)
    codes, read = codes_and_predictions(generator, axes, judge.factors, samples=size.codes, seed=_SEED)
    scores = dci(codes, read)
    hessians = diagonalness(generator, axes, samples=size.replaced.get("samples", 8), seed=_SEED)
    return {
        "disentanglement": scores.disentanglement.mean,
        "completeness": scores.completeness.mean,
        "informativeness": scores.informativeness.mean,
        "gap": mutual_information_gap(codes, read).mean,
        **{key: each.mean for key, each in judged.figures.items()},
        "path length": statistics.mean(each.mean for each in judged.of_directions["path length"]),
        "spectral": _spectral(generator),
        **_quality(generator, judge, size),
        "heat map": hessians.magnitudes.tolist(),
    }


def _spectral(generator: FrozenGenerator) -> float:
    """The spectral penalty of the eight leading singular vectors, by iterations that converge."""
    z, y = draw_latents(generator, None, count=_LATENTS, seed=_SEED, stream=Stream.HELD_OUT)
    source = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        found = spectral_penalty(lambda z: generator(z, y), z, k=NUM_FACTORS, iterations=30, generator=source)
    assert isinstance(found, Tensor)
    return found.item()


@torch.no_grad()
def _quality(generator: FrozenGenerator, judge: Judges, size: Size) -> dict[str, float]:
    """How many images show their class, and how far they are from renders of what is read off them."""
    z, y = draw_latents(generator, None, count=size.codes // 4, seed=_SEED, stream=Stream.RESPONSE)
    images = torch.cat([generator(*part) for part in zip(z.split(64), y.split(64), strict=True)])
    read = judge(images)
    right = (read[:, NUM_FACTORS:].argmax(dim=1) == y).float().mean()
    return {"accuracy": right.item(), "pixels": _distance(judge, images.cpu(), read.cpu())}


def _distance(judge: Judges, images: Tensor, read: Tensor) -> float:
    """RMS distance of images from renders of the factors and the classes that are read off them."""
    classes = read[:, NUM_FACTORS:].argmax(dim=1)
    renders = judge.scene.render(read[:, :NUM_FACTORS].clamp(0, 1), classes)
    return (F.avg_pool2d(renders, 2) - images).square().mean().sqrt().item()


def _enlarged(images: Tensor) -> Tensor:
    return images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def _factors(path: Path) -> Any:
    import numpy as np

    with np.load(path) as stored:
        return stored["u"]
