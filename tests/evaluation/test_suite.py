"""All metrics together: they cost what they state, and know a good set from a bad one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from biggan_discovery.evaluation.suite import PRESETS, Conditions, Judgement, Preset, References, Subject, tasks
from biggan_discovery.generators import FunctionGenerator
from biggan_discovery.progress import Progress
from biggan_discovery.reports.metrics import METRICS
from tests.evaluation.known import Z_DIM, Counted, frame, generator, random

TRUTH = frame(4, seed=3)
PATTERNS = torch.linalg.qr(random(48, 4, seed=2))[0].T.view(4, 3, 4, 4)
CONDITIONS = Conditions(classes=[0, 1], path_size=2.0, epsilon=0.05)
SMALL = Preset(
    held_out=3,
    probes=3,
    frames=2,
    diagonalness=2,
    hessian_pairs=None,
    activeness=3,
    path_length=2,
    contrastive=3,
    transfer=2,
    transfer_classes=2,
    pairs=24,
    epochs=1,
    networks=2,
    side=4,
    response=4,
    codes=200,
)


def scene() -> Counted:
    """Four factors, each with its own pattern that orthogonal directions bring out; two dimensions do nothing."""

    def images(z: Tensor) -> Tensor:
        return torch.einsum("nf,fchw->nchw", 2 * torch.special.ndtr(z @ TRUTH.T) - 1, PATTERNS)

    counted = Counted(generator(images), num_classes=2)
    counted.generator.true_directions, counted.generator.factor_names = TRUTH.float(), ("a", "b", "c", "d")
    return counted


def read(images: Tensor) -> Tensor:
    """What the patterns show: the factors themselves."""
    return (torch.einsum("nchw,fchw->nf", images, PATTERNS) + 1) / 2


def judged(subject: Subject, counted: Counted, references: References) -> tuple[Judgement, int, int]:
    """The judgement, and the images that were announced and made."""
    judgement = Judgement()
    work = list(tasks(counted.generator, subject, CONDITIONS, SMALL, judgement, predictor=read, references=references))
    before = counted.count
    for task in work:
        made = counted.count
        done = Recorder(task.length)
        task.run(done)
        assert (counted.count - made, done.done) == (task.images, task.length), task.title
    return judgement, sum(task.images for task in work), counted.count - before


class Recorder(Progress):
    """A progress bar that shows nothing and keeps how far it was advanced."""

    def __init__(self, total: int):
        super().__init__(total, "", quiet=True)
        self.done = 0

    def advance(self, count: int = 1, **figures: float) -> None:
        self.done += count
        super().advance(count, **figures)


REST = frame(Z_DIM, seed=3)[4:]
GOOD = Subject("good", torch.cat((TRUTH, REST)))
BAD = Subject("bad", frame(seed=12))


@pytest.fixture(scope="module")
def judgements() -> dict[str, Judgement]:
    counted, references = scene(), References()
    found = {}
    announced = []
    for subject in (GOOD, BAD):
        found[subject.label], promised, made = judged(subject, counted, references)
        assert promised == made
        announced.append(made)
    # Random directions are judged once for both.
    assert announced[0] - announced[1] == SMALL.frames * SMALL.held_out * (2 * SMALL.probes + SMALL.probes + 1)
    return found


def test_every_figure_of_the_report_is_there(judgements: dict[str, Judgement]) -> None:
    for judgement in judgements.values():
        assert set(judgement.figures) == {metric.key for metric in METRICS}
        assert set(judgement.matrices) == {"mean |H|", "response of latents", "response of images"}
        assert set(judgement.of_directions) == {"activeness", "path length", "change per unit", "class transfer"}


def test_the_good_set_is_better_wherever_one_can_tell(judgements: dict[str, Judgement]) -> None:
    good, bad = judgements["good"].figures, judgements["bad"].figures
    noisy = {"VP", "RCA", "RCA shift error"}  # of networks that learn one epoch from a few pairs
    same = {"class transfer"}  # both classes look alike here
    dead = {"contrastive accuracy"}  # counts what dead directions do as wrong
    for metric in METRICS:
        if metric.better and metric.key not in noisy | same | dead:
            difference = good[metric.key].mean - bad[metric.key].mean
            assert difference == pytest.approx(0, abs=1e-6) or (difference > 0) == (metric.better == "↑"), metric.key


def test_known_figures_of_the_true_directions(judgements: dict[str, Judgement]) -> None:
    good = judgements["good"].figures
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
    assert set(judgements["good"].strongest_first[:4]) == {0, 1, 2, 3}


def test_the_same_set_gets_the_same_figures_beside_any_other(judgements: dict[str, Judgement]) -> None:
    alone, _, _ = judged(BAD, scene(), References())
    assert alone.figures == judgements["bad"].figures


def test_one_direction_and_one_class_are_judged_as_far_as_they_can_be() -> None:
    plain: FunctionGenerator = generator(lambda z: torch.tanh(z[:, :1, None, None]).expand(-1, 3, 4, 4))
    judgement, references = Judgement(), References()
    alone = Conditions(classes=[0], path_size=2.0, epsilon=0.05)
    for task in tasks(plain, Subject("one", frame(1)), alone, SMALL, judgement, references=references):
        task.run(Recorder(task.length))
    assert {"Hessian Penalty", "OroJaR / random", "inactive directions"} == set(judgement.figures) - {
        "Hessian Penalty / random",
        "OroJaR",
    }


def test_presets_are_what_they_say() -> None:
    for name, value in vars(PRESETS["full"]).items():
        quick = getattr(PRESETS["quick"], name)
        assert value is None or value >= quick, name
