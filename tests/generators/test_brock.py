from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from biggan_discovery import hessian_penalty, load_generator, orthonormalize
from biggan_discovery.cli.classes import classes_command
from biggan_discovery.generators.brock import BrockBigGAN
from tests.brock_tiny import TINY, inputs, restated, save_tiny_brock, tiny_state

CONV = "blocks.1.0.conv1.weight"
GAIN = "blocks.0.0.bn1.gain.weight"


@pytest.fixture(scope="session")
def generator(brock_folder: Path) -> BrockBigGAN:
    return BrockBigGAN(brock_folder, name="tiny")


@pytest.fixture
def copied(brock_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny generator's folder, to be damaged by a test."""
    return Path(shutil.copytree(brock_folder, tmp_path / "copied"))


@pytest.fixture(scope="session")
def reference(fixtures_dir: Path) -> tuple[BrockBigGAN, dict[str, Tensor]]:
    """The checkpoint and the original code's outputs."""
    folder = fixtures_dir / "brock-biggan-128-ch4"
    generator = load_generator(folder, device="cpu")
    assert isinstance(generator, BrockBigGAN)
    return generator, load_file(folder / "expected.safetensors")


def test_images_equal_the_originals(reference: tuple[BrockBigGAN, dict[str, Tensor]]) -> None:
    generator, expected = reference
    z, y = expected["z"], expected["y"]
    torch.testing.assert_close(generator(z, y), expected["images"], atol=2e-5, rtol=0)
    shifted = z + expected["w"] @ expected["Q"]
    torch.testing.assert_close(generator(shifted, y), expected["images_w"], atol=2e-5, rtol=0)


def test_restated_forward_equals_the_originals(fixtures_dir: Path) -> None:
    """Validate the restated forward pass, the reference for other checkpoints, against the original code's outputs."""
    folder = fixtures_dir / "brock-biggan-128-ch4"
    expected = load_file(folder / "expected.safetensors")
    state = torch.load(folder / "G_ema.pth", weights_only=True)
    config = {"G_param": "SN", **json.loads((folder / "config.json").read_text())}
    images = restated(state, expected["z"], expected["y"], config)
    torch.testing.assert_close(images, expected["images"], atol=2e-5, rtol=0)


def test_penalty_and_gradient_equal_the_originals(reference: tuple[BrockBigGAN, dict[str, Tensor]]) -> None:
    generator, expected = reference
    A = expected["A"].clone().requires_grad_()
    Q = orthonormalize(A, method="gram-schmidt")
    torch.testing.assert_close(Q, expected["Q"], atol=1e-5, rtol=0)
    penalty = hessian_penalty(
        lambda w: generator(expected["z"] + w @ Q, expected["y"]),
        expected["w"],
        k=2,
        epsilon=0.1,
        reduction=torch.mean,
        probes=expected["rademacher"],
    )
    penalty.backward()
    torch.testing.assert_close(penalty.reshape(1), expected["hessian_penalty"], rtol=1e-4, atol=0)
    assert A.grad is not None
    assert (A.grad - expected["grad_A"]).norm() < 1e-3 * expected["grad_A"].norm()


def test_facts_of_the_reference(reference: tuple[BrockBigGAN, dict[str, Tensor]], fixtures_dir: Path) -> None:
    generator, _ = reference
    folder = fixtures_dir / "brock-biggan-128-ch4"
    assert generator.name == os.path.abspath(folder)  # noqa: PTH100 - A link keeps its name.
    assert (generator.z_dim, generator.num_layers, generator.resolution, generator.channels) == (120, 6, 128, 3)
    assert generator.class_names[207] == "golden retriever"
    assert generator.sha256 == hashlib.sha256((folder / "G_ema.pth").read_bytes()).hexdigest()
    # The papers' coarse, mid and fine.
    assert [generator.search_space(layers) for layers in ("0-1", "2-3", "4-5")] == [
        slice(0, 40),
        slice(40, 80),
        slice(80, 120),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"G_attn": "0"},
        {"G_attn": "8_32", "G_ch": 6, "n_classes": 1, "dim_z": 40},
        {"hier": False, "dim_z": 11, "shared_dim": 11},
        {"hier": False, "G_shared": False, "n_classes": 3},
        {"G_param": "plain"},
        {"BN_eps": 1e-2, "SN_eps": 1e-4},
        {"resolution": 64, "G_ch": 2, "G_attn": "32", "dim_z": 20, "shared_dim": 20},
        # Chunks round down: 128 // 6 · 6 = 126.
        {"resolution": 128, "G_ch": 3, "G_attn": "16", "dim_z": 128, "n_classes": 11, "shared_dim": 4},
        {"resolution": 128, "G_ch": 2, "hier": False, "G_attn": "32", "dim_z": 120, "shared_dim": 128},
        {"resolution": 256, "G_ch": 1, "G_attn": "32", "dim_z": 140, "n_classes": 7},
        {"resolution": 512, "G_ch": 1, "G_attn": "8", "dim_z": 16, "n_classes": 2},
    ],
    ids=lambda changes: "-".join(f"{key}={value}" for key, value in changes.items()) or "tiny",
)
def test_any_architecture(tmp_path: Path, changes: dict[str, Any]) -> None:
    full = {**TINY, **changes}
    folder = save_tiny_brock(tmp_path, 3, **changes)
    generator = BrockBigGAN(folder, name="tiny", dtype=torch.float64)
    layers = 1 + {32: 3, 64: 4, 128: 5, 256: 6, 512: 7}[full["resolution"]] if full["hier"] else 1
    assert generator.num_layers == layers
    assert generator.z_dim == full["dim_z"] // layers * layers
    assert generator.resolution == full["resolution"]
    assert generator.class_names == tuple(map(str, range(full["n_classes"])))
    z, y = inputs(2, z_dim=generator.z_dim)
    y = y % full["n_classes"]
    expected = restated(tiny_state(3, **changes), z, y, full)
    assert expected.std() > 0.05  # Else the comparison would say little.
    images = generator(z, y)
    assert images.shape == (2, 3, full["resolution"], full["resolution"])
    torch.testing.assert_close(images, expected, atol=1e-10, rtol=0)
    single = load_generator(folder, device="cpu")(z.float(), y)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, atol=1e-4, rtol=0)


def test_eps_of_the_spectral_norm(copied: Path) -> None:
    """It matters if a product with the weight is shorter."""
    state = tiny_state()
    for key in (CONV, GAIN, "linear.weight", "blocks.1.1.o.weight"):
        state[key] *= 0.05
    torch.save(state, copied / "G_ema.pth")
    z, y = inputs(2)
    images = []
    for sn_eps in (0.9, 1e-6):
        (copied / "config.json").write_text(json.dumps({"SN_eps": sn_eps}))
        images.append(BrockBigGAN(copied, name="tiny", dtype=torch.float64)(z, y))
        expected = restated(state, z, y, {**TINY, "SN_eps": sn_eps})
        torch.testing.assert_close(images[-1], expected, atol=1e-10, rtol=0)
    assert (images[0] - images[1]).abs().mean() > 1e-3


def test_gradient_of_z_equals_the_restated(brock_folder: Path) -> None:
    z, y = inputs(2)
    double = BrockBigGAN(brock_folder, name="tiny", dtype=torch.float64)
    gradients = []
    for run in (double, lambda z, y: restated(tiny_state(), z, y, TINY)):
        point = z.clone().requires_grad_()
        gradients.append(torch.autograd.grad(run(point, y).square().mean(), point)[0])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-13, rtol=1e-8)


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 17), st.integers(0, 2**31))
def test_same_image_bit_for_bit_in_any_position(generator: BrockBigGAN, count: int, seed: int) -> None:
    z, y = inputs(count, seed)
    z = z.float()
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        images = generator(z, y)
        assert torch.equal(images[order], generator(z[order], y[order]))
        repeated = generator(z[:1].expand(count, -1), y[:1].expand(count))
    assert torch.equal(repeated, images[:1].expand_as(repeated))


def test_a_layer_sees_its_own_chunk_of_its_own_latent(generator: BrockBigGAN) -> None:
    z, y = inputs(3)
    z = z.float()
    layers = z[:, None].repeat(1, 4, 1)
    images = generator(z, y)
    assert torch.equal(generator(layers, y), images)
    for layer in range(4):
        own = generator.search_space(str(layer))
        assert own == slice(4 * layer, 4 * layer + 4)
        shifted, elsewhere = layers.clone(), layers.clone()
        shifted[:, layer] += 0.5
        elsewhere[:, layer] += 0.5
        elsewhere[:, layer, own] -= 0.5
        torch.testing.assert_close(generator(elsewhere, y), images, atol=1e-5, rtol=0)
        only = z.clone()
        only[:, own] += 0.5
        assert torch.equal(generator(shifted, y), generator(only, y))
        assert (generator(only, y) - images).abs().mean() > 1e-3


def test_class_names_beside_the_weights(copied: Path) -> None:
    (copied / "classes.json").write_text('["a", "b", "c", "d", "e"]')
    assert load_generator(copied / "G_ema.pth", device="cpu").class_names == ("a", "b", "c", "d", "e")


def test_classes_command(brock_folder: Path) -> None:
    result = CliRunner().invoke(classes_command, ["--generator", str(brock_folder)])
    assert (result.exit_code, result.output.split()) == (0, ["0", "0", "1", "1", "2", "2", "3", "3", "4", "4"])


def test_one_layer_where_not_hierarchical(tmp_path: Path) -> None:
    generator = BrockBigGAN(save_tiny_brock(tmp_path, hier=False), name="tiny")
    z, y = inputs(2)
    z = z.float()
    assert generator.num_layers == 1
    assert generator.search_space("0") == slice(0, 16)
    assert torch.equal(generator(z[:, None], y), generator(z, y))


def test_frozen_and_empty_batch(generator: BrockBigGAN) -> None:
    assert not any(weight.requires_grad for weight in generator.train().requires_grad_().parameters())
    assert not any(module.training for module in generator.modules())
    assert generator(torch.zeros(0, 16), torch.zeros(0, dtype=torch.int64)).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("truncation", [None, 0.3])
def test_latents_are_normals(brock_folder: Path, truncation: float | None) -> None:
    generator = load_generator(brock_folder, truncation=truncation, device="cpu")
    assert generator.truncation == (truncation or 1.0)
    uniform = torch.rand(50, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy((truncation or 1.0) * scipy.stats.norm.ppf(uniform.numpy())).float()
    torch.testing.assert_close(generator.latents(uniform), expected, atol=1e-6, rtol=1e-6)


def test_truncation_changes_latents_only(brock_folder: Path, generator: BrockBigGAN) -> None:
    z, y = inputs(2)
    z = z.float()
    assert torch.equal(load_generator(brock_folder, truncation=0.4, device="cpu")(z, y), generator(z, y))
