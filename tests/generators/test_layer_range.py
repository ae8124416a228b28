from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator, load_generator
from biggan_discovery.generators import layer_range as layer_range_module
from biggan_discovery.generators.layer_range import LayerRange, parse_layers, to_layer_range
from biggan_discovery.generators.remote import REMOTE
from tests.brock_tiny import save_tiny_brock

LAYERS, Z_DIM = 4, 3


def seen(z: torch.Tensor) -> torch.Tensor:
    """An image of the latents of all layers: row l, column c is z[l, c]."""
    return z[:, None]


def showing() -> FunctionGenerator:
    return FunctionGenerator(seen, z_dim=Z_DIM, num_layers=LAYERS, resolution=LAYERS, channels=1)


@settings(deadline=None)
@given(st.integers(3, 60))
def test_thirds_are_a_partition_in_order(num_layers: int) -> None:
    thirds = [parse_layers(word, num_layers) for word in ("coarse", "mid", "fine")]
    covered = [layer for third in thirds for layer in range(third.first, third.last + 1)]
    assert covered == list(range(num_layers))
    sizes = [third.last - third.first + 1 for third in thirds]
    assert max(sizes) - min(sizes) <= 1


def test_the_papers_search_spaces() -> None:
    spaces = [REMOTE["brock-128"].search_space(layers) for layers in ("coarse", "mid", "fine", "all", "0-0", "5")]
    assert spaces == [slice(0, 40), slice(40, 80), slice(80, 120), slice(0, 120), slice(0, 20), slice(100, 120)]
    # biggan-deep: two blocks for each of 5, 6 and 7 doublings, and the first linear layer.
    assert [REMOTE[f"biggan-deep-{size}"].num_layers for size in (128, 256, 512)] == [11, 13, 15]
    assert REMOTE["biggan-deep-256"].search_space("mid") == slice(0, 128)


@pytest.mark.parametrize(
    ("text", "first", "last", "canonical"),
    [
        ("all", 0, 12, "all"),
        (" MID ", 4, 7, "mid"),
        ("4 - 8", 4, 8, "4-8"),
        ("3", 3, 3, "3"),
        ("03-3", 3, 3, "3"),
        ("0-12", 0, 12, "all"),
    ],
)
def test_texts(text: str, first: int, last: int, canonical: str) -> None:
    layers = parse_layers(text, 13)
    assert (layers.first, layers.last, str(layers)) == (first, last, canonical)


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_strings_of_ranges_are_read_back(num_layers: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, num_layers - 1))
    layers = LayerRange(first, data.draw(st.integers(first, num_layers - 1)), num_layers)
    assert parse_layers(str(layers), num_layers) == layers
    if num_layers > 2:
        third = parse_layers("mid", num_layers)
        assert str(third) == "mid"
        assert parse_layers(f"{third.first}-{third.last}", num_layers) == third


def test_generators_take_ranges_as_they_are(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep, brock = load_generator(tiny_folder, device="cpu"), load_generator(save_tiny_brock(tmp_path), device="cpu")
    z, delta = torch.randn(2, 2, 16)
    for generator in (deep, brock, showing()):
        texts = {text: parse_layers(text, generator.num_layers) for text in ("all", "mid", "1-2", "0")}
        z_dim = generator.z_dim
        jobs = [lambda g, x: g.search_space(x), lambda g, x: g.shift(z[:, : g.z_dim], delta[:, : g.z_dim], x)]
        jobs += [lambda g, x: g.projections(x)] * (z_dim == 16)
        by_text = [[job(generator, text) for text in texts] for job in jobs]
        with monkeypatch.context() as patch:
            patch.setattr(layer_range_module, "_RANGE", None)  # no regular expression
            by_range = [[job(generator, layers) for layers in texts.values()] for job in jobs]
        torch.testing.assert_close(by_text[1:], by_range[1:], rtol=0, atol=0)
        assert by_text[0] == by_range[0]
    remote = REMOTE["brock-128"]
    assert remote.search_space(parse_layers("mid", 6)) == remote.search_space("mid") == slice(40, 80)


def test_a_range_of_another_generator_is_refused(tiny_folder: Path) -> None:
    generator = load_generator(tiny_folder, device="cpu")
    fine = parse_layers("fine", 5)
    assert to_layer_range(fine, 5) is fine
    with pytest.raises(UserError, match="layers fine are of 6 layers, but this generator has 5"):
        generator.search_space(parse_layers("fine", 6))


@pytest.mark.parametrize(
    ("text", "num_layers", "said"),
    [
        ("corse", 6, "did you mean 'coarse'"),
        ("", 6, "give all, coarse"),
        ("1,3", 6, "'1,3'"),
        ("-1", 6, "'-1'"),
        ("8-4", 13, "write 4-8"),
        ("4-6", 6, "layers 0 to 5"),
        ("9", 6, "layers 0 to 5"),
        ("mid", 1, "one layer"),
        ("fine", 2, "2 layers"),
        ("x" * 10_000, 6, "give all"),
    ],
)
def test_bad_texts(text: str, num_layers: int, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_layers(text, num_layers)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


@settings(deadline=None)
@given(st.integers(0, LAYERS - 1), st.integers(0, LAYERS - 1), st.booleans(), st.booleans())
def test_only_layers_in_the_range_are_shifted(a: int, b: int, z_per_layer: bool, delta_per_layer: bool) -> None:
    first, last = sorted((a, b))
    z = torch.randn(2, LAYERS, Z_DIM) if z_per_layer else torch.randn(2, Z_DIM)
    delta = torch.randn(2, LAYERS, Z_DIM) if delta_per_layer else torch.randn(2, Z_DIM)
    images = showing()(showing().shift(z, delta, f"{first}-{last}"), torch.zeros(2, dtype=torch.int64))
    for layer in range(LAYERS):
        expected = z[:, layer] if z_per_layer else z
        if first <= layer <= last:
            expected = expected + (delta[:, layer] if delta_per_layer else delta)
        torch.testing.assert_close(images[:, 0, layer], expected, rtol=0, atol=0)


def test_all_layers_need_no_latent_per_layer() -> None:
    z, delta = torch.randn(2, 2, Z_DIM)
    assert torch.equal(showing().shift(z, delta), z + delta)
    assert showing().search_space("1-2") == slice(0, Z_DIM)
    with pytest.raises(UserError, match="layers 0 to 3"):
        showing().shift(z, delta, "2-4")
    with pytest.raises(UserError, match="layers 0 to 3"):
        showing().search_space("4")


def test_in_biggan_deep_other_layers_keep_their_latent(tiny_folder: Path) -> None:
    generator = load_generator(tiny_folder, device="cpu")
    z, delta = torch.randn(2, 2, 16)
    y = torch.tensor([0, 3])
    by_hand = z[:, None].repeat(1, 5, 1)
    by_hand[:, 1:3] += delta[:, None]
    with torch.no_grad():
        images = generator(generator.shift(z, delta, "1-2"), y)
        assert torch.equal(images, generator(by_hand, y))
        assert not torch.allclose(images, generator(z + delta, y), atol=1e-3)


def test_in_a_hierarchical_biggan_layers_are_chunks_of_z(tmp_path: Path) -> None:
    generator = load_generator(save_tiny_brock(tmp_path), device="cpu")  # 4 layers, z of 16
    assert [generator.search_space(layers) for layers in ("0", "1-2", "fine", "all")] == [
        slice(0, 4),
        slice(4, 12),
        slice(8, 16),
        slice(0, 16),
    ]
    z, delta = torch.randn(2, 2, 16)
    shifted = generator.shift(z, delta, "1-2")
    by_hand = z.clone()
    by_hand[:, 4:12] += delta[:, 4:12]
    assert torch.equal(shifted, by_hand)
    y, per_layer = torch.tensor([1, 4]), z[:, None].repeat(1, 4, 1)
    with torch.no_grad():
        torch.testing.assert_close(generator(generator.shift(per_layer, delta, "1-2"), y), generator(by_hand, y))
