"""How long a search says that it takes."""

from __future__ import annotations

import pytest

from biggan_discovery.runs import pace
from biggan_discovery.runs.folder import State
from biggan_discovery.runs.pace import Pace


@pytest.mark.parametrize(
    ("total", "most", "minutes", "told"),
    [
        (16, 16, None, "about 24 s for the remaining 12 latents (120 generator evaluations)"),
        (
            16,
            100,
            None,
            "about 24 s for the first 16 latents, then more as long as they help: at most 3 min, 100 latents "
            "(1,000 generator evaluations)",
        ),
        (
            16,
            100,
            1.0,
            "about 24 s for the first 16 latents, then more as long as they help: at most 60 s, 100 latents "
            "(1,000 generator evaluations)",
        ),
        (16, 16, 0.01, "about 24 s for the remaining 12 latents (120 generator evaluations)"),
        (4, 4, None, None),
    ],
)
def test_the_time_of_a_search_is_that_of_its_first_steps(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    total: int,
    most: int,
    minutes: float | None,
    told: str | None,
) -> None:
    """The first of four latents of 10 evaluations took 9 s, the others 6 s."""
    now = iter((0.0, 9.0, 9.0, 15.0, 15.0))
    monkeypatch.setattr(pace.time, "monotonic", lambda: next(now))
    state = State({}, {}, ("penalty", "evaluations"), total, open=most > total)
    with caplog.at_level("INFO"):
        counted = Pace(lambda _: most, minutes)
        counted.begin(state, "latent")
        state.history.append([1.0, 10.0])
        counted.after_step(state)
        state.history += [[1.0, 10.0 * step] for step in range(2, 5)]
        counted.after_step(state)
        counted.after_step(state)
    assert caplog.messages == ([told] if told else [])


def test_a_long_first_step_is_told_at_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = iter((0.0, 40.0))
    monkeypatch.setattr(pace.time, "monotonic", lambda: next(now))
    state = State({}, {}, ("penalty",), 4)
    with caplog.at_level("INFO"):
        counted = Pace(lambda _: 4)
        counted.begin(state, "step")
        state.history.append([1.0])
        counted.after_step(state)
    assert caplog.messages == ["about 2 min for the remaining 3 steps"]
