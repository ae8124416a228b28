from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.rendering import load_latents, sample_classes, sample_latents, save_latents
from tests.rendering.toy import levels, toy_generator


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


def test_classes_take_turns_or_are_spread() -> None:
    assert sample_classes([4, 2], 5).tolist() == [4, 2, 4, 2, 4]
    assert sample_classes(range(1000), 4).tolist() == [0, 250, 500, 750]
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
        (lambda path: path.write_bytes(b""), "not a .npy"),
        (lambda path: path.write_bytes(b"hello"), "not a .npy"),
        (_cut, "not a .npy"),
        (_pickled, "not a .npy"),
        (lambda path: np.save(path, np.array([Evil()], dtype=object)), "not a .npy"),
        (lambda path: np.save(path, np.array([["a"] * 5])), "real numbers"),
        (lambda path: np.save(path, np.zeros((2, 5), complex)), "real numbers"),
        (lambda path: np.save(path, np.zeros((2, 4))), r"\(2, 4\)"),
        (lambda path: np.save(path, np.zeros(5)), r"\(5,\)"),
        (lambda path: np.save(path, np.zeros((0, 5))), r"\(0, 5\)"),
        (lambda path: np.save(path, np.full((1, 5), np.nan)), "finite"),
        (lambda path: np.save(path, np.full((1, 5), 1e300)), "finite"),
    ],
)
def test_bad_latents(tmp_path: Path, make, said: str) -> None:
    make(tmp_path / "z.npy")
    with pytest.raises(UserError, match=said) as caught:
        load_latents(tmp_path / "z.npy", 5)
    assert "\n" not in str(caught.value)


def test_latents_are_written_as_npy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.npy"):
        save_latents(tmp_path / "z.txt", torch.zeros(1, 5))
