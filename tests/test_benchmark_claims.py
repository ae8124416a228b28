"""The comparison of regularizers, at a tiny size: it runs, resumes, and pairs what it compares."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.claims import __main__ as claims
from benchmarks.claims import judging
from benchmarks.claims.judging import Judges
from biggan_discovery.cli import run
from biggan_discovery.generators.factor_predictor import FactorPredictor
from biggan_discovery.runs.folder import read_saved
from biggan_discovery.scenes.table import SCENES
from biggan_discovery.training import export


@pytest.mark.long
def test_networks_are_tuned_from_one_base_and_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: Callable[[click.Command, str], str]
) -> None:
    monkeypatch.setattr(export, "_BATCHES", 2)
    monkeypatch.setattr(export, "_BATCH", 8)
    monkeypatch.setattr(judging, "_LATENTS", 4)
    monkeypatch.setattr(claims, "VARIANTS", ("none", "orojar"))
    words = f"--size tiny --seeds 1 --quiet --device cpu --out {tmp_path}"
    shown = benchmark(claims.benchmark, words)
    folder = tmp_path / "apart-tiny"
    rows = [line.split(" | ") for line in shown.splitlines() if line.startswith("|")]
    assert rows[0][1:] == ["base", "more training", "OroJaR |"]
    assert len(rows) > 15
    titles = [row[0] for row in rows]
    first, second = (rows[place] for place, title in enumerate(titles) if title.startswith("| path length"))
    _, none, orojar = (float(cell.strip(" |")) for cell in first[1:])
    assert float(second[1].strip(" |")) == pytest.approx(orojar - none, abs=1e-3)
    saved = {name: read_saved(folder / f"{name}-0") for name in ("base", "none", "orojar")}
    settings = {name: each.settings for name, each in saved.items() if each is not None}
    assert len({each["data_sha256"] for each in settings.values()}) == 1
    assert settings["none"]["init_sha256"] == settings["orojar"]["init_sha256"]
    differ = {key for key in settings["orojar"] if settings["orojar"][key] != settings["none"].get(key)}
    assert differ == {"regularizer", "weight", "ramp", "layers_to_regularise"}
    with Image.open(folder / "hessians.png") as picture:
        assert picture.width > 3 * 150
    found = json.loads((folder / "figures.json").read_text())
    assert all(np.isfinite(each[0][key]) for each in found.values() for key in ("gap", "VP", "spectral", "pixels"))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(judging, "_measure", refuse)
    monkeypatch.setattr(judging, "train_factor_predictor", refuse)
    assert benchmark(claims.benchmark, words) == shown


class Known(FactorPredictor):
    """Says that every image has the given factors and class."""

    def __init__(self, read: torch.Tensor):
        super().__init__(1)
        self.read = read

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.read[: len(images)]


def test_renders_are_no_distance_from_the_renderer() -> None:
    scene, factors, y = SCENES["apart"], torch.rand(6, 8), torch.arange(6) % 5
    images = torch.nn.functional.avg_pool2d(scene.render(factors, y), 2)
    read = torch.cat((factors, torch.nn.functional.one_hot(y, 5).float()), dim=1)
    judge = Judges(Known(read), scene, 1.0, 1.0, 0.0)
    assert judging._distance(judge, images, judge(images)) < 1e-6
    assert judging._distance(judge, images + 0.1, judge(images)) == pytest.approx(0.1, rel=1e-4)


def test_an_unknown_size_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["claims", "--size", "huge"])
    with pytest.raises(SystemExit) as ended:
        run(claims.benchmark, "claims")
    assert ended.value.code == 2
    assert "huge" in capsys.readouterr().err
