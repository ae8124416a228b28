"""The Hessian Penalty and OroJaR by joint diagonalization: few generator evaluations, then linear algebra.

Over orthonormal Q, both ask for the frame in which many symmetric matrices are diagonal together: the Hessians of all
pixels, or JᵀJ of all latents. The matrices are measured once, along the axes of the start, at the points that a search
visits. The best frame is then found with no generator in the loop; see `joint_diagonalizer`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import pad
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.samples import Purpose, draw
from biggan_discovery.objectives.through_directions import micro_batch
from biggan_discovery.search import distributed
from biggan_discovery.search.closed_form import ClosedForm, fixed_signs
from biggan_discovery.search.derivatives import Derivative, Images, jacobian_rows, pixel_hessians, sketched_hessians
from biggan_discovery.search.joint_diagonalizer import joint_diagonalizer
from biggan_discovery.search.run_folder import State
from biggan_discovery.search.session import Session

EXACT_DIMENSIONS = 24  # up to here every pixel by itself costs no more than some twenty random combinations of pixels
SKETCHES = 8
_EQUATIONS = 1.25  # for each entry of a Hessian, so that the least squares are well conditioned
_MOST_EXACT_DIMENSIONS = 48  # the moments of all Hessians have dimension⁴ / 4 entries


def fresh_state(settings: dict[str, Any], start: Tensor) -> State:
    """Before the first latent.

    Args:
        settings: of the run; "sketches" 0 is for every pixel by itself.
        start: (n, coordinates) orthonormal rows; directions are sought in their span.

    Raises:
        UserError: where every pixel by itself would take too much memory.
    """
    n, samples, sketches = len(start), settings["samples"], settings.get("sketches", 1)
    tensors = {"start": start, "gram": torch.zeros(n, n, dtype=torch.float64)}
    if sketches:
        tensors["matrices"] = torch.zeros(samples * sketches, n, n)
    elif n > _MOST_EXACT_DIMENSIONS:
        raise UserError(f"sketches is 0, for every pixel; with {n} dimensions it should be at least 1, such as 8")
    else:
        entries = n * (n + 1) // 2
        tensors["moments"] = torch.zeros(entries, entries, dtype=torch.float64)
    return State(settings, tensors, ("penalty", "evaluations"), samples)


class _Measured(NamedTuple):
    """What one latent tells.

    Attributes:
        penalty: the objective along the axes.
        evaluations: of the generator.
        gram: (n, n) float64, mean over pixels of the products of first derivatives.
        matrices: to keep (m, n, n), or (entries, entries) float64 to add to the moments.
    """

    penalty: float
    evaluations: int
    gram: Tensor
    matrices: Tensor


def search(generator: FrozenGenerator, state: State, session: Session) -> None:
    """Measure the matrices at the latents that are left, in place; each process measures one of a round."""
    start = state.tensors["start"].to(generator.device, generator.dtype)
    axes, batch, derivative = torch.eye(len(start)).to(start), micro_batch(generator), Derivative()

    def measure(latent: int) -> _Measured:
        images = _around(generator, state.settings, start, latent)
        if state.settings["method"] == "orojar":
            return _product_of_jacobian(images, axes, batch, derivative)
        if "moments" in state.tensors:
            return _all_pixels(state.settings, latent, images, axes, batch)
        return _sketches(state.settings, latent, images, axes, batch)

    def mine() -> tuple[_Measured | None, list[float]]:
        latent = state.step + distributed.rank()
        measured = measure(latent) if latent < state.total else None
        return measured, session.interrupts.votes()

    session.begin(state)
    with session.progress(state, "measuring", "latent") as progress:
        while state.step < state.total and not session.interrupts.signal:
            found, votes = zip(*distributed.gathered(mine), strict=True)
            session.interrupts.agree([sum(each) for each in zip(*votes, strict=True)])
            for measured in filter(None, found):
                session.after_step(state, _add(state, measured), progress)


def _add(state: State, measured: _Measured) -> list[float]:
    """Keep what the next latent tells; its row of the history."""
    penalty, evaluations, gram, matrices = measured
    if not math.isfinite(penalty):
        raise UserError(f"the penalty became {penalty} at latent {state.step + 1}; try a larger --epsilon")
    state.tensors["gram"] += gram
    if "moments" in state.tensors:
        state.tensors["moments"] += matrices
    else:
        state.tensors["matrices"][state.step * len(matrices) :][: len(matrices)] = matrices
    return [penalty, evaluations + (state.history[-1][1] if state.history else 0.0)]


def result(generator: FrozenGenerator, state: State, *, quiet: bool) -> ClosedForm:  # noqa: ARG001
    """The frame that diagonalizes what was measured, its strongest directions."""
    tensors, settings = state.tensors, state.settings
    matrices = _principal_hessians(tensors["moments"]) if "moments" in tensors else tensors["matrices"]
    frame, off_diagonal = joint_diagonalizer(matrices, seed=settings["seed"])
    strength = (frame @ tensors["gram"] @ frame.T).diagonal() / state.total
    order = strength.argsort(descending=True)[: settings["directions"]]
    Q = fixed_signs((frame @ tensors["start"].double())[order])
    values = {"strength": strength[order].tolist(), "off_diagonal": off_diagonal}
    return ClosedForm(Q.float(), values, int(state.history[-1][1]))


def _around(generator: FrozenGenerator, settings: dict[str, Any], start: Tensor, latent: int) -> Images:
    """Images around the point of a latent, for shifts along the start's rows.

    It is one where a search may stand: z and a path step along one direction. From there the penalty goes on by ±ε in
    all directions at once; sketches jitter the point likewise, the probes of single pixels do so by themselves.
    """
    samples = draw(
        generator,
        settings["classes"],
        len(start),
        count=1,
        probes=1,
        path_size=settings["path_size"],
        seed=settings["seed"],
        purpose=Purpose.SEARCH,
        step=latent,
    )
    here = samples.w + settings["epsilon"] * samples.probes[0] if settings.get("sketches") else samples.w
    space = generator.search_space(settings["layers"])

    def images(shifts: Tensor) -> Tensor:
        delta = pad((here + shifts) @ start, space, generator.z_dim)
        z, y = samples.z.expand(len(shifts), -1), samples.y.expand(len(shifts))
        return generator(generator.shift(z, delta, settings["layers"]), y).flatten(1)

    return images


def _product_of_jacobian(images: Images, axes: Tensor, batch: int, derivative: Derivative) -> _Measured:
    """JᵀJ/P, and OroJaR."""
    rows, evaluations = jacobian_rows(images, axes, batch, derivative)
    gram = _product(rows)
    return _Measured(2 * _off_diagonal(gram * rows.shape[1]), evaluations, gram, gram[None].float())


def _all_pixels(settings: dict[str, Any], latent: int, images: Images, axes: Tensor, batch: int) -> _Measured:
    """The second moments of all pixels' Hessians, and the Hessian Penalty."""
    n = len(axes)
    count = math.ceil(_EQUATIONS * n * (n + 1) / 2)
    random = torch.from_numpy(_random(settings, latent).standard_normal((count, n)))
    probes = n**0.5 * torch.nn.functional.normalize(random).to(axes)
    entries, rows = pixel_hessians(images, probes, settings["epsilon"], batch)
    moments = _product(entries)
    return _Measured(2 * moments.diagonal()[n:].sum().item(), 2 * count + 1, _product(rows), moments)


def _sketches(settings: dict[str, Any], latent: int, images: Images, axes: Tensor, batch: int) -> _Measured:
    """The Hessians of random combinations of pixels, and the Hessian Penalty."""
    count = settings["sketches"]

    def sketch(elements: int) -> Tensor:
        return torch.from_numpy(_random(settings, latent).standard_normal((count, elements)) / elements**0.5)

    hessians, rows = sketched_hessians(images, axes, settings["epsilon"], batch, sketch)
    penalty = 2 * _off_diagonal(hessians.double()) / count
    return _Measured(penalty, 2 * len(axes) * (1 + count), _product(rows), hessians.cpu())


def _random(settings: dict[str, Any], latent: int) -> np.random.Generator:
    """Numbers that belong to a latent; every call gives the same."""
    return np.random.Generator(np.random.Philox(key=[settings["seed"], Purpose.SKETCH], counter=[0, 0, 0, latent]))


def _product(rows: Tensor) -> Tensor:
    """Mean over elements of the products of rows (n, P): (n, n) float64 on the CPU."""
    return (rows @ rows.T).cpu().double() / rows.shape[1]


def _off_diagonal(matrices: Tensor) -> float:
    """Sum of squares off the diagonal of (..., n, n)."""
    return (matrices.square().sum() - matrices.diagonal(dim1=-2, dim2=-1).square().sum()).item()


def _principal_hessians(moments: Tensor) -> Tensor:
    """Matrices (m, n, n) with the same second moments as all pixels' Hessians.

    The objective is a sum over Hessians of a square, so it depends on their second moments alone, of which the
    eigenvectors, scaled, are as many Hessians as a Hessian has entries.
    """
    n = round(((8 * len(moments) + 1) ** 0.5 - 1) / 2)
    values, vectors = torch.linalg.eigh(moments)
    entries = (vectors * values.clamp(min=0).sqrt()).T
    first, second = torch.triu_indices(n, n, 1)
    matrices = torch.diag_embed(entries[:, :n])
    matrices[:, first, second] = matrices[:, second, first] = entries[:, n:] / 2**0.5
    return matrices
