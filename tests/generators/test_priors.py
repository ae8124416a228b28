"""Priors of latents against SciPy's distributions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from biggan_discovery import Directions, discover, load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator

Z_DIM = 6


def generator(**arguments: Any) -> FunctionGenerator:
    return FunctionGenerator(lambda z: z[:, None, None], z_dim=Z_DIM, **arguments).double()


def uniform(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, Z_DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("truncation", [1.0, 0.3])
@pytest.mark.parametrize(
    ("prior", "distribution"),
    [
        ("normal", scipy.stats.norm()),
        ("uniform", scipy.stats.uniform(-1, 2)),
        ("truncated", scipy.stats.truncnorm(-2, 2)),
    ],
)
def test_coordinates_are_scaled_quantiles(prior: str, distribution: Any, truncation: float) -> None:
    numbers = uniform(50)
    expected = truncation * distribution.ppf(numbers.numpy())
    found = generator(prior=prior, truncation=truncation).latents(numbers)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("truncation", [1.0, 0.3])
def test_the_sphere_has_its_radius_and_no_preferred_direction(truncation: float) -> None:
    z = generator(prior="sphere", truncation=truncation).latents(uniform(20_000))
    torch.testing.assert_close(z.norm(dim=1), torch.full((20_000,), truncation * Z_DIM**0.5).double())
    # A coordinate of a uniform direction in n dimensions is 2·Beta((n-1)/2, (n-1)/2) - 1.
    shape = (Z_DIM - 1) / 2
    axes = torch.linalg.qr(torch.randn(Z_DIM, Z_DIM, generator=torch.Generator().manual_seed(1)).double())[0]
    for axis in (torch.eye(Z_DIM).double()[0], *axes):
        coordinate = (z @ axis / (truncation * Z_DIM**0.5)).numpy()
        assert scipy.stats.kstest((coordinate + 1) / 2, scipy.stats.beta(shape, shape).cdf).pvalue > 1e-3


def test_the_centre_of_the_sphere_s_numbers_has_a_latent_too() -> None:
    z = generator(prior="sphere").latents(torch.full((1, Z_DIM), 0.5))
    torch.testing.assert_close(z.norm(), torch.tensor(Z_DIM**0.5).double())


def test_a_function_is_a_prior() -> None:
    numbers = uniform(20)
    found = generator(prior=lambda u: -torch.log(1 - u), truncation=0.5).latents(numbers)
    np.testing.assert_allclose(found.numpy(), 0.5 * scipy.stats.expon().ppf(numbers.numpy()), rtol=1e-9)


def test_samples_of_a_search_come_from_the_prior() -> None:
    seen: list[Tensor] = []

    def images(z: Tensor) -> Tensor:
        seen.append(z.detach())
        return torch.sin(2 * z)[:, None, None]

    own = FunctionGenerator(images, z_dim=Z_DIM, prior="uniform", resolution=1, channels=1)
    discover(own, method="jacobian", samples=40, judge=False, quiet=True)
    assert torch.cat(seen).abs().max() <= 1


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ("normall", r"prior is 'normall' \(did you mean 'normal'\?\); it should be normal, uniform, truncated, sphere"),
        (3, "prior is 3"),
        (lambda u: u[:, :2], r"the prior returned torch.float64 \(4, 2\); it should return float latents \(4, 6\)"),
        (lambda u: u.round().long(), r"the prior returned torch.int64"),
        (lambda u: u.tolist(), "the prior returned list"),
    ],
)
def test_bad_priors(prior: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        generator(prior=prior).latents(uniform(4))


def shifted(numbers: Tensor) -> Tensor:
    return numbers - 0.5


@pytest.mark.parametrize(
    ("prior", "stored"), [("normal", "normal"), ("uniform", "uniform"), ("sphere", "sphere"), (shifted, "shifted ")]
)
def test_the_prior_is_stored_and_compared(prior: Any, stored: str, tmp_path: Path) -> None:
    def images(z: Tensor) -> Tensor:
        return torch.sin(z)[:, None, None]

    def found(**arguments: Any) -> Directions:
        own = FunctionGenerator(images, z_dim=Z_DIM, **arguments)
        return discover(own, solver="adam", steps=1, batch=1, judge=False, quiet=True, out=tmp_path / "run")

    assert found(prior=prior).metadata["prior"].startswith(stored)
    assert found(prior=prior).metadata["prior"].startswith(stored)
    with pytest.raises(UserError, match="contains a run with prior"):
        found(prior=lambda numbers: 2 * numbers)


def test_an_attribute_of_the_network_is_its_prior(tmp_path: Path) -> None:
    (tmp_path / "gan.py").write_text(
        "import torch\ndef G(z): return torch.sin(z)[:, None, None]\nG.z_dim, G.prior = 6, 'uniform'\n"
    )
    assert load_generator(f"{tmp_path}/gan.py:G", device="cpu").prior == "uniform"
