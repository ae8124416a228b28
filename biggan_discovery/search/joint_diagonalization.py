"""Joint diagonalization: few generator evaluations, then linear algebra.

Over orthonormal Q, objectives such as the Hessian Penalty and OroJaR are minimized by the frame that jointly
diagonalizes many symmetric matrices: the Hessians of all pixels, or JᵀJ at all latents. The matrices are measured once,
along the axes of the start, at the points that a search by gradient descent would visit. The best frame is then found
without evaluating the generator, see `numerics.jacobi_angles`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.directions import directions_of_start, pad
from biggan_discovery.directions.space import check_count
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import forward_batch, gradient_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.memory import check_room
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.derivatives import Images
from biggan_discovery.numerics.eigenvectors import fixed_signs
from biggan_discovery.numerics.jacobi_angles import jointly_diagonalize
from biggan_discovery.numerics.streams import Stream, random_numbers
from biggan_discovery.objectives.hessian_penalty import EXACT_DIMENSIONS
from biggan_discovery.objectives.objective import Matrices, Measured, Objective
from biggan_discovery.objectives.samples import draw
from biggan_discovery.runs import processes
from biggan_discovery.runs.folder import State
from biggan_discovery.runs.session import Session
from biggan_discovery.search.adam import check_path_size
from biggan_discovery.search.method import Found, Method
from biggan_discovery.search.precision import check_precision, in_precision, matrix_precision
from biggan_discovery.search.settings import AUTO, JOINT_DIAGONALIZATION, STARTS, JointDiagonalizationSettings

_SKETCHES = 8
_TRIED_AXES = 8
_ON_A_CPU = 10**6  # Entries of all matrices below which a GPU is no faster.
_MOST_EXACT_DIMENSIONS = 48  # The moments of all Hessians have dimension⁴ / 4 entries.


class JointDiagonalization(Method):
    """Find the frame in which the matrices of an objective are jointly as diagonal as possible.

    Raises:
        UserError: if the objective declares no matrices.
    """

    Settings = JointDiagonalizationSettings

    def __init__(self, name: str, objective: Objective):
        if objective.matrices is None:
            raise UserError(f"{name} declares no matrices for {JOINT_DIAGONALIZATION}; use the solver adam")
        self.name, self.objective, self.matrices = name, objective, objective.matrices
        self.paper = objective.paper
        self.unused = frozenset({"epsilon", "sketches"} - set(self.matrices.settings))

    def defaults(self, generator: FrozenGenerator, layers: LayerRange, asked: dict[str, Any]) -> dict[str, Any]:
        """As many directions as the start has rows; samples and sketches by that number."""
        width = span(asked.get("init", "coordinates"), generator.search_space(layers))
        sketches = 0 if width <= EXACT_DIMENSIONS else _SKETCHES
        return {
            "directions": width,
            "init": "coordinates",
            "precision": AUTO,
            "sketches": sketches,
            "samples": self.matrices.default_samples(width),
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
        kept = settings.samples * self.matrices.kept(settings.sketches)
        # In float32, and in float64 while they are diagonalized.
        check_room(
            (4 + 8) * kept * rows**2,
            f"{kept:,} matrices of {rows} x {rows}",
            f"lower --samples{' or --sketches' if settings.sketches else ''}",
        )
        pixels = generator.channels * generator.resolution**2
        sketches = settings.sketches or 0
        check_room((4 + 8) * sketches * pixels, f"{sketches:,} sketches of an image", "lower --sketches")

    def total(self, settings: JointDiagonalizationSettings) -> int:
        """Number of latents to measure."""
        return settings.samples

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

    def start(
        self, generator: FrozenGenerator, settings: JointDiagonalizationSettings, rows: Tensor, header: dict[str, Any]
    ) -> State:
        """The state before the first latent; the search is restricted to the span of the rows."""
        n, kept = len(rows), self.matrices.kept(settings.sketches)
        tensors = {"start": rows, "gram": torch.zeros(n, n, dtype=torch.float64)}
        if kept:
            tensors["matrices"] = torch.zeros(settings.samples * kept, n, n)
        else:
            entries = n * (n + 1) // 2
            tensors["moments"] = torch.zeros(entries, entries, dtype=torch.float64)
        return State(header, tensors, ("penalty", "evaluations"), settings.samples)

    def search(
        self, generator: FrozenGenerator, settings: JointDiagonalizationSettings, state: State, session: Session
    ) -> None:
        """Measure the matrices at the remaining latents, one latent per process at a time."""
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

        session.begin(state)
        with arithmetic(settings.precision), session.progress(state, "measuring", "latent") as progress:
            while state.step < state.total and not session.interrupts.signal:
                found, votes = zip(*processes.gathered(mine), strict=True)
                session.interrupts.agree([sum(each) for each in zip(*votes, strict=True)])
                for measured in filter(None, found):
                    session.after_step(state, _add(state, measured), progress)

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
        return matrices.measure(
            _around(generator, settings, start, latent),
            torch.eye(len(start)).to(start),
            epsilon=settings.epsilon,
            sketches=settings.sketches,
            random=random_numbers(settings.seed, Stream.SKETCH, step=latent),
            batch=chosen(generator, settings.micro_batch),
        )

    def result(
        self, generator: FrozenGenerator, settings: JointDiagonalizationSettings, state: State, *, quiet: bool
    ) -> Found:
        """The strongest directions of the frame that jointly diagonalizes the matrices."""
        tensors = state.tensors
        matrices = _principal_matrices(tensors["moments"]) if "moments" in tensors else tensors["matrices"]
        device = generator.device if generator.device.type == "cuda" and matrices.numel() > _ON_A_CPU else "cpu"
        frame, off_diagonal = jointly_diagonalize(matrices, seed=settings.seed, device=device)
        strength = (frame @ tensors["gram"] @ frame.T).diagonal() / state.total
        order = strength.argsort(descending=True)[: settings.directions]
        Q = fixed_signs((frame @ tensors["start"].double())[order])
        values = {"strength": strength[order].tolist(), "off_diagonal": off_diagonal}
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
    state.tensors["gram"] += gram
    if "moments" in state.tensors:
        state.tensors["moments"] += matrices
    else:
        state.tensors["matrices"][state.step * len(matrices) :][: len(matrices)] = matrices
    return [value, evaluations + (state.history[-1][1] if state.history else 0.0)]


def _around(generator: FrozenGenerator, settings: JointDiagonalizationSettings, start: Tensor, latent: int) -> Images:
    """A function from shifts along the rows of the start to images, around the point of a latent.

    The point is one that a search by gradient descent visits: z plus a path step along one direction. From there, the
    penalty takes finite differences of ±ε along all directions at once. Sketches are measured at a point jittered in
    the same way; without sketches, the probes of single pixels already do this.
    """
    samples = draw(
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
    centre = samples.w + settings.epsilon * samples.probes[0] if settings.sketches else samples.w
    space = generator.search_space(settings.layers)

    def images(shifts: Tensor) -> Tensor:
        delta = pad((centre + shifts) @ start, space, generator.z_dim)
        z, y = samples.z.expand(len(shifts), -1), samples.y.expand(len(shifts))
        return generator(generator.shift(z, delta, settings.layers), y)

    return images


def _principal_matrices(moments: Tensor) -> Tensor:
    """Matrices (m, n, n) with the same second moments as all measured matrices.

    The objective is a sum of squares over matrices, so it depends only on their second moments. The scaled eigenvectors
    of the moments are an equivalent set of m = n (n + 1) / 2 matrices.
    """
    n = round(((8 * len(moments) + 1) ** 0.5 - 1) / 2)
    values, vectors = torch.linalg.eigh(moments)
    entries = (vectors * values.clamp(min=0).sqrt()).T
    first, second = torch.triu_indices(n, n, 1)
    matrices = torch.diag_embed(entries[:, :n])
    matrices[:, first, second] = matrices[:, second, first] = entries[:, n:] / 2**0.5
    return matrices
