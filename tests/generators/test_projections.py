"""Projections of z against the tensors of the checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator, load_generator
from tests.brock_tiny import save_tiny_brock
from tests.tiny import save_tiny_biggan


def spectral(state: dict[str, torch.Tensor], key: str, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    weight = state[key].double()
    return weight / (left.double() @ weight @ right.double())


def of_package(folder: Path, key: str) -> torch.Tensor:
    """A weight of the package's state dict divided by its spectral norm, restricted to the columns of z."""
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    weight = spectral(state, f"{key}.weight_orig", state[f"{key}.weight_u"], state[f"{key}.weight_v"])
    return weight[:, :16].float()


def of_brock(folder: Path, key: str) -> torch.Tensor:
    """A weight divided by the spectral norm from one step of power iteration."""
    state = torch.load(folder / "G_ema.pth", weights_only=True)
    weight = state[f"{key}.weight"].double()
    right = torch.nn.functional.normalize(state[f"{key}.u0"].double() @ weight)
    return (weight / torch.linalg.vector_norm(right @ weight.T)).float()


def test_biggan_deep(tmp_path: Path):
    folder = save_tiny_biggan(tmp_path)
    for truncation in (1.0, 0.5):
        generator = load_generator(str(folder), truncation=truncation)
        first = of_package(folder, "generator.gen_z")
        torch.testing.assert_close(generator.projections(), first)
        torch.testing.assert_close(generator.projections("0"), first)
        # The package puts attention at place 2 of its list: blocks 2 and 3 are its layers 1 and 3.
        conditions = torch.cat(
            [
                of_package(folder, f"generator.layers.{layer}.bn_{norm}.{part}")
                for layer in (1, 3)
                for norm in range(4)
                for part in ("scale", "offset")
            ]
        )
        torch.testing.assert_close(generator.projections("2-3"), conditions, rtol=1e-4, atol=1e-6)
        with_first = generator.projections("0-2")
        torch.testing.assert_close(with_first[: len(first)], first)
        assert len(with_first) == len(first) + len(generator.projections("1-2"))


def test_brock_chunk_by_chunk(tmp_path: Path):
    folder = save_tiny_brock(tmp_path)
    generator = load_generator(str(folder))
    expected = [of_brock(folder, "linear")]
    for block in range(3):
        keys = [f"blocks.{block}.0.{norm}.{part}" for norm in ("bn1", "bn2") for part in ("gain", "bias")]
        parts = [of_brock(folder, key) for key in keys]
        expected.append(torch.cat(parts)[:, 6:])
    torch.testing.assert_close(generator.projections(), torch.block_diag(*expected), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(generator.projections("1-2"), torch.block_diag(*expected[1:3]), rtol=1e-4, atol=1e-6)


def test_brock_that_is_not_hierarchical_has_one(tmp_path: Path):
    folder = save_tiny_brock(tmp_path, hier=False)
    torch.testing.assert_close(load_generator(str(folder)).projections(), of_brock(folder, "linear"))


@pytest.mark.parametrize("layers", ["all", "1", "2-3"])
@pytest.mark.parametrize("family", [save_tiny_biggan, save_tiny_brock])
def test_columns_are_the_coordinates_of_the_search_space(tmp_path: Path, family, layers: str):
    generator = load_generator(str(family(tmp_path)))
    space = generator.search_space(layers)
    assert generator.projections(layers).shape[1] == space.stop - space.start


def test_a_function_has_none():
    generator = FunctionGenerator(lambda z: z[:, :3, None, None], z_dim=3)
    with pytest.raises(UserError, match=r"first linear layer of 'function' is not known.* jacobian"):
        generator.projections()
    with pytest.raises(UserError, match="this generator has layers 0 to 0"):
        generator.projections("4")
