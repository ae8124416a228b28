"""Path sizes along which every direction changes the image by the same amount."""

from __future__ import annotations

import re

import pytest
import torch

from biggan_discovery.errors import UserError
from biggan_discovery.generators import batching
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.path_size import equal_path_sizes, equal_path_sizes_cost
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
    torch.testing.assert_close(found, (3.0 / change).clamp(max=8.0), rtol=1e-6, atol=0)


def test_they_aim_for_the_usual_change() -> None:
    Q = frame(5)
    usual = (4.0 * slopes_along(Q).sqrt()).median()
    found = torch.tensor(equal_path_sizes(linear(), Q, path_size=4.0, samples=2), dtype=torch.float64)
    torch.testing.assert_close(found, usual / slopes_along(Q).sqrt(), rtol=1e-6, atol=0)


def test_dead_directions_go_as_far_as_any_and_do_not_lower_the_usual_change() -> None:
    found = equal_path_sizes(dead(living=3), AXES, path_size=4.0, samples=2)
    assert found[3:] == [8.0] * 3
    assert found[:3] == pytest.approx(equal_path_sizes(dead(living=3), AXES[:3], path_size=4.0, samples=2))


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
    assert counted.count == advanced == equal_path_sizes_cost(5, samples=3)


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
