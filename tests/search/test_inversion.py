"""Inversion: known latents and classes come back, priors hold, and what cannot be had is said."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from biggan_discovery import FunctionGenerator, invert, load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.class_space import in_space
from biggan_discovery.rendering import load_latents, settings_of, to_uint8
from biggan_discovery.rendering.latent_files import load_samples
from biggan_discovery.search import inverting
from biggan_discovery.search.inversion import Fit, Point, pyramid
from tests.cli.console import Console
from tests.processes import Command, save_fast_biggan

Z_DIM, SIDE = 4, 8
SLOPES = torch.randn(Z_DIM, 3 * SIDE**2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 8

WEIGHTS = SLOPES * torch.tensor([[1.0], [0.5], [0.2], [0.05]])


def linear(**options: object) -> FunctionGenerator:
    """Images z·WEIGHTS, with one weak direction."""
    return FunctionGenerator(lambda z: (z @ WEIGHTS.to(z)).view(-1, 3, SIDE, SIDE), z_dim=Z_DIM, **options)  # pyright: ignore[reportArgumentType]


def coloured(colour: Callable[[Tensor], Tensor]) -> FunctionGenerator:
    return FunctionGenerator(lambda z: colour(z)[:, :3, None, None].expand(-1, -1, 8, 8), z_dim=4)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_fast_biggan(tmp_path_factory.mktemp("network") / "tiny")


@pytest.fixture
def generator(tiny: Path) -> FrozenGenerator:
    return load_generator(str(tiny), device="cpu")


def sample(generator: FrozenGenerator, label: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    uniform = torch.rand(1, generator.latent_size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    z = generator.latents(uniform)
    with torch.no_grad():
        return z, generator(z, torch.tensor([label]))[0]


def test_distances_of_pyramids_are_mean_squares_of_means() -> None:
    one, other = torch.randn(2, 1, 3, 16, 16, dtype=torch.float64)
    expected = [
        (one - other).view(3, 16 // side, side, 16 // side, side).mean(dim=(2, 4)).square().mean() for side in (1, 2, 4)
    ]
    found = (pyramid(one) - pyramid(other)).square().sum()
    torch.testing.assert_close(found, torch.stack(expected).mean())


def test_the_latent_of_an_image_comes_back() -> None:
    z = torch.tensor([[0.5, -1.0, 0.3, 0.8]])
    found = invert(linear(), linear()(z, torch.zeros(1, dtype=torch.int64))[0], quiet=True)
    torch.testing.assert_close(found.z[:, :3], z[:, :3], atol=0.02, rtol=0)  # The last one hardly shows.
    assert found.psnr > 50
    assert found.length == pytest.approx(found.z.square().mean().sqrt().item())
    assert found.reached
    assert found.lpips is None


def test_the_frame_changes_the_image_equally_along_each_row() -> None:
    generator = linear(truncation=0.5)
    fit = Fit(generator, torch.zeros(1, 3, SIDE, SIDE))
    frame = fit.frame([Point(torch.zeros(1, Z_DIM, dtype=torch.float64), torch.zeros(1, dtype=torch.int64), 1.0)])
    changes = pyramid(
        (0.5 * frame.float() @ (SLOPES * torch.tensor([[1.0], [0.5], [0.2], [0.05]])).float()).view(-1, 3, SIDE, SIDE)
    )
    gram = changes @ changes.T
    assert (gram - gram.diag().diag()).abs().max() < 1e-5 * gram.diag().max()
    strong = gram.diag().sort().values[1:]  # The floor keeps the weak direction short.
    assert strong.min() > 0.9 * strong.max()


@pytest.mark.parametrize(("prior", "limit"), [("uniform", 1.0), ("truncated", 2.0)])
def test_a_photo_out_of_reach_does_not_pull_latents_out_of_the_prior(
    prior: str, limit: float, caplog: pytest.LogCaptureFixture
) -> None:
    z = torch.tensor([[30.0, 0.0, 0.0, 0.0]])
    target = linear()(z, torch.zeros(1, dtype=torch.int64))[0].clamp(-1, 1)
    found = invert(linear(prior=prior, truncation=0.7), target, quiet=True)
    assert 0.5 * 0.7 * limit < found.z.abs().max() <= 0.7 * limit
    assert not found.reached
    assert f"the photo was not reached: PSNR {found.psnr:.1f} dB" in caplog.text


def classed() -> FunctionGenerator:
    """tanh of images that are linear in z and in class weights."""
    numbers = torch.Generator().manual_seed(1)
    table = torch.randn(5, 3 * SIDE**2, generator=numbers, dtype=torch.float64) / 2

    def images(z: Tensor, y: Tensor) -> Tensor:
        weights = y if y.is_floating_point() else torch.nn.functional.one_hot(y, 5)
        return torch.tanh(z @ SLOPES.to(z) + weights.to(z) @ table.to(z)).view(-1, 3, SIDE, SIDE)

    return FunctionGenerator(images, z_dim=Z_DIM, num_classes=5, mixes_classes=True)


def test_the_class_is_found() -> None:
    z, image = sample(classed(), 3)
    found = invert(classed(), image, steps=40, quiet=True)
    assert found.y.tolist() == [3]
    assert found.psnr > 45
    torch.testing.assert_close(found.z, z, atol=0.05, rtol=0)


def test_a_mix_is_found_as_weights_and_kept_when_given() -> None:
    z, _ = sample(classed(), 0)
    weights = torch.tensor([[0.5, 0.0, 0.0, 0.5, 0.0]])
    image = classed()(z, weights)[0]
    found = invert(classed(), image, steps=40, quiet=True)
    assert found.psnr > 45
    torch.testing.assert_close(found.y, weights, atol=0.05, rtol=0)
    given = invert(classed(), image, classes={0: 1, 3: 1}, steps=3, starts=1, quiet=True)
    assert torch.equal(given.y, weights)


def test_classes_that_cannot_be_mixed_are_tried() -> None:
    centres = torch.tensor([-0.5, 0.0, 0.5])

    def images(z: Tensor, y: Tensor) -> Tensor:
        return (0.1 * z.mean(dim=1) + centres[y])[:, None, None, None].expand(-1, 3, 8, 8)

    generator = FunctionGenerator(images, z_dim=2, num_classes=3)
    assert not generator.mixes_classes
    assert invert(generator, torch.full((3, 8, 8), 0.52), quiet=True).y.tolist() == [2]


def test_a_class_space_is_that_of_its_generator(generator: FrozenGenerator) -> None:
    _, image = sample(generator, 1)
    within, plain = (
        invert(each, image, steps=3, starts=1, quiet=True) for each in (in_space(generator, "both"), generator)
    )
    assert torch.equal(within.z, plain.z)


def test_more_steps_come_nearer_and_seeds_tell_runs_apart() -> None:
    _, image = sample(classed(), 2)
    options = {"classes": 2, "starts": 1, "quiet": True}
    few, again, many, other = (
        invert(classed(), image, steps=steps, seed=seed, **options).psnr  # pyright: ignore[reportArgumentType]
        for steps, seed in ((1, 0), (1, 0), (10, 0), (1, 1))
    )
    assert few == again < many
    assert few != other


def test_lpips_is_reported_and_weighs(monkeypatch: pytest.MonkeyPatch) -> None:
    def redness(one: Tensor, other: Tensor) -> Tensor:
        return (one[:, 0] - other[:, 0]).square().mean(dim=(1, 2))

    target = torch.zeros(3, SIDE, SIDE)
    target[0] = 0.5
    with pytest.raises(UserError, match="the package lpips"):
        invert(linear(), target, lpips=1.0, quiet=True)
    monkeypatch.setattr(inverting, "lpips_distance", lambda _: redness)
    without, with_it = (invert(linear(), target, lpips=weight, steps=30, quiet=True) for weight in (0.0, 100.0))
    assert without.lpips is not None
    assert with_it.lpips is not None
    assert with_it.lpips < without.lpips
    assert f"LPIPS {with_it.lpips:.3f}" in str(with_it)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: FunctionGenerator(lambda z: z.detach()[:, :3, None, None].expand(-1, -1, 8, 8), z_dim=4),
            "the images of",
        ),
        (lambda: linear(prior=lambda u: torch.special.ndtri(u.detach())), "the prior of"),
        (
            lambda: FunctionGenerator(lambda z: (0 * z[:, :3, None, None]).expand(-1, -1, 8, 8), z_dim=4),
            "do not change",
        ),
    ],
    ids=["detached", "prior", "constant"],
)
def test_what_cannot_be_fitted_is_said(make: Callable[[], FrozenGenerator], message: str) -> None:
    with pytest.raises(UserError, match=message):
        invert(make(), torch.zeros(3, 8, 8), quiet=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": [0, 1]}, "2 classes are given"),
        ({"starts": 0}, "starts is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"lpips": float("nan")}, "lpips is nan"),
        ({"out": "x.mp4"}, "a .png file"),
        ({"save_latents": "x.txt"}, "not as 'x.txt'"),
        ({"image": torch.zeros(3, 4, 4)}, r"of shape \(3, 4, 4\)"),
        ({"image": torch.full((3, 8, 8), torch.nan)}, "finite"),
    ],
)
def test_bad_values(generator: FrozenGenerator, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        invert(generator, **{"image": torch.zeros(3, 8, 8), "quiet": True, **options})


def photo(path: Path) -> Path:
    """An image of `linear` as the centre of a wide picture, four times as large."""
    small = Image.fromarray(to_uint8(sample(linear(), 0)[1][None])[0])
    wide = Image.new("RGB", (48, 32))
    wide.paste(small.resize((32, 32), Image.Resampling.BOX), (8, 0))
    wide.save(path)
    return path


def test_the_command_writes_latents_that_other_commands_take(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gan.py").write_text("from tests.search.test_inversion import classed\n\nG = classed()\n")
    Image.fromarray(to_uint8(sample(classed(), 1)[1][None])[0]).save("photo.png")
    options = ("--generator", "gan.py:G", "--quiet")
    printed = console("invert", "photo.png", *options, "--out", "i.png", "--scale", "1", "--steps", "40")
    assert printed.splitlines()[0] == "wrote i.npz (the latent and its class)"
    assert printed.splitlines()[1].startswith("wrote i.png (")
    z, y = load_samples("i.npz", Z_DIM)
    assert y is not None
    assert y.tolist() == [1]
    shown, sheet = to_uint8(classed()(z, y))[0], np.asarray(Image.open("i.png"))
    places = np.lib.stride_tricks.sliding_window_view(sheet, shown.shape)
    assert (places == shown).all(axis=(-1, -2, -3)).any()
    assert settings_of("i.png")["image"] == "photo.png"
    again = console("invert", "photo.png", *options, "--out", "i.png", "--class", "1", "--steps", "40")
    assert "replacing an older one" in again
    torch.save({"A": torch.eye(2, Z_DIM)}, "d.pt")
    console("import", "d.pt", "--out", "d.safetensors")
    console("edit", "d.safetensors", *options, "--set", "0=1", "--out", "e.png", "--latents", "i.npz")
    console(
        "walk", "gan.py:G", "--latents", "i.npz", "--latents", "i.npz", "--out", "w.webp", "--steps", "2", "--quiet"
    )


def test_the_crop_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    invert(linear(), photo(tmp_path / "photo.png"), starts=1, steps=3)
    assert "photo.png: its central 32 × 32 of 48 × 32 pixels, resized to 8 × 8" in caplog.text


def test_ctrl_c_keeps_the_best_so_far(tiny: Path, generator: FrozenGenerator, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / "noise.png")
    out = tmp_path / "i.png"
    arguments = ("invert", tmp_path / "noise.png", "--generator", tiny, "--out", out)
    running = Command(tmp_path, *arguments, "--steps", "1000000", "--starts", "100")
    for _ in range(600):
        time.sleep(0.1)
        if "choosing starts: 128/128" in (tmp_path / "err.txt").read_text():
            break
    running.send(signal.SIGINT)
    ended = running.wait(60)
    assert ended.code == 130
    assert f"stopped; the best so far is in {out.with_suffix('.npz')}" in ended.err
    assert load_latents(out.with_suffix(".npz"), generator.z_dim).shape == (1, generator.z_dim)
    assert settings_of(out)["picture"] == "inversion"
