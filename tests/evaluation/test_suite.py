"""All metrics together: stated costs, and the ranking of a good and a bad set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from biggan_discovery.directions.region import Region
from biggan_discovery.evaluation.metric import Kind, View
from biggan_discovery.evaluation.suite import Judged, Suite
from biggan_discovery.evaluation.table import metric_named, with_needed
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.generators.layer_range import parse_layers
from biggan_discovery.objectives.table import OBJECTIVES
from biggan_discovery.progress import Progress
from tests.evaluation.known import SHAPE, Z_DIM, Counted, frame, generator, random
from tests.evaluation.small import small_sizes

TRUTH = frame(4, seed=3)
PATTERNS = torch.linalg.qr(random(48, 4, seed=2))[0].T.view(4, 3, 4, 4)
NAMES = with_needed(None)
FIGURES = [figure for name in NAMES for figure in metric_named(name).figures]
HELD_OUT = {"samples": 3, "probes": 3, "frames": 4}


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small_sizes(
            patch,
            {
                **dict.fromkeys(OBJECTIVES, HELD_OUT),
                "activeness": {"samples": 3},
                "contrastive": {"samples": 3},
                "image-pairs": {"pairs": 24, "side": 4},
                "leakage-images": {"samples": 4},
                "dci-images": {"samples": 200},
            },
        )
        yield


def scene() -> Counted:
    """Four factors, each with its own pattern, orthogonal to the others; two dimensions have no effect."""

    def images(z: Tensor) -> Tensor:
        return torch.einsum("nf,fchw->nchw", 2 * torch.special.ndtr(z @ TRUTH.T) - 1, PATTERNS)

    counted = Counted(generator(images), num_classes=2)
    counted.generator.true_directions, counted.generator.factor_names = TRUTH.float(), ("a", "b", "c", "d")
    return counted


def read(images: Tensor) -> Tensor:
    """The factors, read from the patterns."""
    return (torch.einsum("nchw,fchw->nf", images, PATTERNS) + 1) / 2


def view_of(subject: FunctionGenerator, Q: Tensor, **fields) -> View:
    region = Region("upper", torch.eye(subject.resolution, dtype=torch.float64))
    return View(subject, Q, parse_layers("all", 1), [0, 1], path_size=2.0, epsilon=0.05, region=region, **fields)


class Recorder(Progress):
    """A silent progress bar that records its progress."""

    def __init__(self, total: int):
        super().__init__(total, "", quiet=True)
        self.done = 0

    def advance(self, count: int = 1, **figures: float) -> None:
        self.done += count
        super().advance(count, **figures)


def judged(Q: Tensor, counted: Counted) -> Judged:
    """Measure the metrics one by one and check their stated cost and progress."""
    result = Judged("set", view_of(counted.generator, Q, predictor=read))
    for name, metric, view in Suite(NAMES, "quick").metrics(result.view):
        before, shared = counted.count, metric.shared_cost(view)
        progress = Recorder(0)
        result.found.update(metric(replace(view, found=result.found, progress=progress)))
        made = counted.count - before
        length, unit = metric.length(view) if metric.length else (metric.cost(view) + shared, "image")
        # What sets share is known now, and costs nothing to the next set.
        assert metric.shared_cost(view) == 0, name
        if name == "off-diagonal":  # Its cost counts backward passes too.
            assert 0 < made <= shared
        else:
            assert made == metric.cost(view) + shared, name
        assert progress.done == length or (progress.done == 0 and unit == "step"), name
    return result


REST = frame(Z_DIM, seed=3)[4:]
GOOD = torch.cat((TRUTH, REST))
BAD = frame(seed=12)


@pytest.fixture(scope="module")
def sets() -> dict[str, Judged]:
    return {"good": judged(GOOD, scene()), "bad": judged(BAD, scene())}


def test_every_figure_that_is_declared_is_found(sets: dict[str, Judged]) -> None:
    lpips = {figure for figure in FIGURES if "LPIPS" in figure.key}
    for each in sets.values():
        assert set(each.found) == set(FIGURES) - lpips
        assert set(each.matrices) == {"mean |H|", "response of latents", "response of images"}
        assert set(each.of_directions) == {
            "activeness",
            "relative change",
            "path length",
            "change per unit",
            "class transfer",
            "region share",
            "region F1",
        }


def test_the_good_set_is_better_wherever_one_can_tell(sets: dict[str, Judged]) -> None:
    good, bad = sets["good"].figures, sets["bad"].figures
    noisy = {"VP", "RCA", "RCA shift error"}  # of networks that learn one epoch from a few pairs
    same = {"class transfer"}  # both classes look alike here
    dead = {"contrastive accuracy"}  # counts what dead directions do as wrong
    for figure in FIGURES:
        if figure.kind is Kind.SET and figure.better and figure.key not in noisy | same | dead:
            difference = good[figure.key].mean - bad[figure.key].mean
            assert difference == pytest.approx(0, abs=1e-6) or (difference > 0) == (figure.better == "↑"), figure.key


def test_known_figures_of_the_true_directions(sets: dict[str, Judged]) -> None:
    good = sets["good"].figures
    assert good["recovery"].mean == pytest.approx(1)
    assert good["leakage"].mean == pytest.approx(0, abs=1e-6)
    assert good["leakage in images"].mean == pytest.approx(0, abs=1e-6)
    assert good["inactive directions"].mean == 2
    assert good["largest on diagonal"].mean == 1
    assert good["Hessian Penalty / random"].mean < 1e-6
    assert good["OroJaR / random"].mean < 0.01  # its differences are one-sided
    assert good["contrastive accuracy"].mean == pytest.approx(4 / 6)
    assert good["class transfer"].mean == pytest.approx(1)
    assert good["DCI disentanglement"].mean > 0.95
    assert good["DCI disentanglement in images"].mean > 0.9
    assert good["mutual information gap"].mean > 0.9
    assert set(sets["good"].active_first[:4]) == {0, 1, 2, 3}


def test_the_suite_finds_the_same_for_a_set_beside_any_other(sets: dict[str, Judged]) -> None:
    counted = scene()
    view = view_of(counted.generator, GOOD, predictor=read)
    beside = [Judged("good", view), Judged("bad", replace(view, Q=BAD)), Judged("two", replace(view, Q=BAD[:2]))]
    suite = Suite(NAMES, "quick")
    costs = suite.costs(beside)
    planned = sum(costs.values())
    suite.measure(beside, quiet=True)
    # All frames are needed here; the matrices' cost counts backward passes too.
    assert planned - costs["off-diagonal at unseen latents"] < counted.count < planned
    assert suite.costs(beside) == {}
    for each in beside[:2]:
        assert each.figures == sets[each.label].figures
        assert each.of_directions == sets[each.label].of_directions
        assert not any(figure.kind is Kind.INTERMEDIATE for figure in each.found)


def test_frames_are_added_until_their_part_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = metric_named("hessian")
    counted = scene()
    view = view_of(counted.generator, BAD, sizes={"samples": 3, "probes": 3, "frames": 400})
    ratios = [metric(replace(view, sizes={**view.sizes, "frames": most})) for most in (4, 400)]
    few, many = (found[metric.figures[1]] for found in ratios)
    assert few.frames == 4
    assert 4 <= many.frames < 400
    assert many.frames == 4 or few.of_frames > 0.5 * few.of_samples
    assert many.of_frames <= 0.5 * many.of_samples
    # Samples that agree exactly leave frames as the only part, and then all that there are are taken.
    plain = replace(view, sizes={"samples": 2, "probes": 2, "frames": 10}, references={})
    monkeypatch.setattr(
        "biggan_discovery.evaluation.metrics.held_out.held_out_values",
        lambda _, Q, **__: torch.full((2,), Q[0, 0].item(), dtype=torch.float64),
    )
    assert metric(plain)[metric.figures[1]].frames == 10


def test_one_direction_and_one_class_are_judged_as_far_as_they_can_be() -> None:
    plain: FunctionGenerator = generator(lambda z: torch.tanh(z[:, :1, None, None]).expand(-1, 3, 4, 4))
    one = Judged("one", replace(view_of(plain, frame(1)), classes=[0]))
    suite = Suite(NAMES, "quick")
    suite.measure([one], quiet=True)
    ratios = {"Hessian Penalty", "Hessian Penalty / random", "OroJaR", "OroJaR / random"}
    assert set(one.figures) >= ratios | {"inactive directions"}
    notes = suite.left_out([one])
    assert "Not measured: class transfer, which needs a generator with at least 2 classes." in notes
    assert "Not measured: variation predictability, which needs at least 2 directions." in notes
    measured = [name for name in NAMES if not metric_named(name).unmet(one.view)]
    assert {*OBJECTIVES, "activeness", "path-length"} <= set(measured)
    assert len(notes) == len(NAMES) - len(measured)


def test_where_nothing_changes_all_is_judged_all_the_same() -> None:
    blank: FunctionGenerator = generator(
        lambda z, y: 0 * (z[:, :3, None, None] + y[:, None, None, None]).expand(-1, *SHAPE), num_classes=2
    )
    dead = Judged("dead", view_of(blank, frame(3)))
    Suite(NAMES, "quick").measure([dead], quiet=True)
    assert dead.figures["inactive directions"].mean == 3
    assert dead.figures["class transfer"].mean != dead.figures["class transfer"].mean  # nan: of no direction
