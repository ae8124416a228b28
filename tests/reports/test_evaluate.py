"""`evaluate` and `compare` as functions: on a network of one's own, resumed, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from biggan_discovery import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import Estimate, Ratio
from biggan_discovery.evaluation.metric import Metric
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.reports.compare import compare
from biggan_discovery.reports.evaluate import evaluate
from tests.evaluation.small import small_sizes

FEW = "activeness,vp,rca,class-transfer"


def images(z: Tensor, y: Tensor) -> Tensor:
    waves = torch.linspace(0, 3, 32)
    slow = torch.sin(z[:, :1] * waves)[:, None, :, None] + torch.cos(z[:, 1:2] * waves)[:, None, None, :]
    return torch.tanh(slow + z[:, 2, None, None, None] * (1 + y[:, None, None, None])).expand(-1, 3, -1, -1)


def own_network(fn=images) -> FunctionGenerator:
    return FunctionGenerator(fn, z_dim=4, resolution=32, num_classes=2)


def directions(seed: int = 0) -> Directions:
    return Directions(torch.randn(3, 4, generator=torch.Generator().manual_seed(seed)))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_sizes(monkeypatch)


def test_a_network_of_ones_own_is_judged_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    report = evaluate(own_network(), directions(), directions(1), labels=["one", "other"], path_size=2.0, quiet=True)
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert list(report.figures) == ["one", "other"]
    assert isinstance(report.figures["one"]["VP"], Estimate)
    assert isinstance(report.figures["one"]["Hessian Penalty / random"], Ratio)
    assert len(report.of_directions["other"]["activeness"]) == 3
    assert "Not measured: recovery, which needs known true directions and directions that reach all layers." not in (
        report.notes
    )
    assert "Not measured: recovery, which needs known true directions." in report.notes
    lines = report.table().splitlines()
    assert lines[0].split() == ["metric", "better", "one", "other"]
    assert any(line.startswith("Hessian Penalty / random") for line in lines)
    assert json.loads(report.to_json())["sets"][0]["label"] == "one"
    report.save("saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {
        "report.html", "report.md", "report.json", "figures",
    }  # fmt: skip
    assert json.loads((tmp_path / "saved" / "report.json").read_text()) == json.loads(report.to_json())


def test_baselines_are_judged_too_and_are_none_of_the_references() -> None:
    report = evaluate(own_network(), directions(), baselines=True, metrics=["hessian"], quiet=True)
    assert list(report.figures) == ["directions", "random", "coordinates"]
    assert [note.split(":")[0] for note in report.notes] == ["No SeFa directions", "No GANSpace directions"]
    assert report.figures["random"]["Hessian Penalty / random"].mean != pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("after", [1, 2, 3, 5, 6])
def test_a_stopped_evaluation_goes_on_where_it_stopped(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = {"labels": ["one", "other"], "metrics": FEW, "quiet": True}
    whole = evaluate(own_network(), directions(), directions(1), **ask)
    measured: list[str] = []
    stopping = True
    plain = Metric.__call__

    def counted(self: Metric, view):
        if stopping and len(measured) == after:
            raise KeyboardInterrupt
        measured.append(self.title)
        return plain(self, view)

    monkeypatch.setattr(Metric, "__call__", counted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        evaluate(own_network(), directions(), directions(1), **ask, out=tmp_path / "out")
    assert "the same call continues from there" in stopped.value.__notes__[0]
    partial = json.loads((tmp_path / "out" / "report.json").read_text())
    assert partial["unfinished"] is True
    stopping = False
    finished = evaluate(own_network(), directions(), directions(1), **ask, out=tmp_path / "out")
    assert finished.figures == whole.figures
    assert finished.of_directions == whole.of_directions
    # Nothing but image pairs, which are not kept, is made again.
    again = [title for title in measured if title != "image pairs"]
    assert sorted(again) == sorted(["activeness", "VP", "RCA", "class transfer"] * 2)
    assert "unfinished" not in json.loads((tmp_path / "out" / "report.json").read_text())


@pytest.mark.parametrize("change", ["seed", "directions", "damaged", "finished", "hostile"])
def test_what_another_evaluation_left_is_not_taken_over(change: str, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    ask = {"metrics": "activeness", "quiet": True, "out": tmp_path}
    expected = evaluate(own_network(), directions(), **{**ask, "out": None}).figures
    evaluate(own_network(), directions(1 if change == "directions" else 0), seed=int(change == "seed"), **ask)
    content = json.loads(file.read_text())
    content["unfinished"] = change != "finished"
    content["sets"][0]["figures"]["inactive directions"]["mean"] = 77
    if change == "hostile":
        content["sets"][0]["measured"] = [["no", "name"]]
    file.write_text(json.dumps(content) if change != "damaged" else "{" * 100_000)
    assert evaluate(own_network(), directions(), **ask).figures == expected


def test_where_nothing_changes_there_is_a_report_all_the_same(tmp_path: Path) -> None:
    still = own_network(lambda z, y: 0 * images(z, y))
    report = evaluate(still, directions(), directions(1), labels=["*a*", "b|c"], out=tmp_path, quiet=True)
    assert report.figures["*a*"]["inactive directions"].mean == 3
    content = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert content["sets"][0]["figures"]["class transfer"]["mean"] is None
    assert "\\*a\\*" in (tmp_path / "report.md").read_text()


REFUSED = {
    "metrics has 'activness'": {"metrics": ["activness"]},
    "metrics is empty": {"metrics": []},
    "preset is 'fast'": {"preset": "fast"},
    "probes is 1": {"probes": 1},
    "path_size is -1": {"path_size": -1},
    "epsilon is nan": {"epsilon": float("nan")},
    "labels are a, b; give 1": {"labels": ["a", "b"]},
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_named_before_anything_is_loaded(message: str) -> None:
    early = message.startswith(("metrics", "preset", "probes"))
    generator = "no generator of this name" if early else own_network()
    with pytest.raises(UserError, match=message):
        evaluate(generator, directions(), **REFUSED[message])


def test_directions_of_another_size_and_none_at_all_are_refused() -> None:
    with pytest.raises(UserError, match="no directions"):
        evaluate(own_network())
    with pytest.raises(UserError, match="has directions for z_dim 5"):
        evaluate(own_network(), directions(), Directions(torch.eye(2, 5)))
    with pytest.raises(UserError, match="a comparison needs two or more"):
        compare(own_network(), directions())


def test_sets_are_compared_without_files(tmp_path: Path) -> None:
    turned = Directions(-directions().Q[[2, 0, 1]])
    comparison = compare(own_network(), directions(), turned, out=tmp_path, quiet=True)
    [pair] = comparison.pairs
    assert pair.labels == ("directions 0", "directions 1")
    assert pair.agreement.partners == [(0, 1), (1, 2), (2, 0)]
    assert pair.agreement.mean == pytest.approx(1)
    assert "directions 0 – directions 1" in comparison.table()
    assert json.loads((tmp_path / "report.json").read_text())["comparisons"][0]["mean"] == pytest.approx(1)
