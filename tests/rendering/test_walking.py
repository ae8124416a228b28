"""Walks: where each frame is, what it shows, and that loops close."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator, load_generator
from biggan_discovery.rendering import sample_latents, settings_of, to_uint8, walk
from biggan_discovery.rendering.latent_files import load_samples
from biggan_discovery.rendering.paths import great_circle, slerp, small_circle
from tests.brock_tiny import save_tiny_brock
from tests.cli.console import Console
from tests.tiny import save_tiny_biggan

Z_DIM = 16


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_biggan(tmp_path_factory.mktemp("network") / "tiny")


@pytest.fixture(autouse=True)
def folder(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny").symlink_to(tiny)
    A = torch.randn(4, Z_DIM, generator=torch.Generator().manual_seed(0))
    names = {"names": ["", "hue", "camera height", ""], "strength": [4.0, 3.0, 2.0, 1.0], "random_strength": 2.0}
    Directions(A, metadata={"generator": "tiny", **names}).save("d.safetensors")


@pytest.fixture
def generator() -> FrozenGenerator:
    return load_generator("tiny", device="cpu")


def Q() -> Tensor:  # noqa: N802
    return Directions.load("d.safetensors").Q


def walked(*arguments: object, **options: object) -> tuple[Tensor, Tensor]:
    """z and y of the frames."""
    walk(*arguments, "frames", format="frames", save_latents="w.npz", quiet=True, **options)  # pyright: ignore[reportArgumentType]
    z, y = load_samples("w.npz", Z_DIM, 5)
    assert y is not None
    return z, y


def test_frames_are_the_images_of_the_way(generator: FrozenGenerator) -> None:
    z, y = walked("tiny", seeds=[3, 5], classes="cube; torus", steps=2, scale=1)
    keys = torch.cat([sample_latents(generator, 1, seed) for seed in (3, 5)])
    middle = slerp(keys[:1], keys[1:], torch.tensor([0.5]))
    torch.testing.assert_close(z, torch.cat((keys[:1], middle, keys[1:], middle)))
    ends = torch.eye(5)[[0, 4]]
    mixed = ends.mean(dim=0, keepdim=True)
    torch.testing.assert_close(y, torch.cat((ends[:1], mixed, ends[1:], mixed)))
    for number, expected in enumerate(to_uint8(generator(z, y))):
        with Image.open(f"frames/{number:05d}.png") as picture:
            assert np.array_equal(np.asarray(picture), expected)


@pytest.mark.parametrize(("loop", "count"), [(True, 12), (False, 9)])
def test_steps_are_even_and_a_loop_closes_without_a_jump(loop: bool, count: int) -> None:
    keys = 3 * torch.eye(Z_DIM)[:3]
    z, _ = walked("tiny", latents=keys, classes=[1], steps=4, loop=loop)
    assert len(z) == count
    around = torch.cat((z, z[:1])) if loop else z
    angles = torch.acos(torch.cosine_similarity(around[1:], around[:-1]))
    torch.testing.assert_close(angles, torch.full_like(angles, torch.pi / 8), atol=1e-3, rtol=0)
    torch.testing.assert_close(z.norm(dim=1), torch.full((count,), 3.0))


def test_one_class_for_all_keyframes_stays_an_index() -> None:
    _, y = walked("tiny", samples=2, classes=["cone"], steps=1)
    assert y.tolist() == [3, 3]


def test_the_straight_line_and_speed() -> None:
    z, _ = walked("tiny", seeds=[0, 1], classes=[0], steps=4, interpolation="lerp", easing="smooth", loop=False)
    shares = torch.tensor([0, 5 / 32, 0.5, 27 / 32, 1])
    torch.testing.assert_close(z, torch.lerp(z[:1], z[-1:], shares[:, None]))


def test_amounts_on_top_of_the_walk(generator: FrozenGenerator) -> None:
    moves = {"hue": [0.0, 2.0], 3: -1.5}
    z, _ = walked(None, directions="d.safetensors", seeds=[7], classes=[0], steps=8, moves=moves)
    at = torch.tensor([0, 0.5, 1, 1.5, 2, 1.5, 1, 0.5])
    expected = sample_latents(generator, 1, 7) + at[:, None] * Q()[1] - 1.5 * Q()[3]
    torch.testing.assert_close(z, expected)


def test_an_envelope_is_added_frame_by_frame_to_somebodys_video() -> None:
    frames = torch.randn(5, Z_DIM, generator=torch.Generator().manual_seed(1))
    weights = torch.rand(5, 5, generator=torch.Generator().manual_seed(2))
    Path("video").mkdir()
    np.save("video/noise_vectors.npy", frames.numpy())
    np.save("video/class_vectors.npy", weights.numpy())
    Path("beats.csv").write_text("time,direction,amount\n0.1,hue,1\n0.2,0,4\n\n0.3,hue,3\n")
    options = {"latents": ["video"], "steps": 1, "fps": 10, "envelope": "beats.csv", "quiet": True}
    walk(None, "w.webp", directions="d.safetensors", save_latents="edited", **options)
    z, y = load_samples("edited", Z_DIM)
    of_hue = torch.tensor([1.0, 1, 2, 3, 3])
    torch.testing.assert_close(z, frames + of_hue[:, None] * Q()[1] + 4 * Q()[0])
    assert torch.equal(y, weights)


@pytest.mark.parametrize("path", ["great-circle", "small-circle"])
def test_circles_keep_the_norm(generator: FrozenGenerator, path: str) -> None:
    options = {"moves": {1: [0.0, 3.0]}, "path": path, "steps": 4, "loop": False}
    z, _ = walked(None, directions="d.safetensors", seeds=[7], classes=[0], **options)
    start, amounts = sample_latents(generator, 1, 7).expand(4, -1), torch.tensor([0.0, 1, 2, 3])
    weakest = Q()[3]
    if path == "great-circle":
        expected = great_circle(start, Q()[1], amounts)
    else:
        expected = small_circle(start, Q()[1], weakest, amounts)
    torch.testing.assert_close(z, expected)
    torch.testing.assert_close(z.norm(dim=1), start.norm(dim=1))


def test_a_circle_stays_in_the_part_of_z_that_layers_see() -> None:
    save_tiny_brock("brock")
    A = torch.zeros(1, Z_DIM)
    A[0, 4:8] = torch.randn(4, generator=torch.Generator().manual_seed(0))
    Directions(A, metadata={"generator": "brock", "layers": "1"}).save("b.safetensors")
    options = {"moves": {0: [0.0, 1.0]}, "path": "great-circle", "steps": 3, "loop": False}
    z, _ = walked(None, directions="b.safetensors", seeds=[1], classes=[0], **options)
    moved = (z[-1] - z[0]).abs() > 1e-6
    assert moved.tolist() == [4 <= index < 8 for index in range(Z_DIM)]
    torch.testing.assert_close(z[:, 4:8].norm(dim=1), z[0, 4:8].norm().expand(3))


def linear(matrix: Tensor) -> FunctionGenerator:
    def images(z: Tensor) -> Tensor:
        return (z @ matrix.to(z)).view(len(z), 3, 2, 2)

    return FunctionGenerator(images, z_dim=4)


def test_a_held_effect_of_a_linear_generator_stays_exactly() -> None:
    """Of x = Mᵀz, moving by a along q₀ and holding q₁ takes b = -a (Mᵀq₁·Mᵀq₀)/|Mᵀq₁|² along q₁."""
    matrix = 0.1 * torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
    found = Directions(torch.eye(4))
    options = {"directions": found, "latents": torch.zeros(1, 4), "format": "frames", "quiet": True}
    walk(linear(matrix), "f", moves={0: [0.0, 2.0]}, hold=[1, 2], steps=2, loop=False, save_latents="h.npz", **options)
    z, _ = load_samples("h.npz", 4)
    effects = matrix[1:3]
    b = -torch.linalg.solve(effects @ effects.T, effects @ matrix[0]) * 2
    torch.testing.assert_close(z[1], torch.tensor([2.0, *b.tolist(), 0.0]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(z[1] @ matrix @ effects.T, torch.zeros(2), atol=1e-4, rtol=0)


def test_a_held_effect_of_a_curved_generator_stays() -> None:
    """The way that gradients give, in many small steps, is the one that few large ones find."""
    random = torch.Generator().manual_seed(0)
    first, second = torch.randn(4, 9, generator=random), torch.randn(9, 12, generator=random)

    def images(z: Tensor) -> Tensor:
        return ((z @ first.to(z)).tanh() @ second.to(z) / 9).view(-1, 3, 2, 2)

    z = torch.randn(1, 4, generator=random)
    options = {"directions": Directions(torch.eye(4)), "latents": z, "moves": {0: [0.0, 1.5]}, "hold": [1]}
    walk(FunctionGenerator(images, z_dim=4), "f", **options, steps=2, loop=False, save_latents="h.npz", format="frames",
         quiet=True)  # fmt: skip
    found = (load_samples("h.npz", 4)[0][1] - z[0]).double()
    at, steps = z.double(), 200
    for _ in range(steps):
        moving, held = (
            torch.func.jvp(lambda x: images(x).flatten(), (at,), (each[None],))[1]
            for each in torch.eye(4, dtype=torch.float64)[:2]
        )
        at = at + 1.5 / steps * torch.tensor([1.0, -(held @ moving) / (held @ held), 0, 0], dtype=torch.float64)
    expected = at[0] - z[0].double()
    assert expected[1].abs() > 0.1
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)


def test_films_of_all_formats_know_how_they_were_made(console: Console) -> None:
    for suffix in ("mp4", "webp", "gif"):
        out = f"w.{suffix}"
        printed = console("walk", "d.safetensors", "--seeds", "1,2", "--move", "hue=0:1", "--class", "cube;torus",
                          "--steps", "2", "--out", out, "--quiet")  # fmt: skip
        assert printed.startswith(f"wrote {out} (256 x 256 pixels, 4 frames in 0.2 s")
        known = settings_of(out)
        assert known["picture"] == "walk"
        assert known["keyframes"] == ["seed 1 cube", "seed 2 torus"]
        assert known["moves"] == ["1 hue 0:+1:0"]


def test_the_cost_is_told_first(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    walk(None, "w.webp", directions="d.safetensors", seeds=[1, 2], classes=[0], steps=2, moves={0: 1.0}, hold=[1])
    assert "4 frames, 0.2 s, through 2 keyframes; 100 images" in caplog.messages
    assert any(message.startswith("direction 1 hue is held by amounts from ") for message in caplog.messages)


def test_a_loop_that_jumps_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    Path("e.csv").write_text("time,direction,amount\n0,hue,0\n0.1,hue,1\n")
    walk(None, "w.webp", directions="d.safetensors", seeds=[1], classes=[0], steps=4, envelope="e.csv", quiet=True)
    assert "the loop jumps: direction 1 hue begins at 0 and ends at +1" in caplog.messages


def test_a_users_own_network_keeps_its_class() -> None:
    own = FunctionGenerator(
        lambda z, y: (z[:, :3, None, None] + 0 * y.view(-1, 1, 1, 1)).tanh(), z_dim=4, num_classes=3
    )
    walk(own, "w.webp", samples=2, classes=[1], steps=2, quiet=True)
    with pytest.raises(UserError, match="takes class indices only, so all keyframes need the same class"):
        walk(own, "w.webp", samples=2, classes=[1, 2], steps=2, quiet=True)


def test_latents_of_layers_and_of_all_make_one_walk() -> None:
    np.savez("a.npz", z=np.ones((1, Z_DIM), np.float32), y=np.array([1]))
    np.savez("b.npz", z=2 * np.ones((2, 5, Z_DIM), np.float32), y=np.eye(5, dtype=np.float32)[[0, 2]])
    z, y = walked("tiny", latents=["a.npz", "b.npz"], steps=1)
    assert z.shape == (3, 5, Z_DIM)
    assert y.tolist() == np.eye(5)[[1, 0, 2]].tolist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--move", "hue"], "write DIRECTION=AMOUNTS"),
        (["--move", "hue=1:x"], "'x' is not a number"),
        (["--move", "hue=nan"], "finite in float32"),
        (["--move", "huge=1"], "no direction is called 'huge'"),
        (["--move", "1=1", "--move", "hue=2"], "direction 1 is moved twice"),
        (["--move", "1=1", "--move", "1=2"], "gives a direction twice"),
        (["--move", "1=1", "--hold", "hue"], "cannot both move and be held"),
        (["--hold", "hue"], "none does; give an amount"),
        (["--path", "great-circle"], "none does; give an amount"),
        (["--move", "1=1", "--reference", "0"], "reference does nothing with the path straight"),
        (["--move", "1=1", "--path", "small-circle", "--reference", "1"], "cannot both move and be the reference"),
        (["--seeds", "1", "--samples", "2"], "give seeds alone"),
        (["--steps", "0"], "--steps"),
        (["--steps", "100001"], "too long; at most 100,000"),
        (["--out", "w.png"], "a walk is a film"),
        (["--latents", "missing.npy"], "no latents file missing.npy"),
        (["--envelope", "missing.csv"], "no envelope file missing.csv"),
        (["--envelope", "bad-header.csv"], "should begin with a line time,direction,amount; found 'a,b'"),
        (["--envelope", "bad-number.csv"], "bad-number.csv, line 2: the amount is 'x', which is not a number"),
        (["--envelope", "bad-name.csv"], "bad-name.csv, line 3: no direction is called 'huge'"),
        (["--envelope", "bad-cells.csv"], "line 2 has 2 cells, but the first has 3"),
        (["--envelope", "twice.csv"], "line 3 is a second amount of direction 1"),
        (["--envelope", "empty.csv"], "has no line with a time"),
        (["--save-latents", "w.txt"], "not as 'w.txt'"),
    ],
)
def test_bad_input_in_one_line(console: Console, options: list[str], said: str) -> None:
    head = "time,direction,amount\n"
    for name, content in {
        "bad-header": "a,b\n1,2\n",
        "bad-number": head + "0,1,x\n",
        "bad-name": head + "0,1,1\n1,huge,1\n",
        "bad-cells": head + "0,1\n",
        "twice": head + "0,1,1\n0,hue,2\n",
        "empty": head,
    }.items():
        Path(f"{name}.csv").write_text(content)
    error = console("walk", "d.safetensors", *options, code=2)
    assert said in error
    assert error.count("\n") == 1
    assert not Path("walk.mp4").exists()


def test_a_generator_alone_has_no_directions(console: Console) -> None:
    console("walk", "tiny", "--samples", "2", "--class", "0", "--steps", "2", "--out", "w.webp", "--quiet")
    assert "tiny" in console("walk", "tiny", "--move", "1=1", code=2)
    assert "nothing moves" in console("walk", "tiny", "--samples", "1", code=2)
