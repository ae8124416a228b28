"""Joint diagonalization: few generator evaluations, then linear algebra.

Over orthonormal Q, objectives such as the Hessian Penalty and OroJaR are minimized by the frame that jointly
diagonalizes many symmetric matrices: the Hessians of all pixels, or JᵀJ at all latents. The matrices are measured once,
along the axes of the start, at the points that a search by gradient descent would visit. The best frame is then found
without evaluating the generator, see `numerics.jacobi_angles`. One latent in four is held back from the fit and tells
how good the frame is; latents are added for as long as that helps.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from functools import partial
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.directions import directions_of_start
from biggan_discovery.directions.activity import inactive, relative_changes
from biggan_discovery.directions.metadata import DETERMINED
from biggan_discovery.directions.space import check_count
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import forward_batch, gradient_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.memory import check_room
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.bootstrap import error_angles, stacked
from biggan_discovery.numerics.eigenvectors import fixed_signs
from biggan_discovery.numerics.jacobi_angles import converged, disagree, leg, start_frame
from biggan_discovery.numerics.streams import Stream, random_numbers
from biggan_discovery.numerics.symmetric import of_moments
from biggan_discovery.objectives.around import images_around
from biggan_discovery.objectives.hessian_penalty import EXACT_DIMENSIONS
from biggan_discovery.objectives.objective import Matrices, Measured, Objective
from biggan_discovery.objectives.samples import draw
from biggan_discovery.objectives.table import JACOBIAN_PRODUCTS
from biggan_discovery.runs import processes
from biggan_discovery.runs.folder import State
from biggan_discovery.runs.session import Session
from biggan_discovery.search.adam import check_path_size
from biggan_discovery.search.evidence import Evidence
from biggan_discovery.search.growth import most_latents, next_total, round_of, shown_round
from biggan_discovery.search.method import Found, Method
from biggan_discovery.search.precision import check_precision, in_precision, matrix_precision
from biggan_discovery.search.settings import (
    AUTO,
    JOINT_DIAGONALIZATION,
    STARTS,
    JointDiagonalizationSettings,
)
from biggan_discovery.search.unseen import baselines, unseen_figures

_log = logging.getLogger(__name__)

_SKETCHES = 2
_TRIED_AXES = 8
_ON_A_CPU = 10**6  # Entries of all matrices below which a GPU is no faster.
_MOST_EXACT_DIMENSIONS = 48  # The moments of all Hessians have dimension⁴ / 4 entries.
_NOT_YET = 2.0  # An off-diagonal share above all others.


class JointDiagonalization(Method):
    """Find the frame in which the matrices of an objective are jointly as diagonal as possible.

    Args:
        name: name of the method.
        objective: what declares the matrices.
        kind: name of the objective. Defaults to that of the method.
        with_products: also diagonalize JᵀJ of the images, which is measured on the way.

    Raises:
        UserError: if the objective declares no matrices.
    """

    Settings = JointDiagonalizationSettings

    def __init__(self, name: str, objective: Objective, *, kind: str | None = None, with_products: bool = False):
        if objective.matrices is None:
            raise UserError(f"{name} declares no matrices for {JOINT_DIAGONALIZATION}; use the solver adam")
        self.name, self.objective, self.matrices = name, objective, objective.matrices
        self.kind = kind or name
        self.paper = objective.paper
        self.with_products = with_products
        self.unused = frozenset({"epsilon", "sketches"} - set(self.matrices.settings))

    def defaults(self, generator: FrozenGenerator, layers: LayerRange, asked: dict[str, Any]) -> dict[str, Any]:
        """As many directions as the start has rows; sketches by that number; latents as many as it takes."""
        width = span(asked.get("init", "coordinates"), generator.search_space(layers))
        sketches = 0 if width <= EXACT_DIMENSIONS else _SKETCHES
        return {
            "directions": width,
            "init": "coordinates",
            "precision": AUTO,
            "sketches": sketches,
            **self.objective.defaults,
        }

    def check(self, generator: FrozenGenerator, settings: JointDiagonalizationSettings) -> None:
        """Check that the start has enough rows, and that all Hessians fit in memory."""
        check_path_size(self.objective, settings.path_size)
        check_precision(generator, settings.precision)
        if settings.init == JOINT_DIAGONALIZATION:
            raise UserError(f"init is {JOINT_DIAGONALIZATION!r}, which is a start for the solver adam only")
        rows = self.start_rows(generator, settings)
        if settings.init in STARTS:
            check_count(settings.directions, rows)
        elif settings.directions > rows:
            raise UserError(
                f"directions is {settings.directions}; it should be at most {rows}, the number of directions in "
                f"{settings.init}"
            )
        if not self.matrices.kept(settings.sketches) and rows > _MOST_EXACT_DIMENSIONS:
            raise UserError(
                f"sketches is 0 (all pixels); with {rows} dimensions it should be at least 1, for example {_SKETCHES}"
            )
        self._check_room(generator, settings, rows)

    def _check_room(self, generator: FrozenGenerator, settings: JointDiagonalizationSettings, rows: int) -> None:
        kept = (settings.samples or self.matrices.default_samples(rows)) * self.matrices.kept(settings.sketches)
        # In float32, and in float64 while they are diagonalized.
        check_room(
            (4 + 8) * kept * rows**2,
            f"{kept:,} matrices of {rows} x {rows}",
            f"lower --samples{' or --sketches' if settings.sketches else ''}",
        )
        pixels = generator.channels * generator.resolution**2
        sketches = settings.sketches or 0
        check_room((4 + 8) * sketches * pixels, f"{sketches:,} sketches of an image", "lower --sketches")

    def choose_precision(
        self, generator: FrozenGenerator, settings: JointDiagonalizationSettings
    ) -> tuple[str, dict[str, float]]:
        """The fastest precision whose matrices agree with those in float64, at the first latent along a few axes."""
        space = generator.search_space(settings.layers)
        axes = torch.eye(min(_TRIED_AXES, space.stop - space.start), space.stop - space.start)

        def matrices(candidate: FrozenGenerator) -> Tensor:
            return self.measure(candidate, settings, axes.to(candidate.device, candidate.dtype), 0, self.matrices())[3]

        return matrix_precision(generator, settings.precision, matrices)

    def start_rows(self, generator: FrozenGenerator, settings: JointDiagonalizationSettings) -> int:
        """All rows of the start, see `span`."""
        return span(settings.init, generator.search_space(settings.layers))

    def most_steps(self, settings: JointDiagonalizationSettings, state: State) -> int:
        """Latents that the limits leave room for."""
        return most_latents(settings, state) if state.open else state.total

    def start(
        self, generator: FrozenGenerator, settings: JointDiagonalizationSettings, rows: Tensor, header: dict[str, Any]
    ) -> State:
        """The state before the first latent; the search is restricted to the span of the rows."""
        n, kept = len(rows), self.matrices.kept(settings.sketches)
        entries = n * (n + 1) // 2
        total = settings.samples or self.matrices.default_samples(n)
        tensors = {
            "start": rows,
            "grams": torch.zeros(total, n, n, dtype=torch.float64),
            **(
                {"matrices": torch.zeros(total, kept, n, n)}
                if kept
                else {"moments": torch.zeros(total, entries, entries, dtype=torch.float64)}
            ),
            # Of two starts: the frames, their off-diagonal shares, and whether they have converged.
            "frames": torch.zeros(2, n, n, dtype=torch.float64),
            "shares": torch.full((2,), _NOT_YET, dtype=torch.float64),
            "converged": torch.zeros(2, dtype=torch.float64),
            "before": torch.zeros(n, n, dtype=torch.float64),  # the frame of the round before
        }
        return State(
            header,
            tensors,
            ("penalty", "evaluations"),
            total,
            growing=frozenset({"grams", "matrices", "moments"} & tensors.keys()),
            open=True,
        )

    def limits(self, settings: JointDiagonalizationSettings, steps: int) -> frozenset[str]:
        """More latents than were measured may be asked for."""
        return frozenset({"samples", "evaluations"} if (settings.samples or 0) > steps else ())

    def extended(self, done: State, fresh: State) -> State:
        """The state before the fit, with the latents that are measured."""
        measured = done.step
        tensors = {
            name: torch.cat((done.tensors[name][:measured], tensor[measured:])) if name in fresh.growing else tensor
            for name, tensor in fresh.tensors.items()
        }
        fresh.facts.pop("rounds", None)
        return dataclasses.replace(fresh, tensors=tensors, history=done.history)

    def search(
        self, generator: FrozenGenerator, settings: JointDiagonalizationSettings, state: State, session: Session
    ) -> None:
        """Measure latents, fit the frame, and go on with more latents for as long as that helps."""
        session.begin(state)
        begin = time.monotonic()
        while state.open:
            self._measure_round(generator, settings, state, session)
            if session.interrupts.signal:
                return
            evidence = self.evidence(state)
            weights = processes.from_first(lambda evidence=evidence: self._weights(evidence))
            if not self._fit(generator, settings, state, session, stacked(evidence.fitted(weights))):
                return
            taken = processes.from_first(lambda: (time.monotonic() - begin) / 60)
            self._end_round(settings, state, evidence, weights, taken)
            if not session.quiet:
                _log.info("%s", shown_round(state.facts["rounds"][-1]))
            session.save(state)

    def _measure_round(
        self, generator: FrozenGenerator, settings: JointDiagonalizationSettings, state: State, session: Session
    ) -> None:
        """Measure the matrices at the remaining latents of the round, one latent per process at a time."""
        generator = in_precision(generator, settings.precision)
        start = state.tensors["start"].to(generator.device, generator.dtype)
        matrices = self.matrices()

        def mine() -> tuple[Measured | None, list[float]]:
            latent = state.step + processes.rank()
            measured = None
            if latent < state.total:
                measure = partial(self.measure, generator, settings, start, latent, matrices)
                measured = session.within_memory(state, measure)
            return measured, session.interrupts.votes()

        if state.step == state.total:
            return
        with arithmetic(settings.precision), session.progress(state, "measuring", "latent") as progress:
            while state.step < state.total and not session.interrupts.signal:
                found, votes = zip(*processes.gathered(mine), strict=True)
                session.interrupts.agree([sum(each) for each in zip(*votes, strict=True)])
                for measured in filter(None, found):
                    if state.step == state.total:
                        break  # Measured by other processes when the budget had run out.
                    row = _add(state, measured)
                    if settings.evaluations and row[1] + measured.evaluations > settings.evaluations:
                        state.total = state.step + 1
                    session.after_step(state, row, progress)

    def measure(
        self,
        generator: FrozenGenerator,
        settings: JointDiagonalizationSettings,
        start: Tensor,
        latent: int,
        matrices: Matrices,
    ) -> Measured:
        """Measure the matrices at a latent along the rows of `start`."""
        chosen = gradient_batch if settings.sketches else forward_batch
        sample = draw(
            generator,
            settings.classes,
            len(start),
            count=1,
            probes=1,
            path_size=settings.path_size,
            seed=settings.seed,
            stream=Stream.SEARCH,
            step=latent,
        )
        jitter = settings.epsilon if settings.sketches else 0.0
        return matrices.measure(
            images_around(generator, start, sample, settings.layers, jitter=jitter),
            torch.eye(len(start)).to(start),
            epsilon=settings.epsilon,
            sketches=settings.sketches,
            random=random_numbers(settings.seed, Stream.SKETCH, step=latent),
            batch=chosen(generator, settings.micro_batch),
        )

    def evidence(self, state: State) -> Evidence:
        """The matrices measured so far."""
        tensors = {name: state.tensors[name][: state.step] for name in state.growing}
        own = of_moments(tensors["moments"]) if "moments" in tensors else tensors["matrices"]
        grams = tensors["grams"]
        kinds = (
            {self.kind: own}
            if self.kind == JACOBIAN_PRODUCTS
            else {self.kind: own, JACOBIAN_PRODUCTS: grams[:, None].float()}
        )
        return Evidence.of(kinds, grams)

    def _weights(self, evidence: Evidence) -> dict[str, float]:
        """The weights of the kinds of matrices; with more latents, Hessians need less help from JᵀJ."""
        return evidence.best_weights(self.kind, JACOBIAN_PRODUCTS) if self.with_products else {self.kind: 1.0}

    def _fit(
        self,
        generator: FrozenGenerator,
        settings: JointDiagonalizationSettings,
        state: State,
        session: Session,
        matrices: Tensor,
    ) -> bool:
        """Fit the frames of both starts; return whether no signal stopped it."""
        frames, shares, ended = (state.tensors[name] for name in ("frames", "shares", "converged"))
        large = generator.device.type == "cuda" and matrices.numel() > _ON_A_CPU
        matrices = matrices.to(generator.device if large else "cpu")
        if not frames.any():
            for index in range(len(frames)):
                frames[index] = start_frame(matrices, settings.seed, index)
        with session.steps("fitting the frame") as progress:
            while not ended.all():
                index = int(ended.argmin())
                found = processes.from_first(lambda index=index: leg(matrices, frames[index]))
                ended[index] = float(converged(shares[index].item(), found.off_diagonal))
                frames[index], shares[index] = found.Q, found.off_diagonal
                progress.advance(off_diagonal=found.off_diagonal)
                votes = processes.gathered(session.interrupts.votes)
                session.interrupts.agree([sum(each) for each in zip(*votes, strict=True)])
                if session.interrupts.signal:
                    session.save(state)
                    return False
        return True

    def _end_round(
        self,
        settings: JointDiagonalizationSettings,
        state: State,
        evidence: Evidence,
        weights: dict[str, float],
        minutes: float,
    ) -> None:
        """Record how the frame does, and either end the search or make room for more latents."""
        tensors = state.tensors
        frames, shares = tensors["frames"], tensors["shares"]
        best = int(shares.argmin())
        apart = disagree(*shares.tolist())
        before = tensors["before"] if tensors["before"].any() else None
        this = round_of(evidence, frames[best], before, self.kind, weights)
        state.facts["rounds"] = [*state.facts.get("rounds", []), this]
        tensors["before"] = frames[best].clone()
        frames[0], shares[0] = frames[best].clone(), shares[best].clone()
        total = next_total(settings, state, minutes)
        if total is None:
            state.open = False
            return
        state.total = total
        for name in state.growing:
            old = tensors[name]
            tensors[name] = torch.cat((old, old.new_zeros(total - len(old), *old.shape[1:])))
        shares.fill_(_NOT_YET)
        # One start from now on, unless the two ended in different minima.
        tensors["converged"] = torch.tensor([0.0, 0.0 if apart else 1.0], dtype=torch.float64)

    def result(
        self, generator: FrozenGenerator, settings: JointDiagonalizationSettings, state: State, *, quiet: bool
    ) -> Found:
        """The frame, the best determined and strongest directions first."""
        evidence, start = self.evidence(state), state.tensors["start"].double()
        frame = state.tensors["before"]
        last = state.facts["rounds"][-1]
        angles = error_angles(evidence.fitted(last["weights"]), frame, seed=settings.seed)
        strength = (frame @ state.tensors["grams"][: state.step].mean(dim=0) @ frame.T).diagonal()
        # The mean strength of an orthonormal frame is that of random directions in its span.
        idle = set(inactive(relative_changes(strength.tolist(), strength.mean().item())))
        determined = [angle <= DETERMINED and row not in idle for row, angle in enumerate(angles.tolist())]
        ranks = [(row in idle, not determined[row], -strength[row].item(), row) for row in range(len(frame))]
        order = [row for *_, row in sorted(ranks)][: settings.directions]
        candidates = {"found": frame, **baselines(generator, settings.layers, start, evidence)}
        values = {
            "strength": strength[order].tolist(),
            "error_angle": angles[order].tolist(),
            "determined": sum(determined[row] for row in order),
            "off_diagonal": state.tensors["shares"].min().item(),
            "unseen": unseen_figures(evidence, candidates),
        }
        Q = fixed_signs((frame @ start)[order])
        return Found(Q.float(), values, int(state.history[-1][1]))


def span(init: str, space: slice) -> int:
    """Number of rows of a start: those of a directions file, or the number of coordinates of the search space."""
    named = init in (*STARTS, JOINT_DIAGONALIZATION)
    return space.stop - space.start if named else len(directions_of_start(init))


def _add(state: State, measured: Measured) -> list[float]:
    """Add the matrices of the next latent to the state; return its row of the history."""
    value, evaluations, gram, matrices = measured
    if not (math.isfinite(value) and gram.isfinite().all() and matrices.isfinite().all()):
        raise UserError(
            f"the derivatives of the images are not finite at latent {state.step + 1} (penalty {value:.3g}): the "
            "generator's images or their differences are not finite near it; try another --seed, or another --epsilon"
        )
    state.tensors["grams"][state.step] = gram
    state.tensors["moments" if "moments" in state.tensors else "matrices"][state.step] = matrices
    return [value, evaluations + (state.history[-1][1] if state.history else 0.0)]
