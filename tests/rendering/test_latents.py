from __future__ import annotations

import itertools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from scipy import stats

from biggan_discovery.directions import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator, load_generator
from biggan_discovery.rendering import draw, edit, load_latents, sample_classes, sample_latents, save_latents
from biggan_discovery.rendering.latent_files import load_samples
from tests.rendering.toy import levels, toy_generator
from tests.tiny import save_tiny_biggan


def test_samples_depend_on_the_seed_alone() -> None:
    generator = toy_generator()
    torch.testing.assert_close(sample_latents(generator, 3, 5), sample_latents(generator, 9, 5)[:3], rtol=0, atol=0)
    assert not torch.equal(sample_latents(generator, 3, 5), sample_latents(generator, 3, 6))
    # As drawn from Philox when this was written: pictures in documents stay what they are.
    uniform = np.random.Generator(np.random.Philox(5)).random(5)
    np.testing.assert_allclose(sample_latents(generator, 1, 5)[0], stats.norm.ppf(uniform), rtol=1e-5)


def test_samples_follow_the_prior() -> None:
    wide = FunctionGenerator(levels, z_dim=500)
    assert stats.kstest(sample_latents(wide, 40, 0).flatten().numpy(), "norm").pvalue > 0.01


def test_classes_take_turns() -> None:
    assert sample_classes([4, 2], 5).tolist() == [4, 2, 4, 2, 4]
    assert sample_classes(range(20), 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("number", [1, 2, 20, 21, 24, 120, 1000, 1001])
def test_the_class_of_a_sample_does_not_depend_on_how_many_there_are(number: int) -> None:
    all_of_them = sample_classes(range(number), 2 * number).tolist()
    assert sorted(all_of_them[:number]) == list(range(number))
    assert all_of_them[number:] == all_of_them[:number]
    for count in (1, 5, 64):
        assert sample_classes(range(number), count).tolist() == (all_of_them * count)[:count]
    if number > 20:
        assert min(abs(a - b) for a, b in itertools.pairwise(all_of_them)) > number / 5
    assert sample_classes([3], 1).dtype == torch.int64


def test_latents_come_back_exactly(tmp_path: Path) -> None:
    z = torch.randn(3, 5)
    save_latents(tmp_path / "z.npy", z)
    assert torch.equal(load_latents(tmp_path / "z.npy", 5), z)
    np.save(tmp_path / "double.npy", z.double().numpy())
    assert torch.equal(load_latents(tmp_path / "double.npy", 5), z)


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('ran')",)


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil()))


def _cut(path: Path) -> None:
    np.save(path, np.zeros((100, 5)))
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.with_suffix(".txt").touch(), "no latents file"),
        (lambda path: path.mkdir(), "folder"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"hello"), "'hello'; expected a number"),
        (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00" + b"(" * 117), "not a .npy"),
        (_cut, "not a .npy"),
        (_pickled, "Python pickle"),
        (lambda path: np.save(path, np.array([Evil()], dtype=object)), "not of numbers"),
        (lambda path: np.save(path, np.array([["a"] * 5])), "not of numbers"),
        (lambda path: np.save(path, np.zeros((2, 5), complex)), "real numbers"),
        (lambda path: np.save(path, np.zeros((2, 4))), r"\(2, 4\)"),
        (lambda path: np.save(path, np.zeros(6)), r"\(6,\)"),
        (lambda path: np.save(path, np.zeros((2, 3, 5))), r"\(2, 3, 5\)"),
        (lambda path: np.save(path, np.zeros((0, 5))), r"\(0, 5\)"),
        (lambda path: np.save(path, np.full((1, 5), np.nan)), "finite"),
        (lambda path: np.save(path, np.full((1, 5), 1e300)), "finite"),
        (lambda path: torch.save(torch.ones(1).expand(10**9, 5), path), "at most 16,777,216"),
        (lambda path: path.write_text("[[1, 2, 3, 4, 5], [1]]"), "no array|found"),
    ],
)
def test_bad_latents(tmp_path: Path, make, said: str) -> None:
    make(tmp_path / "z.npy")
    with pytest.raises(UserError, match=said) as caught:
        load_latents(tmp_path / "z.npy", 5)
    assert "\n" not in str(caught.value)


def test_latents_are_written_as_npz_or_npy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"written as \.npz, \.npy, \.pt"):
        save_latents(tmp_path / "z.txt", torch.zeros(1, 5))


Z = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
PER_LAYER = torch.randn(3, 9, 16, generator=torch.Generator().manual_seed(1))


def _npz(path: Path, **arrays: np.ndarray) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _npy(path: Path, z: torch.Tensor) -> None:
    with path.open("wb") as file:
        np.save(file, z.numpy())


WRITERS = {
    ".npy": _npy,
    ".npz": lambda path, z: _npz(path, z=z.numpy(), seed=np.array(3)),
    ".npz of any name": lambda path, z: _npz(path, samples=z.numpy()),
    ".pt": lambda path, z: torch.save(z, path),
    ".pt of arrays": lambda path, z: torch.save({"latents": z.numpy(), "seed": 3}, path),
    ".pt of a list": lambda path, z: torch.save(list(z), path),
    "safetensors": lambda path, z: safetensors.torch.save_file({"z": z.contiguous()}, path),
    "JSON": lambda path, z: path.write_text(json.dumps(z.tolist())),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    ("z", "expected"),
    [
        (Z, Z),
        (Z[None], Z),
        (Z[:, None], Z),
        (Z[:, :, None, None], Z),
        (Z[0], Z[:1]),
        (Z[:1], Z[:1]),
        (PER_LAYER, PER_LAYER),
        (PER_LAYER[:1], PER_LAYER[:1]),
    ],
    ids=["Nz", "1Nz", "N1z", "Nz11", "z", "1z", "NLz", "1Lz"],
)
def test_latents_of_any_form_and_shape(tmp_path: Path, writer: str, z: torch.Tensor, expected: torch.Tensor) -> None:
    WRITERS[writer](tmp_path / "latents", z)
    assert torch.equal(load_latents(tmp_path / "latents", 16, 9), expected)


def test_tables_of_latents(tmp_path: Path) -> None:
    for name, delimiter in ((".csv", ","), (".txt", " ")):
        np.savetxt(tmp_path / f"z{name}", Z.numpy(), delimiter=delimiter)
        assert torch.equal(load_latents(tmp_path / f"z{name}", 16, 9), Z)


@pytest.mark.parametrize("name", ["z.npy", "z.npz"])
@pytest.mark.parametrize("z", [Z, PER_LAYER], ids=["Nz", "NLz"])
def test_classes_come_back_with_the_latents(tmp_path: Path, name: str, z: torch.Tensor) -> None:
    y = torch.tensor([4, 0, 2])
    save_latents(tmp_path / name, z, y)
    found, classes = load_samples(tmp_path / name, 16, 9)
    assert torch.equal(found, z)
    assert classes is not None
    assert torch.equal(classes, y)
    # Another tool's latents in the place of ours do not take the classes of ours.
    np.save(tmp_path / "z.npy", z.numpy() + 1)
    assert load_samples(tmp_path / "z.npy", 16, 9)[1] is None


def test_classes_of_other_tools(tmp_path: Path) -> None:
    torch.save({"z": Z, "labels": torch.tensor([[1.0], [2.0], [0.0]])}, tmp_path / "z.pt")
    found = load_samples(tmp_path / "z.pt", 16)[1]
    assert found is not None
    assert found.tolist() == [1, 2, 0]
    for wrong, said in (([1, 2], r"\(2,\)"), ([0.5, 1, 2], "not all integers")):
        torch.save({"z": Z, "y": torch.tensor(wrong)}, tmp_path / "z.pt")
        with pytest.raises(UserError, match=f"classes in .*{said}"):
            load_samples(tmp_path / "z.pt", 16)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> FrozenGenerator:
    return load_generator(save_tiny_biggan(tmp_path_factory.mktemp("deep")), device="cpu")


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def test_a_latent_for_each_layer_is_drawn(tmp_path: Path, deep: FrozenGenerator) -> None:
    found = Directions(torch.eye(2, 16), metadata={"layers": "1-2"})
    z = torch.randn(2, 1, 16, generator=torch.Generator().manual_seed(0)).repeat(1, deep.num_layers, 1)
    np.save(tmp_path / "layers.npy", z.numpy())
    np.save(tmp_path / "one.npy", z[:, 0].numpy())
    for name, picture in (
        ("edit", lambda latents, out: edit(deep, found, {0: 2.0}, out, latents=latents, quiet=True)),
        ("draw", lambda latents, out: draw(deep, found, out, latents=latents, quiet=True)),
    ):
        for kind in ("layers", "one"):
            picture(tmp_path / f"{kind}.npy", tmp_path / f"{name}-{kind}.png")
        drawn = [_pixels(tmp_path / f"{name}-{kind}.png") for kind in ("layers", "one")]
        np.testing.assert_allclose(*drawn, atol=1)
    with pytest.raises(UserError, match="differ from layer to layer"):
        draw(deep, found, tmp_path / "c.png", latents=tmp_path / "layers.npy", curved=True, quiet=True)
