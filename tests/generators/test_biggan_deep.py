from __future__ import annotations

import copy
import functools
import hashlib
import json
import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_pretrained_biggan import BigGAN, BigGANConfig
from pytorch_pretrained_biggan.model import BigGANBatchNorm
from safetensors.torch import save_file

from biggan_discovery.directions import Directions
from biggan_discovery.generators.base import FrozenGenerator
from biggan_discovery.generators.biggan_deep import BigGANDeep
from biggan_discovery.generators.biggan_deep_files import read_config, tensor_shapes
from biggan_discovery.generators.catalogue import load_generator
from tests.tiny import CLASS_NAMES, TINY, save_tiny_biggan, tiny_network


@pytest.fixture(scope="module")
def generator(tiny_folder: Path) -> FrozenGenerator:
    return load_generator(tiny_folder, device="cpu")


@pytest.fixture
def copied(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny generator's folder, to be damaged by a test."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copied"))


def _inputs(count: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    z = torch.randn(count, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return z.to(dtype), torch.arange(count) % 5


@functools.cache
def _saved_network() -> BigGAN:
    return tiny_network().double()


def _network() -> BigGAN:
    """The package's network with the weights of the tiny generator, in float64; tests may modify it."""
    return copy.deepcopy(_saved_network())


def _package_images(network: BigGAN, z: torch.Tensor, y: torch.Tensor, truncation: float) -> torch.Tensor:
    with torch.no_grad():
        return network(z, torch.eye(network.config.num_classes, dtype=z.dtype)[y], truncation)


# The package's network is the reference, at truncations where its rounding finds a stored row.
@pytest.mark.parametrize("truncation", [1.0, 0.5, 0.4, 0.02])
def test_images_equal_the_packages_network(tiny_folder: Path, truncation: float) -> None:
    assert math.modf(truncation / 0.02)[0] == 0
    z, y = _inputs(6, dtype=torch.float64)
    expected = _package_images(_network(), z, y, truncation)
    images = BigGANDeep(tiny_folder, name="tiny", truncation=truncation, dtype=torch.float64)(z, y)
    torch.testing.assert_close(images, expected, atol=1e-11, rtol=0)
    single = BigGANDeep(tiny_folder, name="tiny", truncation=truncation)(z.float(), y)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, atol=2e-4, rtol=0)
    assert (single.double() - expected).square().mean().sqrt() < 1e-5


@pytest.mark.parametrize(
    "config",
    [
        {"output_dim": 64, "layers": [[True, 16, 16], [True, 16, 8], [True, 8, 4], [True, 4, 2], [False, 2, 1]]},
        {"attention_layer_position": 99, "channel_width": 4},
        {"attention_layer_position": 0, "z_dim": 5, "num_classes": 3, "eps": 1e-3, "n_stats": 11},
    ],
    ids=["64px", "no-attention", "other-sizes"],
)
def test_any_config(tmp_path: Path, config: dict[str, Any]) -> None:
    generator = BigGANDeep(save_tiny_biggan(tmp_path, 3, **config), name="tiny", dtype=torch.float64)
    full = {**TINY, **config}
    z = torch.randn(3, full["z_dim"], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 2, 1])
    images = generator(z, y)
    assert images.shape == (3, 3, full["output_dim"], full["output_dim"])
    torch.testing.assert_close(
        images, _package_images(tiny_network(3, **config).double(), z, y, 1.0), atol=1e-11, rtol=0
    )
    assert (generator.num_layers, generator.resolution) == (1 + len(full["layers"]), full["output_dim"])
    assert generator.z_dim == full["z_dim"]
    assert generator.num_classes == full["num_classes"]


def _with_statistics(truncation: float) -> BigGAN:
    """The package's network, with the correct statistics of one truncation in all rows."""
    network = _network()
    low = min(math.floor(truncation * 50 + 1e-6), 49)
    above = truncation * 50 - low
    for norm in network.modules():
        if isinstance(norm, BigGANBatchNorm):
            for stored in (norm.running_means, norm.running_vars):
                stored[:] = (1 - above) * stored[low] + above * stored[low + 1]
    return network


@pytest.mark.parametrize("truncation", [0.413, 0.999, 0.005, 0.58, 0.28, 1 / 3])
def test_statistics_are_interpolated_rightly(tiny_folder: Path, truncation: float) -> None:
    z, y = _inputs(4, dtype=torch.float64)
    images = BigGANDeep(tiny_folder, name="tiny", truncation=truncation, dtype=torch.float64)(z, y)
    torch.testing.assert_close(images, _package_images(_with_statistics(truncation), z, y, 1.0), atol=1e-9, rtol=0)


@pytest.mark.parametrize("truncation", [0.413, 0.58])
def test_the_package_interpolates_wrongly(tiny_folder: Path, truncation: float) -> None:
    # If the package is fixed, our own interpolation is no longer needed.
    z, y = _inputs(4, dtype=torch.float64)
    images = BigGANDeep(tiny_folder, name="tiny", truncation=truncation, dtype=torch.float64)(z, y)
    assert (images - _package_images(_network(), z, y, truncation)).abs().max() > 1e-3


def test_every_stored_truncation_is_exact(tiny_folder: Path) -> None:
    z, y = _inputs(1, dtype=torch.float64)
    for row in (7, 29, 35):  # Of these, row / 50 * 50 rounds to something else than row.
        network = _network()
        for norm in network.modules():
            if isinstance(norm, BigGANBatchNorm):
                norm.running_means[:] = norm.running_means[row].clone()
                norm.running_vars[:] = norm.running_vars[row].clone()
        images = BigGANDeep(tiny_folder, name="tiny", truncation=row * 0.02, dtype=torch.float64)(z, y)
        torch.testing.assert_close(images, _package_images(network, z, y, 1.0), atol=1e-11, rtol=0)


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 17), st.integers(0, 2**31))
def test_same_image_bit_for_bit_in_any_position(generator: FrozenGenerator, count: int, seed: int) -> None:
    z, y = _inputs(count, seed)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        images = generator(z, y)
        assert torch.equal(images[order], generator(z[order], y[order]))
        assert torch.equal(images, generator(z, y))
        repeated = generator(z[:1].expand(count, -1), y[:1].expand(count))
    assert torch.equal(repeated, images[:1].expand_as(repeated))


def test_latents_per_layer(generator: FrozenGenerator) -> None:
    z, y = _inputs(3)
    layers = z[:, None].repeat(1, generator.num_layers, 1)
    images = generator(z, y)
    assert torch.equal(generator(layers, y), images)
    changed = set()
    for layer in range(generator.num_layers):
        shifted = layers.clone()
        shifted[:, layer] += 0.5
        changed.add(round(float((generator(shifted, y) - images).abs().mean()), 7))
    assert min(changed) > 1e-4
    assert len(changed) == generator.num_layers == 5


def test_a_layer_shift_reaches_that_layer_only(tiny_folder: Path, generator: FrozenGenerator) -> None:
    """Compare with the package's network with a different condition at one block."""
    z, y = _inputs(2, dtype=torch.float64)
    network = _network()
    embedding = network.embeddings.weight.T[y]
    other = torch.cat((z + 0.7, embedding), dim=1)
    blocks = [block for block in network.generator.layers if hasattr(block, "conv_0")]
    blocks[2].register_forward_pre_hook(lambda _, inputs: (inputs[0], other, inputs[2]))
    layers = z[:, None].repeat(1, generator.num_layers, 1)
    layers[:, 3] += 0.7
    images = BigGANDeep(tiny_folder, name="tiny", dtype=torch.float64)(layers, y)
    torch.testing.assert_close(images, _package_images(network, z, y, 1.0), atol=1e-11, rtol=0)


def test_gradient_of_z_equals_the_packages(tiny_folder: Path) -> None:
    z, y = _inputs(2, dtype=torch.float64)
    gradients = []
    for run in (
        BigGANDeep(tiny_folder, name="tiny", dtype=torch.float64),
        lambda z, y: _network()(z, torch.eye(5, dtype=z.dtype)[y], 1.0),
    ):
        point = z.clone().requires_grad_()
        gradients.append(torch.autograd.grad(run(point, y).square().mean(), point)[0])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-12, rtol=1e-8)


def test_facts(tiny_folder: Path, generator: FrozenGenerator) -> None:
    assert generator.name == str(tiny_folder)
    assert (generator.z_dim, generator.num_layers, generator.resolution, generator.channels) == (16, 5, 32, 3)
    assert generator.class_names == CLASS_NAMES
    assert generator.truncation == 1.0
    assert generator.sha256 == hashlib.sha256((tiny_folder / "pytorch_model.bin").read_bytes()).hexdigest()
    assert generator.true_directions is None
    assert generator.factor_names == ()
    assert generator.device == torch.device("cpu")
    assert generator.dtype == torch.float32


def test_frozen_whatever_is_called(tiny_folder: Path) -> None:
    generator = load_generator(tiny_folder, device="cpu").train().requires_grad_()
    assert not any(module.training for module in generator.modules())
    assert not any(weight.requires_grad for weight in generator.parameters())
    z, y = _inputs(2)
    assert not generator(z, y).requires_grad
    assert generator(z.requires_grad_(), y).requires_grad


def test_double(tiny_folder: Path, generator: FrozenGenerator) -> None:
    z, y = _inputs(2, dtype=torch.float64)
    double = load_generator(tiny_folder, device="cpu").double()
    assert double.dtype == torch.float64
    images = double(z, y)
    assert images.dtype == torch.float64
    torch.testing.assert_close(images.float(), generator(z.float(), y), atol=2e-4, rtol=0)


def test_loading_leaves_the_global_random_state(tiny_folder: Path) -> None:
    before = torch.random.get_rng_state()
    load_generator(tiny_folder, device="cpu")
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("truncation", [1.0, 0.3])
def test_latents_are_truncated_normals(tiny_folder: Path, truncation: float) -> None:
    generator = load_generator(tiny_folder, truncation=truncation, device="cpu")
    uniform = torch.rand(200, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    uniform[0, :3] = torch.tensor([1e-12, 0.5, 1 - 1e-12], dtype=torch.float64)
    z = generator.latents(uniform)
    assert z.dtype == torch.float32
    expected = truncation * scipy.stats.truncnorm(-2, 2).ppf(uniform.numpy())
    torch.testing.assert_close(z, torch.from_numpy(expected).float(), atol=1e-6, rtol=0)
    assert z.abs().max() <= 2 * truncation


def test_old_torch_files_load(copied: Path, generator: FrozenGenerator) -> None:
    """The published weights are in the format used before PyTorch 1.6."""
    state = torch.load(copied / "pytorch_model.bin", weights_only=True)
    torch.save(state, copied / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    z, y = _inputs(2)
    assert torch.equal(load_generator(copied, device="cpu")(z, y), generator(z, y))


def test_side_files(copied: Path) -> None:
    true = torch.linalg.qr(torch.randn(16, 8))[0].T.contiguous()
    names = [f"factor {index}" for index in range(8)]
    save_file({"directions": true}, copied / "directions.safetensors", metadata={"names": json.dumps(names)})
    (copied / "discovery.json").write_text(json.dumps({"steps": 700, "lr": 1}))
    generator = load_generator(copied, device="cpu").double()
    assert generator.true_directions is not None
    assert torch.equal(generator.true_directions, true)
    assert generator.factor_names == tuple(names)
    paper = {"batch": 96, "path_size": 5.0, "epsilon": 0.1, "probes": 2}
    assert generator.defaults() == {"steps": 700, "lr": 1, **paper}
    generator.defaults().clear()
    assert generator.defaults()["steps"] == 700


def test_settings_without_a_file_are_the_papers(generator: FrozenGenerator) -> None:
    paper = {"steps": 50000, "batch": 96, "lr": 0.01, "path_size": 5.0, "epsilon": 0.1, "probes": 2}
    assert generator.defaults() == paper


def test_classes_without_names_are_their_indices(copied: Path) -> None:
    (copied / "classes.json").unlink()
    assert load_generator(copied, device="cpu").class_names == ("0", "1", "2", "3", "4")


def test_nothing_is_printed_or_warned(tiny_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        z, y = _inputs(1)
        load_generator(tiny_folder, device="cpu")(z, y)
    assert not caught
    assert capfd.readouterr() == ("", "")


def test_directions_that_a_search_left_beside_the_weights_are_not_taken_for_true_ones(tmp_path):
    save_tiny_biggan(tmp_path)
    Directions(torch.eye(16)).save(tmp_path / "directions.safetensors")
    generator = load_generator(tmp_path)
    assert generator.true_directions is None
    assert generator.factor_names == ()


@pytest.mark.parametrize("truncation", [1.0, 0.413])
def test_the_reference_is_the_packages_network(tiny_folder: Path, truncation: float) -> None:
    z, y = _inputs(3, dtype=torch.float64)
    reference = BigGANDeep(tiny_folder, name="tiny", truncation=truncation, dtype=torch.float64).reference()
    expected = _package_images(_with_statistics(truncation), z, y, 1.0)
    torch.testing.assert_close(reference(z, y), expected, atol=1e-11, rtol=0)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"attention_layer_position": -1},
        {"attention_layer_position": 4},
        {"attention_layer_position": 0, "z_dim": 5, "num_classes": 3, "n_stats": 11, "channel_width": 9},
        {"layers": [[True, 16, 16], [False, 16, 8], [True, 8, 4], [True, 4, 2], [False, 2, 1]]},
    ],
)
def test_shapes_are_those_of_the_packages_network_in_its_order(tmp_path: Path, config: dict[str, Any]) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**TINY, **config}))
    package = {
        key: tuple(value.shape) for key, value in BigGAN(BigGANConfig(**{**TINY, **config})).state_dict().items()
    }
    assert list(tensor_shapes(read_config(tmp_path)).items()) == list(package.items())
