"""The report of all methods, on a tiny network whose true directions are made up."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image

from benchmarks import methods, report
from biggan_discovery.cli import run
from biggan_discovery.evaluation.suite import PRESETS
from tests.cli.test_evaluate import LEAST
from tests.tiny import save_tiny_biggan


def test_methods_are_judged_once_and_beside_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = save_tiny_biggan(tmp_path / "tiny")
    truth = {"directions": torch.eye(3, 16).flip(1).contiguous()}
    (generator / "directions.safetensors").write_bytes(
        safetensors.torch.save(truth, {"names": json.dumps(["hue", "size", "light"])})
    )
    for name in set(methods.METHODS) - {"random", "coordinates"}:
        monkeypatch.delitem(methods.METHODS, name)
    monkeypatch.setitem(PRESETS, "quick", LEAST)
    command = f"report --generator {generator} --seeds 2 --runs {tmp_path / 'runs'} --out {tmp_path / 'out'}"
    texts = []
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", command.split())
        with pytest.raises(SystemExit) as ended:
            run(report.benchmark, "report")
        captured = capsys.readouterr()
        assert not ended.value.code, captured.err
        texts.append((tmp_path / "out" / "figures.md").read_text())
        assert ("judging" in captured.err or "VP" in captured.err) == (len(texts) == 1), "judged once"
    assert texts[0] == texts[1]

    shown = set(re.findall(r"]\((\S+\.png)\)", texts[0]))
    assert shown == {path.name for path in (tmp_path / "out").glob("*.png")}
    for name in shown:
        with Image.open(tmp_path / "out" / name) as image:
            image.load()
    sets = json.loads((tmp_path / "out" / "report.json").read_text(), parse_constant=pytest.fail)["sets"]
    # Coordinates are the same for every seed; three of them are the true directions here.
    assert {method: len(each) for method, each in sets.items()} == {"random": 2, "coordinates": 1, "true directions": 1}
    assert sets["coordinates"][0]["recovery"]["mean"] == sets["true directions"][0]["recovery"]["mean"] == 1
    assert sets["random"][0]["recovery"]["mean"] < 0.9
    assert sets["random"][0] != sets["random"][1]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [([1, 2, 3], [10, 20, 90], "+1.00"), ([1, 2, 3], [3, 2, 1], "-1.00"), ([1, 1, 1], [1, 2, 3], "–")],
)
def test_rank_correlations(one: list[float], other: list[float], expected: str) -> None:
    assert report.signed(report.rank_correlation(torch.tensor(one).numpy(), torch.tensor(other).numpy())) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.9876, 0.9876], "0.988 ± 0"), ([2.0, 2.5], "2.25 ± 0.35"), ([12345.0], "12,345"), ([0.0], "0")],
)
def test_spreads_are_shown(values: list[float], expected: str) -> None:
    assert report.spread(values) == expected
