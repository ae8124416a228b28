"""Curved paths, on generators with closed-form singular vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator, load_generator
from biggan_discovery.numerics.eigenvectors import nearest_eigenvectors
from biggan_discovery.rendering import CurvedFilm, Label, Sheet, curved_paths, leading_directions, lines_of, to_uint8
from tests.brock_tiny import save_tiny_brock

ZERO = torch.tensor([0])


def as_images(values: Tensor) -> Tensor:
    """(N, 3·n·n) as images."""
    side = math.isqrt(values.shape[1] // 3)
    return values.reshape(len(values), 3, side, side)


def polar(z: Tensor) -> Tensor:
    """Twice the radius, the angle, and a third of the last coordinate; Jacobian rows are orthogonal at every point."""
    x, y, depth = z.T
    values = torch.stack((2 * torch.hypot(x, y), 0.8 * torch.atan2(y, x), depth / 3), dim=1)
    return as_images(torch.nn.functional.pad(values, (0, 9)))


@pytest.fixture
def circles() -> FunctionGenerator:
    return FunctionGenerator(polar, z_dim=3, resolution=2, channels=3).double()


def double(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_leading_directions_of_each_sample_by_itself(circles: FunctionGenerator):
    # At radius 2 the singular values are 2 outwards, 0.4 around and 1/3 deep.
    z = double([2, 0, 0], [0, 2, 1], [-2, 0, 0])
    found = leading_directions(circles, z, ZERO.repeat(3), 2)
    assert found.shape == (2, 3, 3)
    outwards = double([1, 0, 0], [0, 1, 0], [1, 0, 0])
    around = double([0, 1, 0], [1, 0, 0], [0, 1, 0])
    torch.testing.assert_close(found[0].abs(), outwards, atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1].abs(), around, atol=1e-4, rtol=0)
    many = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = leading_directions(circles, many, ZERO.repeat(40), 2)
    assert (found * found[:, :1]).sum(dim=-1).min() >= 0


def test_a_path_around_is_a_circle_and_one_outwards_is_straight(circles: FunctionGenerator):
    z = double([2, 0, 0])
    paths = curved_paths(circles, z, ZERO, double([1, 0, 0], [0, 1, 0], [0, 0, 1])[:, None], 1.5, quiet=True)
    points = z + paths.points[:, 0]
    assert points.shape == (3, 2 * 6 + 1, 3)
    length = torch.linspace(-1.5, 1.5, 13, dtype=torch.float64)
    zero = torch.zeros_like(length)
    torch.testing.assert_close(points[0], torch.stack((2 + length, zero, zero), dim=1), atol=1e-3, rtol=0)
    torch.testing.assert_close(points[2], torch.stack((zero + 2, zero, length), dim=1), atol=1e-3, rtol=0)
    # Steps along tangents of 0.25 leave the circle outwards by 0.25²/2r each.
    radius, angle = torch.hypot(points[1, :, 0], points[1, :, 1]), torch.atan2(points[1, :, 1], points[1, :, 0])
    assert radius.min() >= 2 - 1e-6
    assert radius.max() < 2 + 6 * 0.25**2 / 4 + 1e-3
    assert angle[-1] > 0.65  # a straight line of this length ends at an angle of 0.64, the circle's arc at 0.75
    torch.testing.assert_close(angle, -angle.flip(0), atol=1e-3, rtol=0)
    torch.testing.assert_close(points[:, 6], z.expand(3, 3))


def test_a_vector_keeps_its_identity_where_singular_values_change_their_order():
    # In a rotated frame, x²/2 and y: singular values |x| and 1, which cross at x = 1. A path that took the largest at
    # every point would turn off there.
    frame = torch.linalg.qr(torch.randn(2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q

    def images(z: Tensor) -> Tensor:
        x, y = (z @ frame).T
        return as_images(torch.nn.functional.pad(torch.stack((x**2 / 2, y), dim=1), (0, 10)))

    generator = FunctionGenerator(images, z_dim=2, resolution=2, channels=3).double()
    z, along = 1.6 * frame[:, :1].T, frame[:, 0]
    paths = curved_paths(generator, z, ZERO, along[None, None], 1.2, quiet=True)
    length = torch.linspace(-1.2, 1.2, paths.points.shape[2], dtype=torch.float64)
    torch.testing.assert_close(paths.points[0, 0], length[:, None] * along, atol=1e-3, rtol=0)


def test_signs_do_not_flip_on_the_way(circles: FunctionGenerator):
    paths = curved_paths(circles, double([0.7, 0, 0]), ZERO, double([0, -1, 0])[:, None], 3.0, quiet=True)
    steps = paths.points[0, 0].diff(dim=0)
    assert (steps[1:] * steps[:-1]).sum(dim=1).min() > 0
    torch.testing.assert_close(steps.norm(dim=1), torch.full((24,), 0.25, dtype=torch.float64))
    assert paths.points[0, 0, 13, 1] < 0  # ahead is the line's side


def test_samples_and_lines_do_not_meet(circles: FunctionGenerator):
    z = double([2, 0, 0], [0, 1, 1])
    lines = double([1, 0, 0], [0, 1, 0])[:, None].expand(2, 2, 3)
    together = curved_paths(circles, z, ZERO.repeat(2), lines, 1.0, quiet=True)
    for line in range(2):
        for sample in range(2):
            alone = curved_paths(circles, z[sample, None], ZERO, lines[line, None, :1], 1.0, quiet=True)
            torch.testing.assert_close(together.points[line, sample], alone.points[0, 0], atol=1e-3, rtol=0)


def test_amounts_lie_between_the_points_and_ends_are_exact(circles: FunctionGenerator):
    paths = curved_paths(circles, double([2, 0, 0]), ZERO, double([0, 1, 0])[:, None], 0.5, quiet=True)
    points = paths.points[0]
    for amount, expected in ((-0.5, points[:, 0]), (0.5, points[:, 4]), (0, points[:, 2]), (0.25, points[:, 3])):
        torch.testing.assert_close(paths.curved(0, amount), expected)
    torch.testing.assert_close(paths.curved(0, 0.375), (points[:, 3] + points[:, 4]) / 2)
    torch.testing.assert_close(paths.straight(0, 0.375), double([0, 0.375, 0]))


def test_evaluations_are_counted(circles: FunctionGenerator):
    paths = curved_paths(circles, double([2, 0, 0]), ZERO, double([1, 0, 0])[:, None], 0.5, quiet=True)
    # Four points, each an exact singular vector already: one forward pass and one product of three.
    assert paths.evaluations == 4 * (1 + 3)


def test_nearest_of_a_batch_against_dense_eigenvectors():
    random = torch.Generator().manual_seed(0)
    roots = torch.randn(5, 20, 9, generator=random, dtype=torch.float64)
    vectors = torch.randn(5, 9, generator=random, dtype=torch.float64)
    matrices = roots.mT @ roots
    found = nearest_eigenvectors(lambda columns: matrices @ columns, vectors)
    values, dense = np.linalg.eigh(matrices.numpy())
    for one, vector, value, axes in zip(found.numpy(), vectors.numpy(), values, dense, strict=True):
        cosines = np.abs(vector @ axes)
        gap = np.abs(np.subtract.outer(value, value) + np.diag(np.full(9, np.inf))).min(axis=1)
        chosen = np.abs(one @ axes).argmax()
        assert one @ vector > 0
        # An eigenvector indeed, and, but for what the basis had not seen yet, the nearest.
        assert 1 - abs(one @ axes[:, chosen]) < (1e-3 * value[-1] / gap[chosen]) ** 2 + 1e-9
        assert cosines[chosen] > 0.8 * cosines.max()


@pytest.fixture(scope="module")
def brock(tmp_path_factory: pytest.TempPathFactory):
    return load_generator(str(save_tiny_brock(tmp_path_factory.mktemp("brock"))))


def test_layers_see_paths_and_others_do_not(brock):
    z = brock.latents(torch.full((2, 16), 0.3, dtype=torch.float64))
    y = torch.tensor([0, 3])
    lines = leading_directions(brock, z, y, 2, layers="1-2")
    assert lines.shape == (2, 2, 8)
    paths = curved_paths(brock, z, y, lines, 0.5, layers="1-2", quiet=True)
    film = CurvedFilm(brock, paths, z, y, "1-2")
    sheet = Sheet([Label("0", "straight"), Label("0", "curved")], tile=32, columns=2, across=1, scale=1)
    frames = list(film.loop([0, 1], [0.5], sheet))
    moved = z.clone()
    moved[:, 4:12] += paths.points[0, :, -1]
    pictures = to_uint8(brock(moved, y)).astype(int)
    left = frames[0].shape[1] - 2 * 34
    for sample in range(2):
        tile = frames[0][-34 - 0 : -2, left + 34 * sample : left + 34 * sample + 32].astype(int)
        np.testing.assert_allclose(tile, pictures[sample], atol=1)


def test_lines_of_known_directions(brock):
    Q = torch.eye(16)[[4, 9]]
    directions = Directions(Q, Q)
    lines = lines_of(brock, directions, [1, 0], 3, layers="1-2")
    torch.testing.assert_close(lines, torch.eye(8)[[5, 0]][:, None].expand(2, 3, 8))
    with pytest.raises(UserError, match="direction 0 does not reach the layers 2"):
        lines_of(brock, directions, [0], 3, layers="2")


@pytest.mark.parametrize("path_size", [0.0, -1.0, float("nan"), float("inf"), 1e30])
def test_path_sizes_that_no_path_has(circles: FunctionGenerator, path_size: float):
    with pytest.raises(UserError, match=r"path size is .* at most 250"):
        curved_paths(circles, double([2, 0, 0]), ZERO, double([1, 0, 0])[:, None], path_size, quiet=True)


def test_a_network_that_cannot_be_differentiated_is_refused():
    flat = FunctionGenerator(lambda z: as_images(z.detach()), z_dim=12)
    with pytest.raises(UserError, match="is not a differentiable function of z"):
        leading_directions(flat, torch.zeros(1, 12), ZERO, 1)


def test_no_more_directions_than_coordinates(circles: FunctionGenerator):
    with pytest.raises(UserError, match="directions is 4; a space of 3"):
        leading_directions(circles, double([2, 0, 0]), ZERO, 4)
