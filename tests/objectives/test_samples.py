from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery import FunctionGenerator
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw


def _generator(classes: int = 3) -> FunctionGenerator:
    return FunctionGenerator(lambda z, y: z[:, :, None, None] + y[:, None, None, None], z_dim=5, num_classes=classes)


def _draw(**changes):
    asked = {"count": 8, "probes": 3, "path_size": 2.0, "seed": 0, "stream": Stream.SEARCH, "step": 4}
    return draw(_generator(), [0, 2], 4, **{**asked, **changes})


def test_shapes_and_ranges():
    samples = _draw(count=500)
    assert samples.z.shape == (500, 5)
    assert set(samples.y.tolist()) == {0, 2}
    assert samples.probes.shape == (3, 500, 4)
    assert set(samples.probes.unique().tolist()) == {-1.0, 1.0}
    assert ((samples.w != 0).sum(dim=1) == 1).all()
    amounts = samples.w.sum(dim=1)
    assert amounts.abs().max() <= 2
    assert amounts.min() < -1.8
    assert amounts.max() > 1.8


def test_latents_are_standard_normal():
    z = _draw(count=4000).z.double()
    assert z.mean().abs() < 0.03
    assert (z.std() - 1).abs() < 0.03


@given(count=st.integers(1, 12), seed=st.integers(0, 2**63 - 1), step=st.integers(0, 10**6))
@settings(deadline=None, max_examples=25)
def test_a_sample_depends_on_seed_step_and_index_alone(count, seed, step):
    many, few = _draw(count=12, seed=seed, step=step), _draw(count=count, seed=seed, step=step)
    assert torch.equal(many.z[:count], few.z)
    assert torch.equal(many.w[:count], few.w)
    assert torch.equal(many.y[:count], few.y)
    assert torch.equal(many.probes[:, :count], few.probes)


@given(first=st.integers(0, 7), count=st.integers(1, 5))
@settings(deadline=None, max_examples=10)
def test_some_samples_are_drawn_without_the_others(first, count):
    whole, some = _draw(count=12), _draw(count=count, first=first)
    part = slice(first, first + count)
    assert torch.equal(whole.z[part], some.z)
    assert torch.equal(whole.w[part], some.w)
    assert torch.equal(whole.y[part], some.y)
    assert torch.equal(whole.probes[:, part], some.probes)


def test_seed_step_and_purpose_change_everything():
    first = _draw()
    for change in ({"seed": 1}, {"step": 5}, {"stream": Stream.HELD_OUT}):
        other = _draw(**change)
        assert not torch.equal(first.z, other.z)
        assert not torch.equal(first.w, other.w)


def test_global_random_state_is_left_alone():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    _draw()
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_parts_make_up_the_whole():
    whole = _draw(count=7)
    parts = whole.split(3)
    assert [len(part.z) for part in parts] == [3, 3, 1]
    assert torch.equal(torch.cat([part.probes for part in parts], dim=1), whole.probes)
    assert torch.equal(torch.cat([part.w for part in parts]), whole.w)
