from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from biggan_discovery.directions import Directions, initial_matrix
from biggan_discovery.directions.defaults import layers_for, layers_of, rows_for
from biggan_discovery.directions.layers import layer_shares, shares_text, subset
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator, load_generator
from biggan_discovery.generators.layer_range import LayerRange, to_layer_range
from tests.brock_tiny import save_tiny_brock


def two_layers(**metadata: Any) -> Directions:
    """Two directions of layer 0 and, not orthogonal to them, two of layer 2."""
    Q = torch.eye(4)[[0, 1, 0, 2]]
    return Directions(Q, Q, {"layers": "each", "direction_layers": ["0", "0", "2", "2"], **metadata})


def deep(z_dim: int = 4, num_layers: int = 3) -> FunctionGenerator:
    """A generator whose layers all see all of z."""

    def images(z: Tensor) -> Tensor:
        return torch.tanh(z.sum(dim=(1, 2)))[:, None, None, None].expand(-1, 1, 4, 4)

    return FunctionGenerator(images, z_dim=z_dim, num_layers=num_layers, resolution=4, channels=1)


class Chunks(FunctionGenerator):
    """A generator each of whose layers sees a part of z."""

    def search_space(self, layers: LayerRange | str = "all") -> slice:
        return to_layer_range(layers, self.num_layers).chunk(self.z_dim)


@pytest.fixture(scope="module")
def brock(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_generator(str(save_tiny_brock(tmp_path_factory.mktemp("brock"))))


def test_every_direction_has_its_own_layers_and_a_file_keeps_them(tmp_path: Path):
    two_layers().save(tmp_path / "d.safetensors")
    found = Directions.load(tmp_path / "d.safetensors")
    assert [found.layers_of(row) for row in range(4)] == ["0", "0", "2", "2"]
    assert found.layers == "each"
    assert found.layer_groups == {"0": [0, 1], "2": [2, 3]}


def test_a_set_for_one_range_of_layers_has_one_group():
    found = Directions(torch.eye(2, 4), metadata={"layers": "mid"})
    assert found.layer_groups == {"mid": [0, 1]}
    assert found.layers_of(1) == "mid"
    same = Directions(torch.eye(2, 4), metadata={"layers": "each", "direction_layers": ["3", "3"]})
    assert same.layers == "3"


def test_rows_of_equal_layers_must_be_orthonormal():
    Q = torch.eye(4)[[0, 1, 0, 2]]
    with pytest.raises(UserError, match="not orthonormal"):
        Directions(Q, Q, {"direction_layers": ["0", "0", "0", "2"]})
    with pytest.raises(UserError, match="not orthonormal"):
        Directions(Q, Q)


@pytest.mark.parametrize(
    "wrong", [["0"], "0", ["0", "0", "2", 2], ["0", "0", "2", "each"], ["0", "0", "2", ""], ["0", "0", "2", "-1"], None]
)
def test_layers_of_directions_are_checked(wrong: Any):
    with pytest.raises(UserError, match="direction_layers must be 4 strings"):
        two_layers(direction_layers=wrong)


@pytest.mark.parametrize("wrong", [[], {"0": [0.5]}, {"0": [2.0] * 4}, {"x": [0.5] * 4}, {"0": ["a"] * 4}, 3])
def test_shares_of_layers_are_checked(wrong: Any):
    with pytest.raises(UserError, match="layer_shares must have for each layer 4 numbers"):
        two_layers(layer_shares=wrong)


def test_directions_of_different_layers_that_see_all_of_z_are_no_set_for_all():
    found = two_layers()
    with pytest.raises(UserError, match=r"different layers, which are not orthogonal.*choose one of the layers 0, 2"):
        layers_for(found, deep())
    assert str(layers_of(found, deep(), 3)) == "2"
    assert str(layers_of(found, deep(), 3, "0-1")) == "0-1"
    assert rows_for(found, deep(), "2") == [2, 3]
    assert rows_for(found, deep(), None) == [0, 1, 2, 3]
    with pytest.raises(UserError, match="no directions for the layers 1, only for 0, 2"):
        rows_for(found, deep(), "1")


def test_orthogonal_directions_of_layers_that_see_all_of_z_are_no_set_for_all_either():
    found = Directions(torch.eye(2, 4), metadata={"direction_layers": ["0", "1"]})
    with pytest.raises(UserError, match="different layers"):
        layers_for(found, deep())


def test_layers_that_the_generator_does_not_have_are_named():
    with pytest.raises(UserError, match="has layers 0 to 1; give the generator they were found in"):
        layers_of(two_layers(), deep(num_layers=2), 3)


def test_directions_in_chunks_of_their_own_are_a_set_for_all(brock: Any):
    Q = torch.eye(16)[[0, 5, 15]]
    found = Directions(Q, Q, {"direction_layers": ["0", "1", "3"]})
    assert layers_for(found, brock).covers_all
    outside = Directions(Q, Q, {"direction_layers": ["0", "2", "3"]})
    with pytest.raises(UserError, match="different layers"):
        layers_for(outside, brock)


@given(parts=st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_shares_are_those_of_squared_entries_in_the_chunks(parts: list[float]):
    chunked = Chunks(lambda z: z.sum(dim=1)[:, None, None], z_dim=16, num_layers=4, resolution=1, channels=1)
    total = sum(parts)
    q = torch.zeros(1, 16, dtype=torch.float64)
    for chunk, part in enumerate(parts):
        q[0, 4 * chunk + chunk % 4] = (part / total) ** 0.5
    shares = layer_shares(chunked, q)
    assert [shares[str(layer)][0] for layer in range(4)] == pytest.approx([part / total for part in parts], abs=1e-5)


def test_shares_are_empty_where_they_say_nothing(brock: Any):
    assert layer_shares(deep(), torch.eye(4)) == {}
    assert layer_shares(brock, torch.eye(16)[:4]) == {}
    assert layer_shares(brock, torch.eye(16)[[0, 8]]) == {"0": [1.0, 0.0], "2": [0.0, 1.0]}


def test_shares_in_words():
    assert shares_text({"0": [0.83], "1": [0.049], "2": [0.121]}, 0) == "layer 0 83 %, layer 2 12 %"


def test_a_subset_keeps_what_is_known_of_each_direction():
    found = two_layers(
        names=["a", "b", "c", "d"], strength=[4.0, 3.0, 2.0, 1.0], layer_shares={"0": [1, 1, 0, 0], "2": [0, 0, 1, 1]}
    )
    chosen = subset(found, [1, 3])
    assert chosen.names == ["b", "d"]
    assert chosen.strengths == [3.0, 1.0]
    assert [chosen.layers_of(row) for row in range(2)] == ["0", "2"]
    assert chosen.metadata["layer_shares"] == {"0": [1, 0], "2": [0, 1]}
    assert torch.equal(chosen.Q, found.Q[[1, 3]])


def test_rows_that_are_not_orthogonal_are_no_start(tmp_path: Path):
    file = tmp_path / "d.safetensors"
    two_layers().save(file)
    assert torch.equal(initial_matrix(str(file), 2, 4, seed=0), torch.eye(2, 4))
    with pytest.raises(
        UserError, match="different layers, which are not orthogonal to each other; choose another start"
    ):
        initial_matrix(str(file), 3, 4, seed=0)
