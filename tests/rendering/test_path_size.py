"""Path sizes along which every direction changes the image by the same amount."""

from __future__ import annotations

import re

import pytest
import torch

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator, batching
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.path_size import (
    equal_path_sizes,
    equal_path_sizes_cost,
    usual_change,
    usual_change_cost,
)
from tests.evaluation.known import (
    PIXELS,
    SHAPE,
    SLOPES,
    Z_DIM,
    Counted,
    curved,
    dead,
    frame,
    generator,
    linear,
)

AXES = torch.eye(Z_DIM, dtype=torch.float64)


def slopes_along(Q: torch.Tensor) -> torch.Tensor:
    """Mean over pixels of the squared slope of `linear`, for each direction."""
    return (SLOPES @ Q.T).square().mean(dim=0)


def test_they_are_inverse_to_the_slope() -> None:
    Q = frame()
    change = slopes_along(Q).sqrt()
    found = torch.tensor(equal_path_sizes(linear(), Q, path_size=4.0, change=3.0, samples=2), dtype=torch.float64)
    torch.testing.assert_close(found, (3.0 / change).clamp(max=4.0), rtol=1e-6, atol=0)


def test_they_aim_for_the_standard_deviation_of_the_images() -> None:
    Q = frame(5)
    usual = usual_change(linear())
    found = torch.tensor(equal_path_sizes(linear(), Q, path_size=50.0, samples=2), dtype=torch.float64)
    torch.testing.assert_close(found, usual / slopes_along(Q).sqrt(), rtol=1e-6, atol=0)


def test_the_standard_deviation_of_a_linear_generator_is_that_of_its_slopes() -> None:
    # The variance of a pixel is the sum of its squared slopes; 16 pairs estimate it.
    exact = SLOPES.square().sum(dim=1).mean().sqrt().item()
    measured = [usual_change(linear(), seed=seed) for seed in range(8)]
    assert sum(measured) / len(measured) == pytest.approx(exact, rel=0.1)


def test_classes_are_not_part_of_the_standard_deviation() -> None:
    def images(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (0.1 * z[:, :1] + 100 * y[:, None]).expand(-1, PIXELS).reshape(-1, *SHAPE)

    many = FunctionGenerator(images, z_dim=Z_DIM, num_classes=4)
    one = usual_change(many, classes=[2])
    assert usual_change(many) == pytest.approx(one, rel=1e-3)
    assert one == pytest.approx(0.1, rel=0.5)


def test_what_other_directions_there_are_does_not_matter() -> None:
    Q = frame()
    together = equal_path_sizes(curved(), Q, samples=2)
    assert [equal_path_sizes(curved(), Q[[row]], samples=2)[0] for row in range(len(Q))] == pytest.approx(together)


def test_dead_directions_go_as_far_as_any() -> None:
    found = equal_path_sizes(dead(living=3), AXES, path_size=4.0, samples=2)
    assert found[3:] == [4.0] * 3


def test_images_that_never_differ_go_as_far_as_any() -> None:
    constant = generator(lambda z: (0 * z[:, :1]).expand(-1, PIXELS).view(-1, *SHAPE))
    assert usual_change(constant) == 0
    assert equal_path_sizes(constant, AXES[:2], path_size=4.0, samples=2) == [4.0, 4.0]


def test_they_are_measured_from_the_sample_or_from_the_centre() -> None:
    # A step at 1: walks from the middle of the axis cross it at 1, whatever z is; those from z at |1 - z|.
    step = generator(lambda z: torch.tanh(200 * (z[:, :1] - 1)).expand(-1, PIXELS).view(-1, *SHAPE))
    found = equal_path_sizes(step, AXES[:1], path_size=4.0, change=0.5, centred=True, samples=3)[0]
    assert found == pytest.approx(1.0, abs=0.51)
    z = draw(step, [0], 1, count=3, probes=0, path_size=1, seed=0, stream=Stream.STEP_SIZE, step=0).z
    assert (z[:, 0] - 1).abs().max() > 1.6
    assert equal_path_sizes(step, AXES[:1], path_size=4.0, change=0.5, samples=3)[0] != found


def test_signs_order_and_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    Q, order = frame(), [3, 0, 5, 1, 2, 4]
    before = torch.tensor(equal_path_sizes(curved(), Q, change=0.4, samples=2))
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
    after = equal_path_sizes(curved(), (signs[:, None] * Q)[order], change=0.4, samples=2)
    torch.testing.assert_close(torch.tensor(after), before[order], rtol=1e-6, atol=1e-9)
    monkeypatch.setattr(batching, "_forward_size", lambda _: 3)
    torch.testing.assert_close(torch.tensor(equal_path_sizes(curved(), Q, change=0.4, samples=2)), before)


def test_they_cost_what_is_stated() -> None:
    advanced = 0

    class Advanced(Progress):
        def advance(self, count: int = 1, **_: float) -> None:
            nonlocal advanced
            advanced += count

    counted = Counted(curved(), num_classes=3)
    equal_path_sizes(counted.generator, frame(5), samples=3, progress=Advanced(1, "", quiet=True))
    assert counted.count == advanced == equal_path_sizes_cost(5, samples=3) + usual_change_cost()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path_size": 0.0}, "path_size is 0.0"),
        ({"change": float("nan")}, "change is nan"),
        ({"samples": 1}, "samples is 1"),
        ({"Q": torch.eye(5)}, "Q has shape (5, 5)"),
    ],
)
def test_bad_input_is_named(settings: dict, message: str) -> None:
    settings = {"Q": AXES, **settings}
    with pytest.raises(UserError, match=re.escape(message)):
        equal_path_sizes(curved(), settings.pop("Q"), **settings)


def test_no_direction_goes_further_than_half_the_length_of_a_latent() -> None:
    flat = FunctionGenerator(
        lambda z: (1e-3 * z[:, :1]).expand(-1, PIXELS).reshape(-1, *SHAPE), z_dim=100, truncation=0.5
    )
    [size] = equal_path_sizes(flat, torch.eye(1, 100), change=1.0, samples=2)
    assert size == pytest.approx(0.5 * 10 / 2, rel=0.05)
