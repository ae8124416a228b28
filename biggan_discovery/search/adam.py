"""Adam on A, everything else frozen."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.directions import orthonormalize, pad
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.samples import Purpose, draw
from biggan_discovery.objectives.through_directions import (
    choose_micro_batch,
    orojar_of_directions,
    penalty_gradient,
    penalty_of_directions,
)
from biggan_discovery.search import distributed
from biggan_discovery.search.closed_form import ClosedForm
from biggan_discovery.search.interrupts import Interrupts
from biggan_discovery.search.precision import arithmetic, in_precision
from biggan_discovery.search.run_folder import State
from biggan_discovery.search.session import Session

OBJECTIVES = {"hessian": penalty_of_directions, "orojar": orojar_of_directions}


def fresh_state(settings: dict[str, Any], A: Tensor) -> State:
    """Before the first step, at the start A (ndirs, coordinates)."""
    tensors = {
        "A": _retracted(A, settings["orthogonalize"]),
        "first_moment": torch.zeros_like(A),
        "second_moment": torch.zeros_like(A),
    }
    return State(settings, tensors, ("penalty", "lr"), settings["steps"])


def search(generator: FrozenGenerator, state: State, session: Session) -> None:
    """Take the steps that are left, in place."""
    settings = state.settings
    steps, lr, space = settings["steps"], settings["lr"], generator.search_space(settings["layers"])
    objective = OBJECTIVES[settings["method"]]
    A = state.tensors["A"].to(generator.device).requires_grad_()
    optimizer = torch.optim.Adam([A], lr=lr, betas=(0.9, 0.99))
    moments = {key: state.tensors[key].to(A.device) for key in ("first_moment", "second_moment")}
    optimizer.state[A] = {
        "step": torch.tensor(float(state.step)),
        "exp_avg": moments["first_moment"],
        "exp_avg_sq": moments["second_moment"],
    }
    state.tensors = {"A": A, **moments}  # Adam changes them in place

    session.begin(state)
    generator = in_precision(generator, settings["precision"])
    micro_batch = session.micro_batch or choose_micro_batch(generator)
    mine = distributed.share(settings["batch"])
    with arithmetic(settings["precision"]), session.progress(state, "searching", "step") as progress:
        for step in range(state.step, steps):
            rate = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.param_groups[0]["lr"] = rate

            Q = orthonormalize(A, settings["orthogonalize"])
            padded = pad(Q.detach(), space, generator.z_dim).to(generator.dtype)
            penalty, gradient = 0.0, torch.zeros_like(padded)
            if mine:  # with more processes than samples some have none
                samples = draw(
                    generator,
                    settings["classes"],
                    len(A),
                    count=len(mine),
                    first=mine.start,
                    probes=settings["probes"],
                    path_size=settings["path_size"],
                    seed=settings["seed"],
                    purpose=Purpose.SEARCH,
                    step=step,
                )
                penalty, gradient, micro_batch = penalty_gradient(
                    generator,
                    padded,
                    samples,
                    settings["epsilon"],
                    settings["layers"],
                    micro_batch=micro_batch,
                    objective=objective,
                )
            weight = len(mine) / settings["batch"]
            penalty, gradient = _of_all_processes(penalty, gradient, weight, session.interrupts)
            if not math.isfinite(penalty):
                raise UserError(
                    f"the penalty became {penalty} at step {step + 1}; try a smaller --lr or a larger --epsilon"
                )
            optimizer.zero_grad()
            Q.backward(gradient[:, space].to(Q.dtype))
            optimizer.step()
            with torch.no_grad():
                A.copy_(_retracted(A, settings["orthogonalize"]))
            if session.after_step(state, [penalty, rate], progress):
                return


def result(generator: FrozenGenerator, state: State, *, quiet: bool) -> ClosedForm:  # noqa: ARG001
    """The matrix A as the last step left it."""
    settings = state.settings
    passes = 2 * settings["probes"] if settings["method"] == "hessian" else settings["probes"] + 1
    return ClosedForm(state.tensors["A"].detach().cpu(), {}, settings["steps"] * settings["batch"] * passes * 2)


def _of_all_processes(penalty: float, gradient: Tensor, weight: float, interrupts: Interrupts) -> tuple[float, Tensor]:
    """Means over the whole batch, from those over each process's part of it and that part's weight.

    The same exchange settles whether all stop after this step.
    """
    votes = interrupts.votes()
    parts = (weight * gradient.cpu().double().flatten(), torch.tensor([weight * penalty, *votes], dtype=torch.float64))
    gradients, rest = distributed.total(torch.cat(parts)).split([gradient.numel(), 1 + len(votes)])
    penalty, *votes = rest.tolist()
    interrupts.agree(votes)
    return penalty, gradients.view_as(gradient).to(gradient)


def _retracted(A: Tensor, orthogonalize: str) -> Tensor:
    """A with orthogonal rows of length √(number of coordinates), which make the same Q; as it is where none is made.

    The objective sees neither the length of rows nor what they share with rows before them. Left alone, under Adam
    they grow, so that the learning rate shrinks, and in long runs they come to depend on each other.
    """
    return A if orthogonalize == "none" else A.shape[1] ** 0.5 * orthonormalize(A, orthogonalize)
