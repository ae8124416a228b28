"""Searches layer by layer, on generators whose layers have known directions."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.activity import stored_changes
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator, load_generator
from biggan_discovery.search import discover
from tests.brock_tiny import save_tiny_brock

GAINS = ((1.0, 0.5, 0.0, 0.0), (0.0, 3.0, 2.0, 0.0), (0.25, 0.0, 0.0, 1.5))
"""What each layer does with each coordinate of z."""


def known(turn: Tensor) -> FunctionGenerator:
    """Layer k shows coordinate j of z·turn at a pixel of its own, GAINS[k][j] strong and bent."""
    gains = torch.tensor(GAINS)

    def images(z: Tensor) -> Tensor:
        seen = torch.einsum("nki,ij->nkj", z, turn.to(z)) * gains.to(z)
        return 0.2 * (seen + 0.2 * seen.square()).reshape(-1, 1, 3, 4)

    return FunctionGenerator(images, z_dim=4, num_layers=3, resolution=3, channels=1)


@pytest.fixture(scope="module")
def turn() -> Tensor:
    return torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)).Q


QUICK: dict[str, Any] = {"judge": False, "quiet": True}


@pytest.mark.parametrize("method", ["hessian", "orojar", "jacobian"])
def test_the_strongest_directions_of_all_layers_come_first(turn: Tensor, method: str):
    size = {"samples": 8}
    found = discover(known(turn), layers="each", method=method, **size, **QUICK)
    assert len(found) == 12
    assert [found.layers_of(row) for row in range(6)] == ["1", "1", "2", "0", "0", "2"]
    coordinates = [1, 2, 3, 0, 1, 0]
    cosines = (found.Q[:6].double() * turn.T[coordinates]).sum(dim=1).abs()
    assert cosines.min() > 0.99
    assert found.metadata["strength"] == sorted(found.metadata["strength"], reverse=True)


def test_inactive_directions_come_last_and_are_known(turn: Tensor):
    changes = stored_changes(discover(known(turn), layers="each", method="jacobian", samples=8, **QUICK))
    assert changes is not None
    assert all(change > 0.1 for change in changes[:6])
    assert all(change < 1e-3 for change in changes[6:])


@pytest.mark.parametrize(
    ("method", "settings"),
    [("random", {}), ("coordinates", {}), ("hessian", {"steps": 2, "batch": 2, "micro_batch": 2})],
)
def test_methods_without_strengths_are_measured(turn: Tensor, method: str, settings: dict[str, Any]):
    found = discover(known(turn), layers="each", method=method, directions=2, **settings, **QUICK)
    assert sorted(found.metadata["direction_layers"]) == ["0", "0", "1", "1", "2", "2"]
    strength = found.metadata["strength"]
    assert strength == sorted(strength, reverse=True)
    # 4 latents, two images for each of 6 directions and 8 random ones.
    own = sum(
        discover(known(turn), layers=str(layer), method=method, directions=2, **settings, **QUICK).metadata[
            "generator_evaluations"
        ]
        for layer in range(3)
    )
    assert found.metadata["generator_evaluations"] == own + 4 * 2 * (6 + 8)


def test_each_layer_is_found_as_by_a_search_of_its_own(turn: Tensor, tmp_path: Path):
    found = discover(known(turn), layers="each", method="hessian", samples=4, out=tmp_path, **QUICK)
    for layer, rows in found.layer_groups.items():
        alone = discover(known(turn), layers=layer, method="hessian", samples=4, **QUICK)
        assert torch.equal(found.Q[rows], alone.Q)
        assert torch.equal(Directions.load(tmp_path / f"layer-{layer}" / "directions.safetensors").Q, alone.Q)
    assert torch.equal(Directions.load(tmp_path / "directions.safetensors").Q, found.Q)


def test_a_finished_run_is_not_searched_again_and_keeps_its_names(turn: Tensor, tmp_path: Path):
    run: dict[str, Any] = {"layers": "each", "method": "jacobian", "samples": 2, "out": tmp_path, **QUICK}
    discover(known(turn), **run)
    file = tmp_path / "directions.safetensors"
    named = Directions.load(file)
    named.rename(0, "bright")
    named.save(file)
    assert discover(known(turn), **run).names[0] == "bright"


def test_a_lost_result_is_put_together_again(turn: Tensor, tmp_path: Path):
    run: dict[str, Any] = {"layers": "each", "method": "hessian", "samples": 2, "out": tmp_path, **QUICK}
    first = discover(known(turn), **run)
    (tmp_path / "directions.safetensors").unlink()
    before = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("layer-*/directions.safetensors"))]
    assert torch.equal(discover(known(turn), **run).Q, first.Q)
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("layer-*/directions.safetensors"))] == before


def test_a_folder_holds_one_run(turn: Tensor, tmp_path: Path):
    run: dict[str, Any] = {"method": "jacobian", "samples": 2, "out": tmp_path, **QUICK}
    discover(known(turn), layers="each", **run)
    with pytest.raises(UserError, match="seed"):
        discover(known(turn), layers="each", seed=1, **run)
    with pytest.raises(UserError, match="layers"):
        discover(known(turn), layers="all", **run)


def test_more_directions_than_a_layer_has_room_for_are_refused_before_anything_is_written(turn: Tensor, tmp_path: Path):
    with pytest.raises(UserError, match="directions is 5; a space of 4 coordinates"):
        discover(known(turn), layers="each", method="random", directions=5, out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_a_generator_with_one_layer_has_no_layers_to_search():
    one = FunctionGenerator(lambda z: z.reshape(-1, 1, 2, 2), z_dim=4)
    with pytest.raises(UserError, match="has one layer"):
        discover(one, layers="each", method="random", **QUICK)


def test_layers_that_see_no_part_of_z_are_skipped_with_a_word(turn: Tensor, caplog: pytest.LogCaptureFixture):
    class Blind(FunctionGenerator):
        def search_space(self, layers: Any = "all") -> slice:
            return slice(4, 4) if str(layers) == "1" else slice(0, 4)

    generator = Blind(known(turn), z_dim=4, num_layers=3, resolution=3, channels=1)
    with caplog.at_level(logging.INFO, "biggan_discovery"):
        found = discover(generator, layers="each", method="random", **QUICK)
    assert set(found.metadata["direction_layers"]) == {"0", "2"}
    assert "no search in layer 1: no part of z enters there" in caplog.text


def test_the_cost_is_announced_as_the_sum(turn: Tensor, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "biggan_discovery"):
        discover(known(turn), layers="Each", method="random", judge=False)
    assert "3 searches, one in each of the layers 0, 1, 2" in caplog.text


def test_chunks_of_a_hierarchical_network_are_searched_one_by_one_and_are_one_set(tmp_path: Path):
    generator = load_generator(str(save_tiny_brock(tmp_path / "brock")))
    found = discover(generator, layers="each", method="jacobian", samples=2, classes=[0], **QUICK)
    assert len(found) == 16
    assert torch.allclose(found.Q @ found.Q.T, torch.eye(16), atol=1e-5)
    for row in range(16):
        outside = found.Q[row].clone()
        outside[generator.search_space(found.layers_of(row))] = 0
        assert not outside.any()


def test_a_search_of_all_chunks_stores_the_share_of_each(tmp_path: Path):
    generator = load_generator(str(save_tiny_brock(tmp_path / "brock")))
    found = discover(generator, method="random", directions=3, **QUICK)
    shares = torch.tensor(list(found.metadata["layer_shares"].values()))
    assert torch.allclose(shares, found.Q.square().view(3, 4, 4).sum(dim=2).T, atol=1e-5)
    assert "layer_shares" not in discover(generator, layers="1", method="random", **QUICK).metadata
