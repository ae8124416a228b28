"""The scenes that separate methods have the derivatives they are designed for."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import held_out_penalty
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.scenes import apart
from biggan_discovery.scenes.network import Z_DIM, random_frame
from biggan_discovery.scenes.scene import NUM_FACTORS, Scene
from biggan_discovery.scenes.table import SCENES, find_scene

BOTH = pytest.mark.parametrize("scene", [SCENES["apart"], SCENES["overlap"]], ids=["apart", "overlap"])


def rendered(scene: Scene, frame: torch.Tensor) -> FunctionGenerator:
    """The scene itself as a generator in float64, its factors driven by the first eight rows of a frame."""

    def images(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return scene.images(z @ frame[:NUM_FACTORS].T, y)

    sizes = {"z_dim": Z_DIM, "resolution": 64, "channels": 3}
    return FunctionGenerator(images, class_names=scene.classes, **sizes).double()


def jacobian(scene: Scene, u: torch.Tensor, y: int) -> torch.Tensor:
    """(pixels, 8) by central differences in float64, at one point u (8,)."""
    steps = 1e-5 * torch.eye(NUM_FACTORS, dtype=torch.float64)
    classes = torch.full((NUM_FACTORS,), y)
    return ((scene.images(u + steps, classes) - scene.images(u - steps, classes)) / 2e-5).flatten(1).T


def points(count: int = 10) -> torch.Tensor:
    return torch.randn(count, NUM_FACTORS, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def gram_matrices(scene: Scene) -> torch.Tensor:
    """JᵀJ (10, 8, 8) in the factors' own axes, two points for each class."""
    columns = [jacobian(scene, u, index % len(scene.classes)) for index, u in enumerate(points())]
    return torch.stack([J.T @ J for J in columns])


def off_diagonal(grams: torch.Tensor, Q: torch.Tensor) -> float:
    """The objective of OroJaR (Wei et al. 2021, eq. 4): squared off-diagonal entries of JᵀJ in the frame Q."""
    turned = Q @ grams @ Q.T
    return (turned - torch.diag_embed(turned.diagonal(dim1=1, dim2=2))).square().sum().item()


@BOTH
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_hessian_is_diagonal_in_the_true_frame_and_in_no_random_one(scene, seed):
    generator = rendered(scene, random_frame(seed))
    measured = partial(held_out_penalty, generator, samples=4, probes=4)
    true = measured(random_frame(seed)[:NUM_FACTORS]).mean
    assert true < 1e-20
    assert measured(random_frame(seed + 10)).mean > 1e-5
    # The eight idle directions beside the true ones add nothing.
    assert measured(random_frame(seed)).mean < 1e-20


def test_jacobians_of_apart_are_orthogonal_in_the_true_frame():
    grams = gram_matrices(SCENES["apart"])
    true = torch.eye(NUM_FACTORS, dtype=torch.float64)
    assert grams.diagonal(dim1=1, dim2=2).min() > 0
    assert off_diagonal(grams, true) == 0
    mixed, _ = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    assert off_diagonal(grams, mixed) > 0.1 * grams.square().sum()


def test_orthogonal_jacobians_of_overlap_are_not_those_of_the_true_frame():
    grams = gram_matrices(SCENES["overlap"])
    true = torch.eye(NUM_FACTORS, dtype=torch.float64)
    # One frame for all points at once that is far better: the principal axes of the mean.
    _, principal = torch.linalg.eigh(grams.mean(dim=0))
    assert off_diagonal(grams, principal.T) < 0.6 * off_diagonal(grams, true)
    assert principal.abs().max() < 0.9
    random = torch.Generator().manual_seed(0)
    mixed = [torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=random))[0] for _ in range(10)]
    assert off_diagonal(grams, true) > 0.8 * sum(off_diagonal(grams, Q) for Q in mixed) / len(mixed)


@BOTH
def test_factors_are_of_comparable_strength(scene):
    u, y = points(40), torch.arange(40) % len(scene.classes)
    strengths = []
    for axis in torch.eye(NUM_FACTORS, dtype=torch.float64):
        change = scene.images(u + 0.25 * axis, y) - scene.images(u - 0.25 * axis, y)
        by_class = [change[index :: len(scene.classes)].square().mean().sqrt() for index in range(len(scene.classes))]
        assert min(by_class) > 0.01
        strengths.append(sum(by_class) / len(by_class))
    assert max(strengths) < 2 * min(strengths)


@BOTH
def test_images_are_in_range_and_reach_the_ends_of_no_tanh(scene):
    y = torch.arange(10) % len(scene.classes)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat_interleave(5)
    for factors in (ends[:, None].expand(-1, NUM_FACTORS), torch.special.ndtr(points(10))):
        images = scene.render(factors, y)
        assert (images.dtype, images.shape) == (torch.float64, (10, 3, 64, 64))
        assert images.abs().max() <= 0.9 + 1e-12


def test_each_picture_of_apart_shows_its_factor_and_no_other():
    u, y = points(5), torch.arange(5)
    before = SCENES["apart"].images(u, y)
    covered = torch.zeros(64, 64)
    for index in range(NUM_FACTORS):
        changed = SCENES["apart"].images(u + torch.eye(NUM_FACTORS)[index], y) != before
        covered[apart.part(index)] += 1
        assert changed[:, :, *apart.part(index)].flatten(1).any(dim=1).all()
        changed[:, :, *apart.part(index)] = False
        assert not changed.any()
    assert (covered == 1).all()


def test_light_adds_up_in_overlap():
    scene, y = SCENES["overlap"], torch.arange(5)
    dark = scene.render(torch.zeros(5, NUM_FACTORS), y)
    lamps = torch.eye(NUM_FACTORS)
    alone = sum(scene.render(lamp.expand(5, -1), y) - dark for lamp in lamps)
    assert (scene.render(torch.ones(5, NUM_FACTORS), y) - dark - alone).abs().max() < 1e-5


@BOTH
@pytest.mark.parametrize(
    ("factors", "y", "message"),
    [
        (torch.zeros(2, 7), torch.zeros(2, dtype=torch.int64), "must be"),
        (torch.zeros(2, 8), torch.tensor([0, 5]), "0 to 4"),
        (torch.full((1, 8), 1.5), torch.tensor([0]), "1.5"),
    ],
)
def test_bad_scenes(scene, factors, y, message):
    with pytest.raises(ValueError, match=message):
        scene.render(factors, y)


def test_unknown_scene():
    with pytest.raises(UserError, match=r"'overlop'.*did you mean 'overlap'"):
        find_scene("overlop")
