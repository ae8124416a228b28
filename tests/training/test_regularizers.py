"""Terms of the generator's loss: closed forms, what they do to training, exact resume, and settings."""

from __future__ import annotations

import csv
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.runs.folder import read_saved
from biggan_discovery.training import train
from biggan_discovery.training.architecture import Architecture
from biggan_discovery.training.generator import Generator
from biggan_discovery.training.regularizers.regularizer import Regularizer
from biggan_discovery.training.regularizers.table import REGULARIZERS, complete_regularizer, regularizer_of
from biggan_discovery.training.settings import complete
from tests.training.test_train import TINY, assert_same, at_step

NAMES = ("linear", "block0", "block1", "block2", "image")
GRAM = torch.tensor([[4.0, 3.0], [3.0, 4.0]])  # of the columns of the maps below: singular vectors (1, ±1)/√2


pytestmark = pytest.mark.usefixtures("few_statistics")


def made(name: str, tuned: bool = False, **options: Any) -> Regularizer:
    settings = complete({"regularizer": name, "steps": 300, **options}, resolution=32, rendered=False)
    regularizer = regularizer_of(complete_regularizer(settings, NAMES, tuned=tuned))
    assert regularizer is not None
    return regularizer


def penalty(name: str, activations: Any) -> float:
    z = torch.randn(512, 2, generator=torch.Generator().manual_seed(0))
    return made(name).penalty(activations, z, generator=torch.Generator().manual_seed(1)).item()


# Closed forms


def test_the_hessian_penalty_is_the_greatest_over_samples_of_each_activation():
    # Variances of vᵀHv over two probes are 0 or, with H_01 = c, 8c².
    found = penalty("hessian", lambda z: [3 * z[:, :1] * z[:, 1:], torch.stack((z[:, 0], z.prod(dim=1)), dim=1)])
    assert found == pytest.approx(8 * 9 + 8, rel=1e-3)


def test_orojar_is_the_mean_over_samples():
    # 2·Σ_{i≠j} (JᵢᵀJⱼ)², over 512 samples whose values are 0 or twice that.
    root = torch.linalg.cholesky(GRAM)
    assert penalty("orojar", lambda z: [z @ root]) == pytest.approx(4 * 9, rel=0.15)


def test_the_spectral_penalty_is_the_energy_off_axes():
    root = torch.linalg.cholesky(GRAM)
    assert penalty("spectral", lambda z: [z @ root]) == pytest.approx(0.5, abs=0.01)
    assert penalty("spectral", lambda z: [z * torch.tensor([2.0, 0.5])]) < 1e-3


@pytest.mark.parametrize("name", REGULARIZERS)
def test_gradients_reach_the_weights_of_a_generator(name: str):
    torch.manual_seed(0)
    network = Generator(Architecture(32, 2, 8, 3, 4, True, 0)).train()
    y, regularizer = torch.arange(6) % 3, made(name)

    def activations(z: Tensor) -> list[Tensor]:
        return network.activations(z, y, regularizer.layers)

    z = torch.randn(6, 8)
    regularizer.penalty(activations, z, generator=torch.Generator().manual_seed(0)).backward()
    gradients = {key: each.grad for key, each in network.named_parameters() if each.grad is not None}
    assert any(gradient.any() for key, gradient in gradients.items() if key.startswith("linear"))
    assert all(gradient.isfinite().all() for gradient in gradients.values())


# Training


def history(folder: Path, column: str) -> list[float]:
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    return [float(row[column]) for row in rows]


def test_training_lowers_the_penalty(shapes: Path, tmp_path: Path) -> None:
    settings = {**TINY, "steps": 30, "lr_g": 1e-2, "augment": "none", "regularizer": "orojar"}
    falls = []
    for weight in (1e-30, 1.0):
        run = train(shapes, out=tmp_path / str(weight), weight=weight, layers_to_regularise="block0", **settings)
        of_steps = history(run, "penalty")
        falls.append(sum(of_steps[-5:]) / sum(of_steps[:5]))
    without, with_weight = falls
    assert with_weight < 0.1 * without


@pytest.mark.parametrize("name", REGULARIZERS)
def test_it_resumes_bit_for_bit(name: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**TINY, "steps": 4, "d_steps": 1, "regularizer": name, "ramp": 3}
    train(shapes, out=tmp_path / "whole", **settings)
    with monkeypatch.context() as patched:
        at_step(patched, 3, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit):
            train(shapes, out=tmp_path / "stopped", **settings)
    with pytest.raises(UserError, match=r"ramp 3, not 4"):
        train(shapes, out=tmp_path / "stopped", **{**settings, "ramp": 4})
    train(shapes, out=tmp_path / "stopped", **settings)
    assert_same(tmp_path / "whole", tmp_path / "stopped")
    assert all(value > 0 for value in history(tmp_path / "whole", "penalty"))


def test_the_header_says_what_was_used(shapes: Path, tmp_path: Path) -> None:
    train(shapes, out=tmp_path / "plain", steps=1, **TINY)
    run = train(shapes, out=tmp_path / "tuned", init=tmp_path / "plain", steps=1, regularizer="hessian", **TINY)
    plain, saved = read_saved(tmp_path / "plain"), read_saved(run)
    assert plain is not None
    assert saved is not None
    assert not {"weight", "ramp", "layers_to_regularise"} & plain.settings.keys()
    expected = {"regularizer": "hessian", "weight": 0.1, "ramp": 0, "layers_to_regularise": "block0,block1,block2"}
    assert expected.items() <= saved.settings.items()


# Settings


def test_the_factor_rises_linearly_when_a_run_starts_from_another():
    regularizer = made("hessian", tuned=True)
    assert regularizer.ramp == 100
    assert [regularizer.factor(step) for step in (0, 50, 100, 200)] == pytest.approx([0, 0.05, 0.1, 0.1])
    assert made("hessian").factor(0) == 0.1
    assert made("orojar", ramp=10, weight=2.0).factor(5) == 1.0
    assert made("spectral", tuned=True, minutes=3.0).ramp == 10_000


def test_activations_by_default_and_by_name():
    assert made("hessian").layers == ("block0", "block1", "block2")
    assert made("orojar").layers == ("linear", "block0", "block1")
    assert made("spectral").layers == ("image",)
    assert made("spectral", layers_to_regularise="image,block1").layers == ("block1", "image")
    assert made("spectral", layers_to_regularise="all").layers == NAMES


BAD = [
    ({"weight": 1.0}, "weight is 1.0, but there is no regularizer; choose one of hessian, orojar, spectral"),
    ({"ramp": 5, "regularizer": "none"}, "ramp is 5, but there is no regularizer"),
    ({"regularizer": "hesian"}, "regularizer is 'hesian'; .*did you mean 'hessian'"),
    ({"regularizer": "orojar", "weight": 0.0}, "weight is 0.0; it should be a number above 0"),
    ({"regularizer": "orojar", "layers_to_regularise": "block9"}, "layers_to_regularise is 'block9'; .*block0"),
    ({"regularizer": "orojar", "layers_to_regularise": 3}, "layers_to_regularise is 3; it should be a string"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_settings(options: dict[str, Any], message: str, shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        train(shapes, out=tmp_path / "run", steps=1, **{**TINY, **options})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
