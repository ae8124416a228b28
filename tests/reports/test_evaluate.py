"""`evaluate` and `compare` as functions: on a network of one's own, resumed, and what they refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from biggan_discovery import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import Estimate, Ratio
from biggan_discovery.evaluation.forecast import Forecast
from biggan_discovery.evaluation.metric import Metric
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.reports.compare import compare
from biggan_discovery.reports.conclusion import conclusion
from biggan_discovery.reports.evaluate import evaluate
from tests.evaluation.small import small_sizes

pytestmark = pytest.mark.usefixtures("blank_figures")

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
        "report.html", "report.md", "report.json", "report.csv", "report.tex", "figures",
    }  # fmt: skip
    saved, now = json.loads((tmp_path / "saved" / "report.json").read_text()), json.loads(report.to_json())
    assert saved.pop("date") <= now.pop("date")
    assert saved == now
    assert {"version", "torch", "device", "arithmetic", "machine", "conclusion"} <= saved.keys()
    page = (tmp_path / "saved" / "report.html").read_text()
    assert "figures/" not in page  # Nothing else is needed.
    assert page.count("data:image/png;base64,") == len(list((tmp_path / "saved" / "figures").iterdir()))
    assert page.index("active") < page.index("<img") < page.index("All figures") < page.index("How this was measured")


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
    assert sorted(again) == sorted(
        ["activeness", "variation predictability", "reconstructor classification accuracy", "class transfer"] * 2
    )
    assert "unfinished" not in json.loads((tmp_path / "out" / "report.json").read_text())


CHANGED = {
    "seed": ("seed 0 (now 1)", {"seed": 1}),
    "preset": ("preset quick (now full)", {"preset": "full"}),
    "path size": ("path_size 5.0 (now 2.0)", {"path_size": 2.0}),
    "classes": ("classes [0, 1] (now [1])", {"classes": [1]}),
    "directions": ("other directions in the set directions", {"seed": 0}),
}


@pytest.mark.parametrize("change", CHANGED)
def test_other_settings_than_those_of_an_unfinished_evaluation_are_refused_by_name(change: str, tmp_path: Path) -> None:
    message, settings = CHANGED[change]
    evaluate(own_network(), directions(), metrics="activeness", quiet=True, out=tmp_path, figures=False)
    file = tmp_path / "report.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"unfinished": True}))
    before = file.read_bytes()
    with pytest.raises(UserError, match=re.escape(f"unfinished report of an evaluation with {message}")):
        evaluate(own_network(), directions(int(change == "directions")), quiet=True, out=tmp_path, **settings)
    assert file.read_bytes() == before


def test_more_metrics_go_on_with_those_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = {"quiet": True, "out": tmp_path, "figures": False}
    evaluate(own_network(), directions(), metrics="class-transfer", **ask)
    file = tmp_path / "report.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"unfinished": True}))
    measured: list[str] = []
    plain = Metric.__call__
    monkeypatch.setattr(Metric, "__call__", lambda self, view: measured.append(self.title) or plain(self, view))
    report = evaluate(own_network(), directions(), metrics="class-transfer,contrastive", **ask)
    assert measured == ["contrastive accuracy"]
    assert {"class transfer", "contrastive accuracy"} <= report.figures["directions"].keys()


def test_without_figures_there_are_numbers_only(tmp_path: Path) -> None:
    report = evaluate(own_network(), directions(), metrics="activeness", quiet=True, out=tmp_path, figures=False)
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html", "report.md", "report.json", "report.csv", "report.tex",
    }  # fmt: skip
    assert "<img" not in (tmp_path / "report.html").read_text()
    assert "pictures" not in report.costs


def test_the_time_is_told_after_the_first_images(caplog: pytest.LogCaptureFixture) -> None:
    forecast = Forecast(1000)
    with caplog.at_level("INFO"):
        forecast.made(10, 0.5, last=False)
        assert not caplog.messages
        forecast.made(50, 5.5, last=False)
        forecast.made(100, 50, last=True)
    assert caplog.messages == ["about 2 min left for 940 images"]


def test_a_conclusion_in_sentences() -> None:
    network = own_network()
    report = evaluate(network, directions(), directions(1), labels=["one", "other"], metrics="hessian", quiet=True)
    one, other, best = conclusion(report)
    assert one.startswith("one: All 3 directions are active. Hessian Penalty ")
    assert "times that of random directions" in other
    assert best.startswith("Least Hessian Penalty: o")


@pytest.mark.parametrize("change", ["damaged", "finished", "hostile"])
def test_what_another_evaluation_left_is_not_taken_over(change: str, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    ask = {"metrics": "activeness", "quiet": True, "out": tmp_path}
    expected = evaluate(own_network(), directions(), **{**ask, "out": None}).figures
    evaluate(own_network(), directions(), **ask)
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
