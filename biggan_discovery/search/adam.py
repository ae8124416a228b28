"""Adam on A with a frozen generator (Peebles et al. 2020, section 4.3)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.directions import orthonormalize, pad
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import Batch, gradient_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.gradient import objective_gradient
from biggan_discovery.objectives.objective import Objective
from biggan_discovery.objectives.samples import draw
from biggan_discovery.runs import processes
from biggan_discovery.runs.folder import State
from biggan_discovery.runs.interrupts import Interrupts
from biggan_discovery.runs.session import Session
from biggan_discovery.search.method import Found, Method
from biggan_discovery.search.precision import gradient_precision, in_precision
from biggan_discovery.search.settings import AUTO, AdamSettings


class Adam(Method):
    """Minimise an objective by Adam, with a cosine learning-rate schedule."""

    Settings = AdamSettings

    def __init__(self, name: str, objective: Objective):
        self.name, self.objective = name, objective
        self.paper = objective.paper

    def defaults(self, generator: FrozenGenerator, layers: LayerRange, asked: dict[str, Any]) -> dict[str, Any]:
        """Defaults of the objective, and a random start."""
        own = {"init": "random", "orthogonalize": "qr", "precision": AUTO, **self.objective.defaults}
        if self.objective.most_batch is not None:
            own["batch"] = min(int(str(generator.defaults()["batch"])), self.objective.most_batch)
        return super().defaults(generator, layers, asked) | own

    def check(self, generator: FrozenGenerator, settings: AdamSettings) -> None:
        """Check that the objective supports the path size."""
        check_path_size(self.objective, settings.path_size)

    def total(self, settings: AdamSettings) -> int:
        """Number of steps."""
        return settings.steps

    def choose_precision(self, generator: FrozenGenerator, settings: AdamSettings) -> tuple[str, dict[str, float]]:
        """The fastest precision whose gradient agrees in direction with that in float64."""
        return gradient_precision(generator, settings, self.objective)

    def start_rows(self, generator: FrozenGenerator, settings: AdamSettings) -> int:
        """One row per direction."""
        return settings.directions

    def start(self, generator: FrozenGenerator, settings: AdamSettings, rows: Tensor, header: dict[str, Any]) -> State:
        """The state before the first step, from A = `rows` (ndirs, coordinates)."""
        tensors = {
            "A": _retracted(rows, settings.orthogonalize),
            "first_moment": torch.zeros_like(rows),
            "second_moment": torch.zeros_like(rows),
        }
        return State(header, tensors, ("penalty", "lr"), settings.steps)

    def search(self, generator: FrozenGenerator, settings: AdamSettings, state: State, session: Session) -> None:
        """Take the remaining steps."""
        space = generator.search_space(settings.layers)
        A = state.tensors["A"].to(generator.device).requires_grad_()
        optimizer = torch.optim.Adam([A], lr=settings.lr, betas=(0.9, 0.99))
        moments = {key: state.tensors[key].to(A.device) for key in ("first_moment", "second_moment")}
        optimizer.state[A] = {
            "step": torch.tensor(float(state.step)),
            "exp_avg": moments["first_moment"],
            "exp_avg_sq": moments["second_moment"],
        }
        state.tensors = {"A": A, **moments}  # Adam updates them in place.

        session.begin(state)
        generator = in_precision(generator, settings.precision)
        batch = Batch(settings.micro_batch) if settings.micro_batch else gradient_batch(generator)
        mine = processes.share(settings.batch)
        with arithmetic(settings.precision), session.progress(state, "searching", "step") as progress:
            for step in range(state.step, settings.steps):
                rate = settings.lr * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
                optimizer.param_groups[0]["lr"] = rate

                Q = orthonormalize(A, settings.orthogonalize)
                padded = pad(Q.detach(), space, generator.z_dim).to(generator.dtype)
                value, gradient = 0.0, torch.zeros_like(padded)
                if mine:  # With more processes than samples, some have none.
                    samples = draw(
                        generator,
                        settings.classes,
                        len(A),
                        count=len(mine),
                        first=mine.start,
                        probes=settings.probes,
                        path_size=settings.path_size,
                        seed=settings.seed,
                        stream=Stream.SEARCH,
                        step=step,
                    )
                    value, gradient = objective_gradient(
                        self.objective, generator, padded, samples, settings.epsilon, settings.layers, batch=batch
                    )
                weight = len(mine) / settings.batch
                value, gradient = _of_all_processes(value, gradient, weight, session.interrupts)
                if not math.isfinite(value):
                    raise UserError(
                        f"the penalty became {value} at step {step + 1}; try a smaller --lr or a larger --epsilon"
                    )
                optimizer.zero_grad()
                Q.backward(gradient[:, space].to(Q.dtype))
                optimizer.step()
                with torch.no_grad():
                    A.copy_(_retracted(A, settings.orthogonalize))
                if session.after_step(state, [value, rate], progress):
                    return

    def result(self, generator: FrozenGenerator, settings: AdamSettings, state: State, *, quiet: bool) -> Found:
        """The matrix A after the last step."""
        images = settings.steps * settings.batch * self.objective.passes(settings.probes)
        return Found(state.tensors["A"].detach().cpu(), {}, 2 * images)


def check_path_size(objective: Objective, path_size: float) -> None:
    """Check that the objective supports the path size.

    Raises:
        UserError: if it is 0 and the objective needs one above 0.
    """
    if not path_size and not objective.zero_path_size:
        raise UserError(f"path_size is {path_size!r}; for {objective.title} it should be above 0")


def _of_all_processes(value: float, gradient: Tensor, weight: float, interrupts: Interrupts) -> tuple[float, Tensor]:
    """Means over the whole batch, from each process's means over its part and the weight of that part.

    The same all-reduce decides whether all processes stop after this step.
    """
    votes = interrupts.votes()
    parts = (weight * gradient.cpu().double().flatten(), torch.tensor([weight * value, *votes], dtype=torch.float64))
    gradients, rest = processes.total(torch.cat(parts)).split([gradient.numel(), 1 + len(votes)])
    value, *votes = rest.tolist()
    interrupts.agree(votes)
    return value, gradients.view_as(gradient).to(gradient)


def _retracted(A: Tensor, orthogonalize: str) -> Tensor:
    """A with orthogonal rows of length √(coordinates) and the same Q; unchanged if `orthogonalize` is "none".

    The objective depends neither on the length of a row nor on its components along earlier rows. Without this
    retraction, rows grow under Adam, which lowers the effective learning rate, and become linearly dependent in long
    runs.
    """
    return A if orthogonalize == "none" else A.shape[1] ** 0.5 * orthonormalize(A, orthogonalize)
