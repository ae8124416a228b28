"""The Hessian Penalty and OroJaR by joint diagonalization: few generator evaluations, then linear algebra.

Over orthonormal Q, both ask for the frame in which many symmetric matrices are diagonal together: the Hessians of all
pixels, or JᵀJ of all latents. The matrices are measured once, along the axes of the start, at the points that a search
visits. The best frame is then found with no generator in the loop; see `joint_diagonalizer`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import pad
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.samples import Purpose, draw
from biggan_discovery.objectives.through_directions import micro_batch
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


def search(generator: FrozenGenerator, state: State, session: Session) -> None:
    """Measure the matrices at the latents that are left, in place."""
    start = state.tensors["start"].to(generator.device, generator.dtype)
    axes, batch, derivative = torch.eye(len(start)).to(start), micro_batch(generator), Derivative()
    evaluations = state.history[-1][1] if state.history else 0.0
    session.begin(state)
    with session.progress(state, "measuring", "latent") as progress:
        while state.step < state.total:
            images = _around(generator, state, start)
            if state.settings["method"] == "orojar":
                penalty, cost = _add_product(state, images, axes, batch, derivative)
            elif "moments" in state.tensors:
                penalty, cost = _add_pixels(state, images, axes, batch)
            else:
                penalty, cost = _add_sketches(state, images, axes, batch)
            if not math.isfinite(penalty):
                raise UserError(f"the penalty became {penalty} at latent {state.step + 1}; try a larger --epsilon")
            evaluations += cost
            if session.after_step(state, [penalty, evaluations], progress):
                return


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


def _around(generator: FrozenGenerator, state: State, start: Tensor) -> Images:
    """Images around the point of the next latent, for shifts along the start's rows.

    It is one where a search may stand: z and a path step along one direction. From there the penalty goes on by ±ε in
    all directions at once; sketches jitter the point likewise, the probes of single pixels do so by themselves.
    """
    settings = state.settings
    samples = draw(
        generator,
        settings["classes"],
        len(start),
        count=1,
        probes=1,
        path_size=settings["path_size"],
        seed=settings["seed"],
        purpose=Purpose.SEARCH,
        step=state.step,
    )
    here = samples.w + settings["epsilon"] * samples.probes[0] if settings.get("sketches") else samples.w
    space = generator.search_space(settings["layers"])

    def images(shifts: Tensor) -> Tensor:
        delta = pad((here + shifts) @ start, space, generator.z_dim)
        z, y = samples.z.expand(len(shifts), -1), samples.y.expand(len(shifts))
        return generator(generator.shift(z, delta, settings["layers"]), y).flatten(1)

    return images


def _add_product(state: State, images: Images, axes: Tensor, batch: int, derivative: Derivative) -> tuple[float, int]:
    """Keep JᵀJ/P of the next latent; OroJaR along the axes, and generator evaluations."""
    rows, evaluations = jacobian_rows(images, axes, batch, derivative)
    gram = _product(rows)
    state.tensors["matrices"][state.step] = gram
    state.tensors["gram"] += gram
    return 2 * _off_diagonal(gram * rows.shape[1]), evaluations


def _add_pixels(state: State, images: Images, axes: Tensor, batch: int) -> tuple[float, int]:
    """Add the second moments of all pixels' Hessians; the Hessian Penalty along the axes, and generator evaluations."""
    n = len(axes)
    random = torch.from_numpy(_random(state).standard_normal((math.ceil(_EQUATIONS * n * (n + 1) / 2), n)))
    probes = n**0.5 * torch.nn.functional.normalize(random).to(axes)
    entries, rows = pixel_hessians(images, probes, state.settings["epsilon"], batch)
    moments = _product(entries)
    state.tensors["moments"] += moments
    state.tensors["gram"] += _product(rows)
    return 2 * moments.diagonal()[n:].sum().item(), 2 * len(probes) + 1


def _add_sketches(state: State, images: Images, axes: Tensor, batch: int) -> tuple[float, int]:
    """Keep the Hessians of random combinations; the Hessian Penalty along the axes, and generator evaluations."""
    settings, latent, count = state.settings, state.step, state.settings["sketches"]

    def sketch(elements: int) -> Tensor:
        return torch.from_numpy(_random(state).standard_normal((count, elements)) / elements**0.5)

    hessians, rows = sketched_hessians(images, axes, settings["epsilon"], batch, sketch)
    state.tensors["matrices"][latent * count : (latent + 1) * count] = hessians
    state.tensors["gram"] += _product(rows)
    return 2 * _off_diagonal(hessians.double()) / count, 2 * len(axes) * (1 + count)


def _random(state: State) -> np.random.Generator:
    """Numbers that belong to the next latent; every call gives the same."""
    return np.random.Generator(
        np.random.Philox(key=[state.settings["seed"], Purpose.SKETCH], counter=[0, 0, 0, state.step])
    )


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
