"""All metrics of some sets of directions: what is to be done, what it costs, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from biggan_discovery.evaluation import factors
from biggan_discovery.evaluation.activeness import activeness, activeness_cost, inactive
from biggan_discovery.evaluation.class_transfer import class_transfer, class_transfer_cost
from biggan_discovery.evaluation.contrastive import contrastive_accuracy, contrastive_accuracy_cost
from biggan_discovery.evaluation.dci import dci, mutual_information_gap
from biggan_discovery.evaluation.diagonalness import diagonalness, diagonalness_cost
from biggan_discovery.evaluation.estimates import Estimate, estimate, ratio
from biggan_discovery.evaluation.held_out import OBJECTIVES, held_out_cost, held_out_values, random_frames
from biggan_discovery.evaluation.path_length import Distance, path_length, path_length_cost, squared_error
from biggan_discovery.evaluation.reconstruction import reconstruction
from biggan_discovery.evaluation.recovery import recovery
from biggan_discovery.evaluation.shift_pairs import ShiftPairs, shift_pairs, shift_pairs_cost
from biggan_discovery.evaluation.variation_predictability import variation_predictability
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.progress import Progress

Predictor = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Preset:
    """How many samples each metric takes; all in z but for `pairs` (of images), `epochs` and `networks` (of VP)."""

    held_out: int
    probes: int
    frames: int  # random ones to compare with
    diagonalness: int
    hessian_pairs: int | None
    activeness: int
    path_length: int
    contrastive: int
    transfer: int
    transfer_classes: int
    pairs: int
    epochs: int
    networks: int
    side: int
    response: int
    codes: int


PRESETS = {
    "quick": Preset(16, 8, 2, 3, 200, 8, 6, 8, 2, 5, 800, 25, 3, 32, 8, 320),
    "full": Preset(128, 12, 5, 16, None, 64, 48, 32, 16, 10, 10_000, 40, 5, 64, 64, 2000),
}

_LATENTS = 8000  # for figures that take no images


@dataclass(frozen=True)
class Subject:
    """Directions to judge: Q (ndirs, z_dim), what to call them, and the layers that they reach."""

    label: str
    Q: Tensor
    layers: str = "all"
    names: tuple[str, ...] = ()


def true_subject(generator: FrozenGenerator, ndirs: int, label: str = "true") -> Subject:
    """The true directions, and below them what is orthogonal to them, up to `ndirs` rows where there are fewer.

    Raises:
        UserError: for a generator whose true directions are unknown.
    """
    truth = factors.true_directions(generator)
    rest = torch.linalg.qr(truth.double().T, mode="complete").Q.T[len(truth) :]
    rows = torch.cat((truth, rest.to(truth)))[: max(ndirs, len(truth))]
    names = [*generator.factor_names, *[""] * (len(rows) - len(truth))]
    return Subject(label, rows, "all", tuple(names))


@dataclass(frozen=True)
class Conditions:
    """What holds for all sets that are compared: classes, path size η, finite-difference step ε, and the seed."""

    classes: list[int]
    path_size: float
    epsilon: float
    seed: int = 0


@dataclass
class Judgement:
    """What came out, by metric: one figure, a figure for each direction, or a matrix."""

    figures: dict[str, Estimate] = field(default_factory=dict)
    of_directions: dict[str, list[Estimate]] = field(default_factory=dict)
    matrices: dict[str, Tensor] = field(default_factory=dict)

    @property
    def strongest_first(self) -> list[int]:
        """Directions by activeness."""
        scores = [each.mean for each in self.of_directions["activeness"]]
        return sorted(range(len(scores)), key=lambda direction: -scores[direction])


@dataclass(frozen=True)
class Task:
    """A piece of the work: what it costs in forward passes of one image, in what units it goes on, and how to do it."""

    title: str
    images: int
    length: int
    unit: str
    run: Callable[[Progress], None]


References = dict[tuple[str, int, str], Tensor]


def tasks(
    generator: FrozenGenerator,
    subject: Subject,
    conditions: Conditions,
    preset: Preset,
    judgement: Judgement,
    *,
    predictor: Predictor | None = None,
    perceptual: Distance | None = None,
    references: References,
) -> Iterator[Task]:
    """What is to be done to judge a set of directions; each task writes to `judgement`.

    No task differentiates, so images are all that the generator is asked for.

    Args:
        generator: the frozen network.
        subject: the directions.
        conditions: what all sets have in common.
        preset: how many samples.
        judgement: filled by the tasks.
        predictor: reads true factors off images, where there is one.
        perceptual: LPIPS or another distance for path lengths; the squared error where None.
        references: held-out values of random directions; those that are missing become tasks, once.
    """
    subjects = _Tasks(generator, subject, conditions, preset, judgement, predictor, perceptual, references)
    yield from subjects.of_objectives()
    yield from subjects.of_images()
    yield from subjects.of_pairs()
    if generator.true_directions is not None:
        yield from subjects.of_factors(generator.true_directions)


class _Tasks:
    def __init__(
        self,
        generator: FrozenGenerator,
        subject: Subject,
        conditions: Conditions,
        preset: Preset,
        judgement: Judgement,
        predictor: Predictor | None,
        perceptual: Distance | None,
        references: References,
    ):
        self._generator, self._Q, self._layers = generator, subject.Q, subject.layers
        self._conditions, self._preset, self._out = conditions, preset, judgement
        self._predictor, self._perceptual, self._references = predictor, perceptual, references
        self._common = {"classes": conditions.classes, "layers": subject.layers, "seed": conditions.seed}

    def of_objectives(self) -> Iterator[Task]:
        """Held-out objectives, their ratios to random directions, and the Hessian itself."""
        preset = self._preset
        for objective in OBJECTIVES:
            cost = held_out_cost(objective, samples=preset.held_out, probes=preset.probes)
            key = (objective, len(self._Q), self._layers)
            if key not in self._references:
                self._references[key] = torch.empty(0)  # promised
                frames = preset.frames
                yield Task(
                    f"{objective} of random directions",
                    frames * cost,
                    frames * preset.held_out,
                    "sample",
                    lambda progress, key=key: self._reference(key, progress),
                )
            yield Task(
                f"held-out {objective}",
                cost,
                preset.held_out,
                "sample",
                lambda progress, key=key: self._objective(key, progress),
            )
        if len(self._Q) > 1:
            sizes = {"samples": preset.diagonalness, "pairs": preset.hessian_pairs}
            yield self._images_task("diagonalness", diagonalness_cost(len(self._Q), **sizes), self._diagonalness)

    def of_images(self) -> Iterator[Task]:
        """How the image changes along each direction."""
        ndirs, preset, conditions = len(self._Q), self._preset, self._conditions
        yield self._images_task("activeness", activeness_cost(ndirs, samples=preset.activeness), self._activeness)
        yield self._images_task("path length", path_length_cost(ndirs, samples=preset.path_length), self._path_length)
        if ndirs > 1:
            cost = contrastive_accuracy_cost(ndirs, samples=preset.contrastive)
            yield self._images_task("contrastive accuracy", cost, self._contrastive)
        compared = _spread_evenly(conditions.classes, self._generator.num_classes, preset.transfer_classes)
        if len(compared) > 1:
            cost = class_transfer_cost(ndirs, samples=preset.transfer, classes=len(compared))
            yield self._images_task("class transfer", cost, lambda progress: self._transfer(compared, progress))

    def of_pairs(self) -> Iterator[Task]:
        """What a network can tell from pairs of images."""
        preset, made = self._preset, []
        if len(self._Q) > 1:
            cost = shift_pairs_cost(pairs=preset.pairs)
            yield self._images_task("image pairs", cost, lambda progress: made.append(self._pairs(progress)))
            epochs = preset.networks * preset.epochs
            yield Task("VP", 0, epochs, "epoch", lambda progress: self._vp(made[0], progress))
            yield Task("RCA", 0, preset.epochs, "epoch", lambda progress: self._rca(made[0], progress))

    def of_factors(self, truth: Tensor) -> Iterator[Task]:
        """What the directions do to known factors."""
        if self._layers == "all":
            yield Task("true factors", 0, 1, "step", lambda progress: self._of_latents(truth, progress))
        if self._predictor is not None:
            predictor, preset = self._predictor, self._preset
            cost = factors.response_of_images_cost(len(self._Q), samples=preset.response)
            yield self._images_task("response", cost, lambda progress: self._response(predictor, progress))
            if len(self._Q) > 1 and self._layers == "all":
                cost = factors.codes_and_predictions_cost(samples=preset.codes)
                yield self._images_task("codes", cost, lambda progress: self._codes(predictor, progress))

    def _images_task(self, title: str, images: int, run: Callable[[Progress], None]) -> Task:
        return Task(title, images, images, "image", run)

    def _held_out(self, Q: Tensor, objective: str, progress: Progress) -> Tensor:
        return held_out_values(
            self._generator,
            Q,
            objective=objective,
            path_size=self._conditions.path_size,
            epsilon=self._conditions.epsilon,
            probes=self._preset.probes,
            samples=self._preset.held_out,
            progress=progress,
            **self._common,
        )

    def _reference(self, key: tuple[str, int, str], progress: Progress) -> None:
        objective, ndirs, layers = key
        frames = random_frames(
            self._generator, ndirs, layers=layers, count=self._preset.frames, seed=self._conditions.seed
        )
        self._references[key] = torch.stack([self._held_out(Q, objective, progress) for Q in frames]).mean(dim=0)

    def _objective(self, key: tuple[str, int, str], progress: Progress) -> None:
        values = self._held_out(self._Q, key[0], progress)
        self._out.figures[key[0]] = estimate(values)
        self._out.figures[f"{key[0]} / random"] = ratio(values, self._references[key])

    def _diagonalness(self, progress: Progress) -> None:
        found = diagonalness(
            self._generator,
            self._Q,
            epsilon=self._conditions.epsilon,
            samples=self._preset.diagonalness,
            pairs=self._preset.hessian_pairs,
            progress=progress,
            **self._common,
        )
        self._out.figures["largest on diagonal"] = found.largest_on_diagonal
        self._out.figures["diagonal / off-diagonal"] = found.diagonal_to_off_diagonal
        self._out.matrices["mean |H|"] = found.magnitudes

    def _activeness(self, progress: Progress) -> None:
        scores = activeness(
            self._generator, self._Q, samples=self._preset.activeness, progress=progress, **self._common
        )
        self._out.of_directions["activeness"] = scores
        self._out.figures["inactive directions"] = Estimate(len(inactive(scores)), 0.0)

    def _path_length(self, progress: Progress) -> None:
        found = path_length(
            self._generator,
            self._Q,
            path_size=self._conditions.path_size,
            samples=self._preset.path_length,
            distance=self._perceptual or squared_error,
            progress=progress,
            **self._common,
        )
        self._out.of_directions["path length (LPIPS)" if self._perceptual else "path length"] = found.length
        self._out.of_directions["change per unit"] = found.change_per_unit

    def _contrastive(self, progress: Progress) -> None:
        self._out.figures["contrastive accuracy"] = contrastive_accuracy(
            self._generator,
            self._Q,
            path_size=self._conditions.path_size,
            samples=self._preset.contrastive,
            progress=progress,
            **self._common,
        )

    def _transfer(self, classes: list[int], progress: Progress) -> None:
        scores = class_transfer(
            self._generator,
            self._Q,
            path_size=self._conditions.path_size,
            samples=self._preset.transfer,
            progress=progress,
            **{**self._common, "classes": classes},
        )
        self._out.of_directions["class transfer"] = scores
        dead = set(inactive(self._out.of_directions["activeness"]))
        self._out.figures["class transfer"] = _over(
            [score for direction, score in enumerate(scores) if direction not in dead]
        )

    def _pairs(self, progress: Progress) -> ShiftPairs:
        return shift_pairs(
            self._generator,
            self._Q,
            path_size=self._conditions.path_size,
            pairs=self._preset.pairs,
            side=self._preset.side,
            progress=progress,
            **self._common,
        )

    def _vp(self, pairs: ShiftPairs, progress: Progress) -> None:
        preset = self._preset
        self._out.figures["VP"] = variation_predictability(
            pairs, epochs=preset.epochs, repeats=preset.networks, seed=self._conditions.seed, progress=progress
        )

    def _rca(self, pairs: ShiftPairs, progress: Progress) -> None:
        found = reconstruction(pairs, epochs=self._preset.epochs, seed=self._conditions.seed, progress=progress)
        self._out.figures["RCA"] = found.accuracy
        self._out.figures["RCA shift error"] = found.shift_error

    def _of_latents(self, truth: Tensor, progress: Progress) -> None:
        seed, out = self._conditions.seed, self._out
        if len(truth) <= len(self._Q):
            found = recovery(self._Q, truth)
            out.figures["recovery"] = Estimate(found.mean, 0.0)
        response = factors.response_of_latents(self._generator, self._Q, seed=seed)
        out.matrices["response of latents"] = response.matrix
        out.figures["leakage"] = response.leakage
        if len(self._Q) > 1 and len(truth) > 1:
            codes = factors.codes_and_factors(self._generator, self._Q, samples=_LATENTS, seed=seed)
            few = [each[: _LATENTS // 4] for each in codes]
            scores = dci(few[0], few[1])
            out.figures["DCI disentanglement"] = scores.disentanglement
            out.figures["DCI completeness"] = scores.completeness
            out.figures["DCI informativeness"] = scores.informativeness
            out.figures["mutual information gap"] = mutual_information_gap(*codes)
        progress.advance()

    def _response(self, predictor: Predictor, progress: Progress) -> None:
        response = factors.response_of_images(
            self._generator,
            self._Q,
            predictor,
            samples=self._preset.response,
            progress=progress,
            **self._common,
        )
        self._out.matrices["response of images"] = response.matrix
        self._out.figures["leakage in images"] = response.leakage

    def _codes(self, predictor: Predictor, progress: Progress) -> None:
        codes = factors.codes_and_predictions(
            self._generator,
            self._Q,
            predictor,
            classes=self._conditions.classes,
            samples=self._preset.codes,
            seed=self._conditions.seed,
            progress=progress,
        )
        scores = dci(*codes)
        self._out.figures["DCI disentanglement in images"] = scores.disentanglement
        self._out.figures["DCI completeness in images"] = scores.completeness
        self._out.figures["DCI informativeness in images"] = scores.informativeness


def _over(scores: list[Estimate]) -> Estimate:
    """Mean over directions; they share their samples, so its standard error is at most the mean of theirs."""
    means = torch.tensor(scores, dtype=torch.float64).mean(dim=0)
    return Estimate(*means.tolist())


def _spread_evenly(classes: list[int], num_classes: int, most: int) -> list[int]:
    """Up to `most` classes to compare: those of the conditions, and where that is one, others beside it."""
    known = classes if len(classes) > 1 else [*classes, *(y for y in range(num_classes) if y != classes[0])]
    count = min(most, len(known))
    return [known[index * len(known) // count] for index in range(count)]
