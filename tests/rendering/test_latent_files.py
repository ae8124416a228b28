"""Latents and classes go to files and come back, in this package's forms and in those of other tools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_pretrained_biggan.model import GenBlock
from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.generators import load_generator
from biggan_discovery.rendering import contact_sheet, save_latents
from biggan_discovery.rendering.latent_files import load_samples
from tests.rendering.tiles import places_of, sheet_of
from tests.tiny import save_tiny_biggan, tiny_network

Z_DIM, CLASSES, LAYERS = 16, 5, 5


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights(*shape: int) -> Tensor:
    return torch.rand(*shape, CLASSES, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["s.npz", "s.npy", "s.pt", "s.csv", "s.json", "folder"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("soft", [True, False])
def test_samples_come_back_exactly(tmp_path: Path, name: str, count: int, soft: bool) -> None:
    z = numbers(count, Z_DIM)
    y = weights(count) if soft else torch.arange(count) + 1
    save_latents(tmp_path / name, z, y, num_classes=CLASSES)
    found, classes = load_samples(tmp_path / name, Z_DIM, LAYERS)
    assert torch.equal(found, z)
    if not soft and name in ("s.json", "folder"):  # They hold weights only.
        y = torch.eye(CLASSES)[y]
    assert classes.dtype == y.dtype
    assert torch.equal(classes, y)


@pytest.mark.parametrize("name", ["s.npz", "s.npy", "s.pt", "s.csv"])
def test_latents_come_back_without_classes(tmp_path: Path, name: str) -> None:
    save_latents(tmp_path / name, numbers(2, Z_DIM))
    found, classes = load_samples(tmp_path / name, Z_DIM, LAYERS)
    assert torch.equal(found, numbers(2, Z_DIM))
    assert classes is None


@pytest.mark.parametrize("name", ["s.npz", "s.pt"])
def test_layers_may_differ(tmp_path: Path, name: str) -> None:
    z, y = numbers(2, LAYERS, Z_DIM), weights(2, LAYERS)
    save_latents(tmp_path / name, z, y)
    found = load_samples(tmp_path / name, Z_DIM, LAYERS)
    assert torch.equal(found[0], z)
    assert torch.equal(found[1], y)


@pytest.mark.parametrize("shape", [(Z_DIM,), (2, Z_DIM), (1, 2, Z_DIM), (2, LAYERS, Z_DIM)])
@pytest.mark.parametrize("suffix", ["npy", "npz", "pt", "csv"])
def test_every_shape_in_every_container(tmp_path: Path, shape: tuple[int, ...], suffix: str) -> None:
    z, path = numbers(*shape), tmp_path / f"z.{suffix}"
    match suffix:
        case "npy":
            np.save(path, z.double().numpy())
        case "npz":
            np.savez(path, arr_0=z.numpy())
        case "pt":
            torch.save({"latent": z}, path)
        case _:
            if len(shape) == 3:
                pytest.skip("a table has two axes")
            np.savetxt(path, z.numpy(), delimiter=",")
    found, _ = load_samples(path, Z_DIM, LAYERS)
    expected = z if shape == (2, LAYERS, Z_DIM) else z.view(-1, Z_DIM)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_the_pair_of_a_music_video(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As deep-music-visualizer saves them, in float64; found by the folder, and beside the noise vectors."""
    caplog.set_level("INFO")
    np.save(tmp_path / "noise_vectors.npy", numbers(4, Z_DIM).double().numpy())
    np.save(tmp_path / "class_vectors.npy", 0.3 * weights(4).double().numpy())
    for place in (tmp_path, tmp_path / "noise_vectors.npy"):
        z, y = load_samples(place, Z_DIM)
        assert torch.equal(z, numbers(4, Z_DIM))
        assert torch.equal(y, (0.3 * weights(4).double()).float())
        assert f"the classes are those of {tmp_path / 'class_vectors.npy'}" in caplog.messages


def test_ganbreeders_samples(tmp_path: Path) -> None:
    samples = [{"vector": z.tolist(), "label": y.tolist()} for z, y in zip(numbers(3, Z_DIM), weights(3), strict=True)]
    (tmp_path / "one.json").write_text(json.dumps(samples[0]))
    (tmp_path / "all.json").write_text(json.dumps(samples))
    for name, count in (("one.json", 1), ("all.json", 3)):
        z, y = load_samples(tmp_path / name, Z_DIM)
        assert torch.equal(z, numbers(3, Z_DIM)[:count])
        assert torch.equal(y, weights(3)[:count])


class Latents(nn.Module):
    """The parameters of big-sleep's module of this name."""

    def __init__(self, rows: int):
        super().__init__()
        self.normu = nn.Parameter(numbers(rows, Z_DIM))
        self.cls = nn.Parameter(numbers(rows, CLASSES, seed=2) - 1)
        self.register_buffer("thresh_lat", torch.tensor(1))


@pytest.mark.parametrize("rows", [LAYERS, 32])  # Older versions keep more rows than there are layers.
@pytest.mark.parametrize("wrapped", [False, True])
def test_big_sleeps_state_is_the_image_that_it_draws(tmp_path: Path, rows: int, wrapped: bool) -> None:
    latents = Latents(rows)
    state = latents.state_dict()
    if wrapped:  # The averaged copy is what big-sleep draws.
        noise = {f"latents.model.{key}": value + 1 for key, value in state.items()}
        state = noise | {f"latents.average.{key}": value for key, value in state.items()}
    torch.save(state, tmp_path / "latents.pth")
    generator = load_generator(save_tiny_biggan(tmp_path / "tiny"), device="cpu")
    z, y = load_samples(tmp_path / "latents.pth", Z_DIM, generator.num_layers)
    # As in big-sleep: each layer has the condition of its own row.
    network = tiny_network()
    with torch.no_grad():
        conditions = torch.cat((latents.normu, network.embeddings(latents.cls.sigmoid())), dim=1)
        x = network.generator.gen_z(conditions[:1]).view(1, 4, 4, -1).permute(0, 3, 1, 2)
        row = 1
        for layer in network.generator.layers:
            if isinstance(layer, GenBlock):
                x, row = layer(x, conditions[row][None], 1.0), row + 1
            else:
                x = layer(x)
        expected = network.generator.conv_to_rgb(network.generator.bn(x, 1.0).relu())[:, :3].tanh()
    torch.testing.assert_close(generator(z, y), expected, atol=2e-5, rtol=0)
    contact_sheet(generator, tmp_path / "s.png", latents=tmp_path / "latents.pth", scale=1, quiet=True)
    assert places_of(sheet_of(tmp_path / "s.png"), ((expected[0].permute(1, 2, 0) + 1) * 127.5).round().numpy())


def test_what_is_written_loads_into_big_sleeps_module(tmp_path: Path) -> None:
    y = weights(1)
    y[0, 2], y[0, 3] = 0, 1
    save_latents(tmp_path / "latents.pth", numbers(1, Z_DIM), y, num_layers=LAYERS)
    latents = Latents(LAYERS)
    latents.load_state_dict(torch.load(tmp_path / "latents.pth", weights_only=True))
    assert torch.equal(latents.normu, numbers(1, Z_DIM).expand(LAYERS, -1))
    torch.testing.assert_close(latents.cls.sigmoid(), y.expand(LAYERS, -1))
    z, back = load_samples(tmp_path / "latents.pth", Z_DIM, LAYERS)
    assert torch.equal(z, numbers(1, Z_DIM)[:, None].expand(-1, LAYERS, -1))
    torch.testing.assert_close(back, y[:, None].expand(-1, LAYERS, -1))


@pytest.mark.parametrize(
    ("name", "z", "y", "said"),
    [
        ("s.txt", numbers(1, Z_DIM), None, "latents are written as .npz, .npy, .pt, .csv, .json, .pth, or without"),
        ("s.json", numbers(1, Z_DIM), None, "s.json holds class weights; give the classes"),
        ("folder", numbers(1, Z_DIM), None, "folder holds class weights"),
        ("s.json", numbers(1, LAYERS, Z_DIM), weights(1), "s.json cannot hold latents or classes that differ"),
        ("folder", numbers(1, LAYERS, Z_DIM), weights(1), "folder cannot hold latents or classes that differ"),
        ("s.csv", numbers(1, Z_DIM), weights(1, LAYERS), "s.csv cannot hold latents or classes that differ"),
        ("s.npy", numbers(1, Z_DIM), weights(1, LAYERS), "s.npy cannot hold latents or classes that differ"),
        ("s.pth", numbers(2, Z_DIM), weights(2), "holds one sample; there are 2"),
        ("s.pth", numbers(1, Z_DIM), 2 + weights(1), "class weights from 0 to 1"),
    ],
)
def test_what_a_form_does_not_hold_is_refused(
    tmp_path: Path, name: str, z: Tensor, y: Tensor | None, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        save_latents(tmp_path / name, z, y)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda _: None, "no latents in .*folder should have noise_vectors.npy"),
        (lambda path: np.save(path / "noise_vectors.npy", np.zeros((2, 7))), r"shape \(2, 7\)"),
        (
            lambda path: (
                np.save(path / "noise_vectors.npy", np.zeros((2, Z_DIM))),
                np.save(path / "class_vectors.npy", np.zeros((3, CLASSES))),
            ),
            r"classes in .*class_vectors.npy have shape \(3, 5\); there should be one index for each of 2",
        ),
        (
            lambda path: (
                np.save(path / "noise_vectors.npy", np.zeros((2, Z_DIM))),
                np.save(path / "class_vectors.npy", np.full((2, CLASSES), np.inf)),
            ),
            "class weights in .* are not all finite",
        ),
    ],
)
def test_bad_pairs(tmp_path: Path, write, said: str) -> None:
    write(tmp_path)
    with pytest.raises(UserError, match=said):
        load_samples(tmp_path, Z_DIM)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"normu": numbers(3, Z_DIM), "cls": numbers(3, CLASSES)}, r"big-sleep's, with normu \(3, 16\)"),
        ({"normu": numbers(5, 9), "cls": numbers(5, CLASSES)}, r"takes numbers \(5, 16\)"),
        ({"normu": numbers(5, Z_DIM), "cls": torch.full((5, 5), torch.nan)}, "big-sleep's"),
        ({"a": {"z": numbers(2, Z_DIM)}, "b": {"z": numbers(3, Z_DIM)}}, "2 arrays called z; keep one"),
    ],
)
def test_bad_torch_files(tmp_path: Path, content: dict, said: str) -> None:
    torch.save(content, tmp_path / "z.pt")
    with pytest.raises(UserError, match=said):
        load_samples(tmp_path / "z.pt", Z_DIM, LAYERS)
