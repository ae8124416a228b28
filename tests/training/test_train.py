"""Runs: they learn, resume bit for bit, and say what is wrong."""

from __future__ import annotations

import csv
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from biggan_discovery import load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.runs.folder import State, read_saved
from biggan_discovery.training import export, loop, train
from biggan_discovery.training.architecture import Architecture
from biggan_discovery.training.discriminator import Discriminator
from biggan_discovery.training.generator import Generator
from tests.training.shapes import draw_shapes
from tests.training.workers import start

TINY: dict[str, Any] = {"width": 2, "z_dim": 8, "shared_dim": 4, "batch": 4, "quiet": True, "device": "cpu"}


pytestmark = pytest.mark.usefixtures("few_statistics")


def losses(folder: Path) -> list[list[str]]:
    return list(csv.reader((folder / "history.csv").read_text().splitlines()))


def assert_same(one: Path, other: Path) -> None:
    """All that two runs leave is equal, bit for bit."""
    for name in ("history.csv", "samples.png"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    states = [read_saved(folder) for folder in (one, other)]
    weights = [torch.load(folder / "G_ema.pth", weights_only=True) for folder in (one, other)]
    for first, second in ([state.tensors for state in states if state is not None], weights):
        assert first.keys() == second.keys()
        assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def at_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Do something before a step of the next run, counted from 1; every step is a tick."""
    calls: list[int] = []
    draw = loop.Batches.draw

    def drawn(batches: loop.Batches, seed: int) -> None:
        calls.append(seed)
        if len(calls) == number:
            act()
        draw(batches, seed)

    monkeypatch.setattr(loop.Batches, "draw", drawn)
    monkeypatch.setattr(loop, "_MOST_PER_TICK", 1)


def test_it_resumes_bit_for_bit_after_a_kill(shapes: Path, tmp_path: Path) -> None:
    settings = {**TINY, "steps": 12}
    killed = start(shapes, tmp_path / "killed", settings, kill_at=8)
    train(shapes, out=tmp_path / "whole", **settings)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    saved = read_saved(tmp_path / "killed")
    assert saved is not None
    assert saved.step == 7
    train(shapes, out=tmp_path / "killed", **settings)
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_processes_share_a_run(shapes: Path, tmp_path: Path) -> None:
    """All hold the same weights, bit for bit, though each has seen images of its own."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    torchrun = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    settings, dumps = {**TINY, "steps": 3}, [tmp_path / f"{rank}.pt" for rank in range(2)]
    started = [
        start(shapes, tmp_path / "run", settings, environment={**torchrun, "RANK": str(rank)}, dump=dumps[rank])
        for rank in range(2)
    ]
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    one, other = (torch.load(dump, weights_only=True) for dump in dumps)
    saved = read_saved(tmp_path / "run")
    assert saved is not None
    assert saved.finished
    assert one.keys() == other.keys() == saved.tensors.keys() - {"history"}
    assert all(
        torch.equal(tensor, other[name]) and torch.equal(tensor, saved.tensors[name]) for name, tensor in one.items()
    )
    with pytest.raises(UserError, match="with processes 2, not 1"):
        train(shapes, out=tmp_path / "run", **settings)
    train(shapes, out=tmp_path / "alone", **settings)
    alone = read_saved(tmp_path / "alone")
    assert alone is not None
    assert not torch.equal(alone.tensors["D.linear.weight"], one["D.linear.weight"])


def test_a_signal_saves_and_the_run_resumes(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**TINY, "steps": 6, "augment": "none", "d_steps": 1, "flip": False}
    train(shapes, out=tmp_path / "whole", **settings)
    with monkeypatch.context() as patched:
        at_step(patched, 3, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit) as ended:
            train(shapes, out=tmp_path / "stopped", **settings)
    assert ended.value.code == 128 + signal.SIGTERM
    assert len(losses(tmp_path / "stopped")) == 1 + 3
    assert load_generator(str(tmp_path / "stopped")).num_classes == 4
    with pytest.raises(UserError, match=r"with d_steps 1, not 2"):
        train(shapes, out=tmp_path / "stopped", **{**settings, "d_steps": 2})
    train(shapes, out=tmp_path / "stopped", **settings)
    assert_same(tmp_path / "whole", tmp_path / "stopped")
    before = (tmp_path / "stopped" / "state.safetensors").stat().st_mtime_ns
    train(shapes, out=tmp_path / "stopped", **settings)
    assert (tmp_path / "stopped" / "state.safetensors").stat().st_mtime_ns == before


def test_it_ends_in_time(shapes: Path, tmp_path: Path) -> None:
    train(shapes, out=tmp_path / "run", minutes=0.01, **TINY)
    rows = losses(tmp_path / "run")
    assert rows[0][0] == "step"
    saved = read_saved(tmp_path / "run")
    assert saved is not None
    assert saved.finished
    assert saved.step == len(rows) - 1 >= 1
    assert 0.6 <= saved.facts["seconds"] < 20


def test_divergence_is_said(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training diverged: \w+ is not finite at step \d+; lower --lr-g"):
        train(shapes, out=tmp_path / "run", steps=200, lr_g=1e30, lr_d=1e30, **TINY)


def test_a_run_starts_from_another(shapes: Path, tmp_path: Path) -> None:
    train(shapes, out=tmp_path / "first", steps=2, **TINY)
    few = {"batch": 4, "quiet": True, "device": "cpu"}
    train(shapes, out=tmp_path / "second", init=tmp_path / "first", steps=1, lr_g=1e-12, lr_d=1e-12, ema=0.0, **few)
    first, second = (read_saved(tmp_path / name) for name in ("first", "second"))
    assert first is not None
    assert second is not None
    assert second.settings["width"] == 2
    weights = [name for name in first.tensors if name.startswith(("G.", "D.")) and name.endswith("weight")]
    for name in weights:
        if ".exp_avg" not in name:
            torch.testing.assert_close(first.tensors[name], second.tensors[name], rtol=0, atol=1e-9)
    with pytest.raises(UserError, match=r"G\.linear\.weight has shape"):
        train(shapes, out=tmp_path / "third", init=tmp_path / "first", steps=1, width=3, **few)
    with pytest.raises(UserError, match=r"is neither a folder of `train`"):
        train(shapes, out=tmp_path / "third", init=tmp_path, steps=1, **few)


def test_a_run_starts_from_a_checkpoint_of_biggan_pytorch(shapes: Path, tmp_path: Path) -> None:
    architecture, few = Architecture(32, 2, 8, 4, 4, chunks=True, attention=0), {"quiet": True, "device": "cpu"}
    G, averaged, D = Generator(architecture), Generator(architecture), Discriminator(architecture)
    folder, still = tmp_path / "published", {"lr_g": 1e-12, "lr_d": 1e-12, "ema": 0.9, "batch": 4}
    folder.mkdir()
    torch.save(averaged.state_dict(), folder / "G_ema.pth")
    with pytest.raises(UserError, match=r"D\.pth is missing"):
        train(shapes, out=tmp_path / "run", init=folder, steps=1, **few)
    torch.save(G.state_dict(), folder / "G.pth")
    torch.save({"state_dict": {f"module.{name}": value for name, value in D.state_dict().items()}}, folder / "D.pth")
    train(shapes, out=tmp_path / "run", init=folder, steps=1, **still, **few)
    saved = read_saved(tmp_path / "run")
    assert saved is not None
    assert (saved.settings["width"], saved.settings["z_dim"], saved.settings["chunks"]) == (2, 8, True)
    for name, network in (("G", G), ("D", D)):
        for key, value in network.named_parameters():
            torch.testing.assert_close(saved.tensors[f"{name}.{key}"], value.detach(), rtol=0, atol=1e-9)
    value = averaged.linear.weight.lerp(G.linear.weight, 1 - still["ema"]).detach()
    torch.testing.assert_close(saved.tensors["G_ema.linear.weight"], value, rtol=0, atol=1e-7)
    torch.save({**D.state_dict(), "linear.weight": torch.zeros(1, 9)}, folder / "D.pth")
    with pytest.raises(UserError, match=r"D\.pth does not match the generator beside it: linear\.weight"):
        train(shapes, out=tmp_path / "other", init=folder, steps=1, **few)


def test_biggan_deep(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_BATCH", 4)
    few = {"batch": 4, "quiet": True, "device": "cpu", "d_steps": 1}
    train(shapes, out=tmp_path / "deep", arch="biggan-deep", width=4, z_dim=8, attention=8, steps=2, **few)
    generator = load_generator(str(tmp_path / "deep"), truncation=0.3)
    assert (generator.z_dim, generator.num_layers, generator.class_names) == (8, 7, ("0", "1", "2", "3"))
    weights = torch.load(tmp_path / "deep" / "pytorch_model.bin", weights_only=True)
    means = weights["generator.layers.0.bn_0.running_means"]
    assert len(means.unique(dim=0)) == 51
    train(shapes, out=tmp_path / "tuned", init=tmp_path / "deep", steps=1, **few)
    assert load_generator(str(tmp_path / "tuned")).num_layers == 7
    with pytest.raises(UserError, match="it has no chunks"):
        train(shapes, out=tmp_path / "other", arch="biggan-deep", chunks=True, z_dim=8, steps=1, **few)


def test_a_discriminator_that_has_won_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    warner = loop._Warner()
    state = State({}, {}, loop.COLUMNS, 2000)
    for loss in (*[2.0] * 400, *[0.01] * 1200):
        state.history.append([loss, 1.0, -1.0, 1.0, 0.0])
        warner(state)
        if len(state.history) == 800:
            assert not caplog.messages
    [message] = caplog.messages
    assert "the discriminator has won: its loss was 0.0" in message


def test_tensorboard_gets_losses_and_samples(shapes: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(shapes, out=tmp_path / "run", steps=2, tracker="tensorboard", **TINY)
    events = EventAccumulator(str(tmp_path / "run"), {"scalars": 0, "images": 0, "tensors": 0}).Reload()
    assert set(loop.COLUMNS) <= set(events.Tags()["scalars"])
    assert events.Scalars("loss_d")[-1].step == 2
    assert [image.step for image in events.Images("samples")] == [2]


def classifier() -> torch.nn.Module:
    """A network that tells the shapes of real images apart."""
    x, y = draw_shapes(1024, seed=5)
    images, labels = torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(y)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.AvgPool2d(2),
            torch.nn.Conv2d(3, 16, 3, 2, 1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 32, 3, 2, 1),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(512, 4),
        )
        optimizer = torch.optim.Adam(network.parameters(), 2e-3)
        for part in torch.randint(len(images), (120, 64)):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images[part]), labels[part]).backward()
            optimizer.step()
    return network.requires_grad_(False)


@pytest.mark.long
def test_it_learns(tmp_path: Path) -> None:
    """After half a minute on one core, a classifier of real images recognizes what was asked for."""
    x, y = draw_shapes(512)
    np.savez(tmp_path / "shapes.npz", x=x, y=y)
    settings = {"width": 4, "z_dim": 16, "shared_dim": 16, "batch": 16, "d_steps": 1, "lr_g": 1e-3, "lr_d": 1e-3}
    run = {"out": tmp_path / "run", "seed": 1, "precision": "float32", "device": "cpu", "quiet": True}
    train(tmp_path / "shapes.npz", steps=250, ema=0.98, augment="none", flip=False, **settings, **run)

    judge = classifier()
    held_out, labels = draw_shapes(400, seed=9)
    real = judge(torch.from_numpy(held_out).permute(0, 3, 1, 2) / 127.5 - 1).argmax(dim=1)
    assert (real == torch.from_numpy(labels)).float().mean() > 0.9
    generator = load_generator(str(tmp_path / "run"))
    z, y = torch.randn(400, 16, generator=torch.Generator().manual_seed(1)), torch.arange(400) % 4
    images = generator(z, y)
    assert (judge(images).argmax(dim=1) == y).float().mean() > 0.5  # chance: 0.25
    assert images.view(100, 4, -1).std(dim=0).mean() > 0.1  # not one image per class

    loss_d, score_real, score_fake = np.array(losses(tmp_path / "run")[1:], float)[:, 1:4].T
    assert loss_d[:25].mean() > 1.8  # It begins by guessing: 2.
    assert 0.2 < loss_d[-50:].mean() < 1.9
    assert score_real[-50:].mean() > 0 > score_fake[-50:].mean()
