"""A metric must declare its figures, and may return only declared ones."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from biggan_discovery.directions.region import Region
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import Estimate
from biggan_discovery.evaluation.metric import PRESETS, Figure, Kind, Metric, Need, View, no_images
from biggan_discovery.evaluation.metrics.held_out import held_out_metric
from biggan_discovery.evaluation.table import METRICS, check_metrics, metric_named, metric_names, with_needed
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.generators.layer_range import parse_layers
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.objectives.table import OBJECTIVES, objective_named
from tests.evaluation.known import SHAPE, curved, frame, generator

SPREAD = Figure("spread", "spread", "Longest over shortest direction.", "↓")
SIZES = {"quick": {}, "full": {}}


def view(subject: FunctionGenerator | None = None, ndirs: int = 3) -> View:
    subject = subject or curved()
    region = Region("upper", torch.eye(SHAPE[1], dtype=torch.float64))
    return View(subject, frame(ndirs), parse_layers("all", 1), [0], path_size=2.0, epsilon=0.1, region=region)


def spread(view: View) -> dict[Figure, Any]:
    lengths = view.Q.norm(dim=1)
    return {SPREAD: Estimate((lengths.max() / lengths.min()).item())}


def three_pixels(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :3].sigmoid()


def test_a_metric_is_one_object() -> None:
    metric = Metric("spread", (SPREAD,), SIZES, no_images, spread)
    assert metric(view())[SPREAD].mean == pytest.approx(1)


@pytest.mark.parametrize(
    "lacking",
    [{"meaning": ""}, {"meaning": " "}, {"title": ""}, {"key": ""}, {"meaning": "No full stop"}, {"better": "more"}],
)
def test_a_figure_without_a_description_cannot_exist(lacking: dict[str, Any]) -> None:
    whole: dict[str, Any] = {"key": "a", "title": "a", "meaning": "It says so."}
    Figure(**whole)
    with pytest.raises(TypeError):
        Figure(**{**whole, **lacking})
    for name in ("key", "title", "meaning"):
        with pytest.raises(TypeError, match=name):
            Figure(**{key: text for key, text in whole.items() if key != name})


def test_a_metric_without_figures_or_sizes_cannot_exist() -> None:
    with pytest.raises(TypeError, match="figures of spread"):
        Metric("spread", (), SIZES, no_images, spread)
    with pytest.raises(TypeError, match="figures of spread"):
        Metric("spread", (SPREAD, SPREAD), SIZES, no_images, spread)
    with pytest.raises(TypeError, match="preset full"):
        Metric("spread", (SPREAD,), {"quick": {}}, no_images, spread)


def test_a_figure_that_is_not_declared_is_an_error() -> None:
    other = replace(SPREAD, key="other")
    metric = Metric("spread", (other,), SIZES, no_images, spread)
    with pytest.raises(TypeError, match="spread returns spread, which it does not declare"):
        metric(view())


def test_unmet_needs_are_named() -> None:
    metric = Metric("spread", (SPREAD,), SIZES, no_images, spread, needs=frozenset(Need))
    with pytest.raises(UserError, match="at least 2 directions and a generator with at least 2 classes and known true"):
        metric(view(ndirs=1))


def test_an_objective_without_a_meaning_has_no_figure() -> None:
    with pytest.raises(TypeError, match="meaning"):
        held_out_metric(replace(objective_named("hessian"), meaning=""))


def test_every_objective_is_a_metric_made_from_itself() -> None:
    for name in OBJECTIVES:
        objective = objective_named(name)
        value, relative = metric_named(name).figures
        assert value.key == objective.title
        assert objective.meaning.rstrip(".") in value.meaning
        assert relative.key == f"{objective.title} / random"


def test_every_metric_of_the_table_is_whole_and_stands_after_what_it_needs() -> None:
    names = with_needed(None)
    first, *rest = METRICS
    assert names == [first, *OBJECTIVES, *rest]
    reported = {
        name for name in names if any(figure.kind is not Kind.INTERMEDIATE for figure in metric_named(name).figures)
    }
    assert set(metric_names()) == reported
    keys = [(figure.kind, figure.key) for name in names for figure in metric_named(name).figures]
    assert len(set(keys)) == len(keys)
    for place, name in enumerate(names):
        metric = metric_named(name)
        assert set(metric.after) <= set(names[:place])
        quick, full = (metric.presets[preset] for preset in PRESETS)
        assert quick.keys() == full.keys()
        for size in quick:
            assert full[size] is None or full[size] >= quick[size], (name, size)


def test_names_are_picked_with_what_they_need() -> None:
    assert with_needed(["vp"]) == ["activeness", "image-pairs", "vp"]
    assert with_needed(["recovery", "class-transfer"]) == ["activeness", "class-transfer", "recovery"]


def test_unknown_names_are_refused_with_those_nearby() -> None:
    with pytest.raises(UserError, match=r"metrics has 'activness'.*did you mean 'activeness'"):
        check_metrics(["vp", "activness"])
    with pytest.raises(UserError, match="metrics is empty"):
        check_metrics([])


def test_the_table_needs_no_torch() -> None:
    code = "import sys, biggan_discovery.evaluation.table as t; t.check_metrics(['vp']); exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


SAMPLED = [name for name in with_needed(None) if name not in ("recovery", "leakage", "dci", "vp", "rca")]


@pytest.mark.parametrize("name", SAMPLED)
@pytest.mark.parametrize("before", ["tf32", "ieee"])
def test_images_are_made_in_float32_arithmetic(name: str, before: str) -> None:
    backends = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
    seen: set[str] = set()

    def images(z: Tensor, y: Tensor) -> Tensor:
        seen.update(backend.fp32_precision for backend in backends)
        return torch.tanh(z[:, :3, None, None] + y[:, None, None, None]).expand(-1, *SHAPE)

    subject = generator(images, num_classes=2)
    subject.true_directions, subject.factor_names = frame(3).float(), ("a", "b", "c")
    least = {"samples": 2, "probes": 2, "frames": 2, "classes": 2, "pairs": 4, "side": 4}
    metric = metric_named(name)
    sizes = {size: 160 if name == "dci-images" else least.get(size, 2) for size in metric.presets["quick"]}
    found = {figure: [Estimate(1.0)] * 3 for each in metric.after for figure in metric_named(each).figures}
    given = replace(view(subject), sizes=sizes, found=found, predictor=three_pixels)
    with arithmetic(before):
        metric(given)
        assert {backend.fp32_precision for backend in backends} == {before}
    assert seen == {"ieee"}


def test_kinds_of_figures_are_told_apart() -> None:
    # One number and one for each direction have the same key here, and are different figures.
    one, each = metric_named("class-transfer").figures
    assert (one.key, one.kind, each.kind) == (each.key, Kind.SET, Kind.DIRECTION)
    assert one != each
