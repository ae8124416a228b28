"""VP and RCA on distinct, inactive or identical directions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.metrics.reconstruction import reconstruction
from biggan_discovery.evaluation.metrics.shift_pairs import ShiftPairs, shift_pairs, shift_pairs_cost
from biggan_discovery.evaluation.metrics.variation_predictability import variation_predictability
from biggan_discovery.evaluation.shift_network import shares
from biggan_discovery.generators import FunctionGenerator, batching
from tests.evaluation.known import Counted, curved, linear, random

SIDE, NDIRS = 16, 4
AXES = torch.eye(NDIRS)
# A colour for each quarter of the image.
PATTERNS = torch.zeros(NDIRS, 3, SIDE, SIDE)
for quarter in range(NDIRS):
    down, across = divmod(quarter, 2)
    PATTERNS[quarter, :, 8 * down : 8 * down + 8, 8 * across : 8 * across + 8] = random(3, 1, 1, seed=quarter).float()


def patterns(living: int = NDIRS) -> FunctionGenerator:
    """Every direction adds its own pattern; the last ones add nothing."""
    shown = PATTERNS * (torch.arange(NDIRS) < living)[:, None, None, None]
    return FunctionGenerator(lambda z: torch.einsum("ni,ichw->nchw", z, shown), z_dim=NDIRS)


def pairs_of(generator: FunctionGenerator, count: int = 320) -> ShiftPairs:
    return shift_pairs(generator, AXES, path_size=3.0, pairs=count)


@pytest.fixture(scope="module")
def easy() -> ShiftPairs:
    return pairs_of(patterns())


def test_pairs_differ_by_the_step_they_state(easy: ShiftPairs) -> None:
    change = easy.after.float() - easy.before.float()
    expected = 3 * easy.amount[:, None, None, None] * PATTERNS[easy.direction]
    torch.testing.assert_close(change, expected, rtol=0, atol=0.02)  # half precision
    assert easy.direction.bincount(minlength=NDIRS).min() > 50
    assert 1 / 12 <= easy.amount.abs().min() < 0.12
    assert 0.97 < easy.amount.abs().max() <= 1
    assert 0.4 < (easy.amount > 0).float().mean() < 0.6


def test_large_images_are_averaged_down() -> None:
    small = shift_pairs(patterns(), AXES, pairs=20, side=8)
    large = shift_pairs(patterns(), AXES, pairs=20, side=16)
    torch.testing.assert_close(
        small.before.float(), torch.nn.functional.avg_pool2d(large.before.float(), 2), rtol=0, atol=0.01
    )


def test_pairs_cost_what_they_state_and_do_not_depend_on_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(curved())
    Q = torch.eye(6)
    whole = shift_pairs(counted.generator, Q, pairs=10)
    assert counted.count == shift_pairs_cost(pairs=10)
    monkeypatch.setattr(batching, "_forward_size", lambda _: 3)
    parts = shift_pairs(Counted(curved()).generator, Q, pairs=10)
    assert torch.equal(whole.before, parts.before)
    assert torch.equal(whole.after, parts.after)


def test_the_shares_of_the_pairs_do_not_meet(easy: ShiftPairs) -> None:
    cut = shares(easy, 0.25, 0.125, 0.625, seed=3)
    assert [len(share) for share in cut] == [80, 40, 200]
    assert sorted(torch.cat(cut).tolist()) == list(range(320))
    assert cut[0].tolist() != shares(easy, 0.25, 0.125, 0.625, seed=4)[0].tolist()


def test_directions_that_differ_are_told_apart(easy: ShiftPairs) -> None:
    vp = variation_predictability(easy, epochs=12, repeats=2)
    assert vp.mean > 0.9
    assert 0 < vp.standard_error < 0.05
    accuracy, shift_error = reconstruction(easy, epochs=12)
    assert accuracy.mean > 0.95
    assert shift_error.mean < 0.2  # about 0.5 for who knows nothing


def test_dead_directions_cannot_be_told_apart() -> None:
    # Two of four are seen; the other two look alike and are guessed: 1/2 + 1/2·1/2.
    found = variation_predictability(pairs_of(patterns(living=2)), epochs=12, repeats=2)
    assert found.mean == pytest.approx(0.75, abs=4 * found.standard_error)
    nothing = reconstruction(pairs_of(patterns(living=0)), epochs=4)
    assert nothing.accuracy.mean == pytest.approx(1 / NDIRS, abs=4 * nothing.accuracy.standard_error)
    assert nothing.shift_error.mean > 0.4


def test_the_seed_decides_everything(easy: ShiftPairs) -> None:
    state = torch.get_rng_state()
    assert reconstruction(easy, epochs=2, seed=5) == reconstruction(easy, epochs=2, seed=5)
    assert reconstruction(easy, epochs=2, seed=5) != reconstruction(easy, epochs=2, seed=6)
    assert torch.equal(torch.get_rng_state(), state)


def test_too_few_pairs_are_refused() -> None:
    few: ShiftPairs = shift_pairs(linear(), torch.eye(6, dtype=torch.float64), pairs=15)
    with pytest.raises(UserError, match="15 pairs"):
        reconstruction(few)
    with pytest.raises(UserError, match="15 pairs"):
        variation_predictability(few)


def test_one_network_has_no_spread(easy: ShiftPairs) -> None:
    with pytest.raises(UserError, match="repeats is 1"):
        variation_predictability(easy, repeats=1)


def test_the_global_random_state_of_weights_is_not_shared(easy: ShiftPairs) -> None:
    def weights() -> Tensor:
        return torch.tensor(variation_predictability(easy, epochs=1, repeats=2))

    before = weights()
    torch.rand(5)
    assert torch.equal(before, weights())
