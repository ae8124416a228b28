"""The report of all methods, on a tiny network with made-up true directions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import safetensors.torch
import torch
from PIL import Image

from benchmarks import judged, methods, report
from biggan_discovery import load_generator
from biggan_discovery.evaluation.suite import Suite
from tests.evaluation.small import small_sizes
from tests.tiny import save_tiny_biggan


def test_methods_are_judged_once_and_beside_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: Callable[[click.Command, str], str]
) -> None:
    generator = save_tiny_biggan(tmp_path / "tiny")
    truth = {"directions": torch.eye(3, 16).flip(1).contiguous()}
    (generator / "directions.safetensors").write_bytes(
        safetensors.torch.save(truth, {"names": json.dumps(["hue", "size", "light"])})
    )
    for name in set(methods.METHODS) - {"random", "coordinates"}:
        monkeypatch.delitem(methods.METHODS, name)
    small_sizes(monkeypatch)
    runs, out = tmp_path / "runs", tmp_path / "out"
    benchmark(report.benchmark, f"--generator {generator} --seeds 2 --runs {runs} --out {out}")

    shown = set(re.findall(r"]\((\S+\.png)\)", (out / "figures.md").read_text()))
    assert shown == {path.name for path in out.glob("*.png")}
    for name in shown:
        with Image.open(out / name) as image:
            image.load()
    sets = json.loads((out / "report.json").read_text(), parse_constant=pytest.fail)["sets"]
    # Coordinates are the same for every seed; three of them are the true directions here.
    assert {method: len(each) for method, each in sets.items()} == {"random": 2, "coordinates": 1, "true directions": 1}
    assert (
        sets["coordinates"][0]["figures"]["recovery"]["mean"]
        == sets["true directions"][0]["figures"]["recovery"]["mean"]
        == 1
    )
    assert sets["random"][0]["figures"]["recovery"]["mean"] < 0.9
    assert sets["coordinates"][0]["recovered"] == {"hue": 1, "size": 1, "light": 1}
    assert sets["random"][0] != sets["random"][1]

    monkeypatch.setattr(Suite, "measure", lambda *_, **__: pytest.fail("judged again"))
    again = judged.judge_all(load_generator(generator, device="cpu"), 2, "quick", runs)
    assert again["random"][1].figures()["VP"].mean == sets["random"][1]["figures"]["VP"]["mean"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [([1, 2, 3], [10, 20, 90], "+1.00"), ([1, 2, 3], [3, 2, 1], "-1.00"), ([1, 1, 1], [1, 2, 3], "–")],
)
def test_rank_correlations(one: list[float], other: list[float], expected: str) -> None:
    assert report.signed(report.rank_correlation(torch.tensor(one).numpy(), torch.tensor(other).numpy())) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [([8.0, 8.0], "8"), ([2.0, 2.5], "2.25 ± 0.35"), ([41000.0, 12000.0], "26,500 ± 20,506"), ([12345.0], "12,345")],
)
def test_spreads_are_shown(values: list[float], expected: str) -> None:
    assert report.spread(values) == expected
