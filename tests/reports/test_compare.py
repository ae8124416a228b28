"""`compare` says first what it takes, keeps each set when it is measured, and resumes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from biggan_discovery.errors import UserError
from biggan_discovery.reports import compare as module
from biggan_discovery.reports.compare import compare
from tests.reports.test_evaluate import directions, images, own_network

pytestmark = pytest.mark.usefixtures("blank_figures")

SETS = [directions(seed) for seed in range(3)]


def compared(out: Path | None = None, **change: Any):
    return compare(own_network(), *SETS, **{"out": out, "quiet": True, **change})


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Interrupt the measurement of the set after `count` others; the list says how many were measured."""
    measured, plain = [], module.activeness

    def counted(*arguments: Any, **settings: Any):
        if len(measured) == count:
            raise KeyboardInterrupt
        measured.append(1)
        return plain(*arguments, **settings)

    monkeypatch.setattr(module, "activeness", counted)
    return measured


@pytest.mark.parametrize("count", [0, 1])
def test_an_interrupted_comparison_resumes_with_the_same_result(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compared(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(count, patch)
        with pytest.raises(KeyboardInterrupt) as stopped:
            compared(tmp_path / "out")
    assert "the same call continues from there" in stopped.value.__notes__[0]
    measured = stop_after(2, monkeypatch)
    again = compared(tmp_path / "out")
    assert len(measured) == 2 - count
    assert [pair.activeness for pair in again.pairs] == [pair.activeness for pair in whole.pairs]
    assert again.table() == whole.table()
    content, expected = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("out", "whole"))
    assert content["comparisons"] == expected["comparisons"]
    assert "unfinished" not in content


def interrupted(out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            compared(out)
    return out / "report.json"


def test_other_settings_and_other_directions_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"unfinished report of a comparison with seed 0 \(now 4\); give the same"):
        compared(tmp_path, seed=4)
    with pytest.raises(UserError, match=r"classes \[0, 1\] \(now \[1\]\)"):
        compared(tmp_path, classes=1)
    with pytest.raises(UserError, match="other directions in the set directions 0"):
        compare(own_network(), *SETS[::-1], out=tmp_path, quiet=True)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", "{" * 100_000, '{"unfinished": true}', '{"unfinished": true, "comparison": 1}']
)
def test_what_another_program_left_is_not_taken_over(content: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(content)
    assert compared(tmp_path).table() == compared().table()


@pytest.mark.parametrize("hostile", [[{"label": []}], [{"label": "directions 0"}], {"a": 1}, [7], None])
def test_a_broken_unfinished_report_is_not_taken_over(
    hostile: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = interrupted(tmp_path, monkeypatch)
    file.write_text(json.dumps({**json.loads(file.read_text()), "measured": hostile}))
    assert compared(tmp_path).table() == compared().table()


def test_the_first_line_says_what_is_compared_and_what_it_takes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = []

    def counted(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        made.append(len(z))
        return images(z, y)

    network = own_network(counted)
    with caplog.at_level(logging.INFO, "biggan_discovery"):
        compare(network, *SETS, out=tmp_path)
    # 8 samples × (2 · 3 + 1) for two sets; 3 matched directions × 2 × 7 stills for three pairs.
    assert caplog.messages[0] == (
        "comparing 3 sets of directions in function: directions 0 (3), directions 1 (3), directions 2 (3); "
        "112 images for activeness, 126 for pictures"
    )
    assert 112 + 126 <= sum(made) < 112 + 126 + 20  # and a few to try the network


def test_sets_that_change_nothing_are_compared(tmp_path: Path) -> None:
    still = own_network(lambda z, y: 0 * images(z, y))
    comparison = compare(still, *SETS, out=tmp_path, quiet=True)
    content = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert content["comparisons"][0]["weighted_by_activeness"] is None
    assert content["comparisons"][0]["mean"] == pytest.approx(comparison.pairs[0].agreement.mean)
