"""The builders of full-size random networks, tested on small ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from pytorch_pretrained_biggan import BigGAN, BigGANConfig

from benchmarks.full_size import NETWORKS
from benchmarks.random_networks import save_biggan_deep, save_brock
from biggan_discovery.generators import load_generator
from biggan_discovery.generators.biggan_deep_files import published_config, read_config_file
from biggan_discovery.generators.remote import REMOTE
from tests.tiny import TINY

SMALL_BROCK = {**NETWORKS["brock-128"], "G_ch": 8, "n_classes": 5}


@pytest.mark.parametrize(
    ("save", "config"), [(save_biggan_deep, TINY), (save_brock, SMALL_BROCK)], ids=["biggan-deep", "brock"]
)
def test_small_networks_load_and_give_the_images_of_other_code(tmp_path: Path, save, config) -> None:
    made = save(tmp_path, config)
    images = load_generator(tmp_path, device="cpu")(made.z, made.y)
    torch.testing.assert_close(images, made.images, atol=5e-5, rtol=0)
    # Neither constant nor saturated, and different for different inputs.
    assert 0.2 < images.std() < 0.7
    assert (images.abs() > 0.99).float().mean() < 0.05
    assert (images[0] - images[1]).abs().mean() > 0.05


@pytest.mark.parametrize("resolution", [128, 256, 512])
def test_full_size_biggan_deep_is_the_published_one(tmp_path: Path, resolution: int) -> None:
    """Parameters as in the package's README; config.json of 256 px to the byte, by its checksum."""
    name = f"biggan-deep-{resolution}"
    with torch.device("meta"):
        network = BigGAN(BigGANConfig(**NETWORKS[name]))
    millions = {128: 50.4, 256: 55.9, 512: 56.2}[resolution]
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e6, 1) == millions
    (tmp_path / "config.json").write_text(network.config.to_json_string())
    known = REMOTE[name].files[0].sha256  # None where nobody published it.
    assert known in (None, hashlib.sha256((tmp_path / "config.json").read_bytes()).hexdigest())
    config = read_config_file(tmp_path / "config.json")
    assert config.resolution == resolution
    assert config.num_layers == REMOTE[name].num_layers
    tensors = sum(4 * tensor.numel() for tensor in network.state_dict().values())
    assert tensors <= REMOTE[name].about < tensors * 1.001
    # The tensors alone tell as much.
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    assert published_config(shapes, tmp_path) == config
