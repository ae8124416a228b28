"""Fit a bundled generator to a scene by regression."""

from __future__ import annotations

import logging
import math
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import safetensors.torch
import torch
from pytorch_pretrained_biggan import BigGAN
from torch import Tensor

from biggan_discovery.files import atomic_path, atomic_write
from biggan_discovery.progress import Progress
from biggan_discovery.scenes.network import Z_DIM, images, measure, new_network, restore
from biggan_discovery.scenes.scene import NUM_FACTORS, Scene

_log = logging.getLogger(__name__)

_PATH = 5.0  # A search moves up to this far from a latent, so the network is fitted there too.
_CHUNK = 500
_EMA = 0.998


def draw(scene: Scene, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Coordinates u (count, 8) and classes y (count,): 60 % standard normal, the others shifted by a step.

    A step is U(-5, 5) along a factor or along a random direction of z, as in a search.
    """
    u = torch.randn(count, NUM_FACTORS, generator=generator)
    axis = torch.eye(NUM_FACTORS)[torch.randint(NUM_FACTORS, (count,), generator=generator)]
    anywhere = torch.nn.functional.normalize(torch.randn(count, Z_DIM, generator=generator))[:, :NUM_FACTORS]
    kind = torch.rand(count, 1, generator=generator)
    step = torch.where(kind < 0.2, axis, anywhere) * (kind < 0.4)
    u += step * torch.empty(count, 1).uniform_(-_PATH, _PATH, generator=generator)
    return u, torch.randint(len(scene.classes), (count,), generator=generator)


def _render_chunk(scene: Scene, folder: Path, index: int, seed: int) -> None:
    path = folder / f"{index:04d}.safetensors"
    if path.exists():
        return
    torch.set_num_threads(1)  # Many small operations scale over processes, not threads.
    u, y = draw(scene, _CHUNK, torch.Generator().manual_seed(seed * 100_000 + index))
    content = {"u": u, "y": y, "images": ((scene.images(u, y) + 1) * 127.5).round().byte()}
    atomic_write(path, safetensors.torch.save(content))


def load_renders(scene: Scene, folder: Path, count: int, seed: int) -> dict[str, Tensor]:
    """Render scenes, reusing those in a folder: u (count, 8), y (count,), images (count, 3, 64, 64) uint8."""
    chunks = math.ceil(count / _CHUNK)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=context) as pool, Progress(chunks * _CHUNK, "rendering", unit="scene") as shown:
        for job in as_completed([pool.submit(_render_chunk, scene, folder, index, seed) for index in range(chunks)]):
            job.result()
            shown.advance(_CHUNK)
    parts = [safetensors.torch.load_file(folder / f"{index:04d}.safetensors") for index in range(chunks)]
    return {key: torch.cat([part[key] for part in parts])[:count] for key in parts[0]}


def _loss(shown: Tensor, target: Tensor) -> Tensor:
    """L1 and L2 loss of the image, and L1 loss of differences between neighbouring pixels, for sharp edges."""
    error = shown - target
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + 8 * error.square().mean() + 2 * edges


def _learning_rate(step: int, steps: int, lr: float) -> float:
    warm = min(1.0, (step + 1) / 300)
    return lr * warm * max(0.5 * (1 + math.cos(math.pi * step / steps)), 0.002)


def psnr(network: BigGAN, u: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio (N,) in dB of each image."""
    with torch.no_grad():
        shown = torch.cat([images(network, *part) for part in zip(u.split(50), y.split(50), strict=True)])
    return -10 * ((shown - target).square().mean(dim=(1, 2, 3)) / 4).log10()


def fit(
    scene: Scene, state: Path, *, steps: int, renders: int, batch: int, lr: float, seed: int, save_every: int
) -> None:
    """Fit a network to a scene, resuming from its checkpoint if there is one.

    Args:
        scene: scene to fit to.
        state: checkpoint with weights, averaged weights, optimizer and step; replaced every `save_every` steps.
        steps: total steps of Adam, with a cosine learning-rate schedule.
        renders: number of rendered scenes.
        batch: images per step.
        lr: maximum learning rate.
        seed: random seed of weights and scenes.
        save_every: steps between checkpoints and reports.
    """
    torch.manual_seed(seed)
    network = new_network(scene)
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.99), fused=True)
    generator = torch.Generator().manual_seed(seed + 1)
    first = 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        restore(network, saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        generator.set_state(saved["generator"])
        first, averaged = saved["step"], saved["averaged"]
    else:
        u, y = draw(scene, 512, generator)
        with torch.no_grad():
            images(network, u, y, visit=measure(-1))
        averaged = {name: value.clone() for name, value in network.state_dict().items()}

    held_u = torch.randn(250, NUM_FACTORS, generator=torch.Generator().manual_seed(99))
    held_y = torch.arange(250) % len(scene.classes)
    held = scene.images(held_u, held_y)
    judge = new_network(scene)
    data = load_renders(scene, state.parent / "renders", renders, seed)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def objective(u: Tensor, y: Tensor, target: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            shown = images(network, u, y)
        return _loss(shown.float(), target)

    objective = torch.compile(objective)
    start, running = time.monotonic(), 0.0
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, steps, lr)
        chosen = torch.randint(renders, (batch,), generator=generator)
        loss = objective(data["u"][chosen], data["y"][chosen], data["images"][chosen].float() / 127.5 - 1)
        optimizer.zero_grad()
        loss.backward()
        assert network.embeddings.weight.grad is not None
        network.embeddings.weight.grad[-1] = 0  # The constant coordinate.
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        keep = min(_EMA, (step + 1) / (step + 20))
        for name, value in network.state_dict().items():
            averaged[name].lerp_(value, 1 - keep)
        running += 0.02 * (loss.item() - running)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            restore(judge, averaged)
            quality = psnr(judge, held_u, held_y, held).mean().item()
            seconds = (time.monotonic() - start) / (step + 1 - first)
            figures = (step + 1, steps, running, quality, seconds)
            _log.info("step %d/%d  loss %.4f  PSNR %.2f dB  %.3f s/step", *figures)
            content = {
                "network": network.state_dict(),
                "averaged": averaged,
                "optimizer": optimizer.state_dict(),
                "generator": generator.get_state(),
                "step": step + 1,
            }
            with atomic_path(state) as temporary:
                torch.save(content, temporary)
