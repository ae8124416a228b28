"""Adam on A with a frozen generator (Peebles et al. 2020, section 4.3)."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.directions import orthonormalize, pad
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import gradient_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.memory import check_room
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.gradient import SCALES, ObjectiveGradient
from biggan_discovery.objectives.objective import Objective
from biggan_discovery.objectives.samples import check_room_for_samples, draw
from biggan_discovery.runs import processes
from biggan_discovery.runs.folder import State
from biggan_discovery.runs.interrupts import Interrupts
from biggan_discovery.runs.session import Session
from biggan_discovery.search.method import Found, Method
from biggan_discovery.search.precision import check_precision, gradient_precision, in_precision
from biggan_discovery.search.settings import AUTO, AdamSettings

_TRIED_AGAIN = 100  # Steps after which a scale that has fallen may be the largest again.
_BYTES = 4  # of a number in float32
_BETA1, _BETA2, _ADAM_EPS = 0.9, 0.99, 1e-8


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
        check_precision(generator, settings.precision)
        check_room_for_samples(
            generator, len(processes.share(settings.batch)), settings.probes, settings.directions, "--batch"
        )
        pixels = generator.channels * generator.resolution**2
        check_room(
            3 * _BYTES * pixels * self.objective.passes(settings.probes),
            f"the images of one sample with {settings.probes} probes",
            "lower --probes",
        )

    def choose_precision(self, generator: FrozenGenerator, settings: AdamSettings) -> tuple[str, dict[str, float]]:
        """The fastest precision whose gradient agrees in direction with that in float64."""
        return gradient_precision(generator, settings, self.objective)

    def evaluations(self, settings: AdamSettings) -> int:
        """A forward and a backward pass of every image."""
        return 2 * settings.steps * settings.batch * self.objective.passes(settings.probes)

    def start_rows(self, generator: FrozenGenerator, settings: AdamSettings) -> int:
        """One row per direction."""
        return settings.directions

    def start(self, generator: FrozenGenerator, settings: AdamSettings, rows: Tensor, header: dict[str, Any]) -> State:
        """The state before the first step, from A = `rows` (ndirs, coordinates)."""
        tensors = {
            "A": _retracted(rows, settings.orthogonalize),
            "first_moment": torch.zeros_like(rows),
            "second_moment": torch.zeros_like(rows),
            # Of the loss in the last step's backward pass. In float16 digits depend on it, so who goes on must know it.
            "loss_scale": torch.tensor(SCALES[0], dtype=torch.float64),
        }
        return State(header, tensors, ("penalty", "lr"), settings.steps)

    def search(self, generator: FrozenGenerator, settings: AdamSettings, state: State, session: Session) -> None:
        """Take the remaining steps."""
        space = generator.search_space(settings.layers)
        A = state.tensors["A"].to(generator.device).requires_grad_()
        moments = {key: state.tensors[key].to(A.device) for key in ("first_moment", "second_moment")}
        loss_scale = state.tensors["loss_scale"]
        state.tensors = {"A": A, **moments, "loss_scale": loss_scale}  # changed in place

        session.begin(state)
        generator = in_precision(generator, settings.precision)
        batch = gradient_batch(generator, settings.micro_batch)
        gradient_at = ObjectiveGradient(self.objective, generator, settings.epsilon, settings.layers, batch=batch)
        mine = processes.share(settings.batch)
        with arithmetic(settings.precision), session.progress(state, "searching", "step") as progress:
            for step in range(state.step, settings.steps):
                rate = settings.lr * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
                Q = orthonormalize(A, settings.orthogonalize)
                padded = pad(Q.detach(), space, generator.z_dim).to(generator.dtype)
                scale = loss_scale.item() if step % _TRIED_AGAIN else SCALES[0]
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
                    value, gradient, scale = session.within_memory(state, partial(gradient_at, padded, samples, scale))
                weight = len(mine) / settings.batch
                value, gradient, scale = _of_all_processes(value, gradient, weight, scale, session.interrupts)
                loss_scale.fill_(scale)
                if not math.isfinite(value):
                    raise UserError(
                        f"the penalty became {value} at step {step + 1}; try a smaller --lr or a larger --epsilon"
                    )
                if not gradient.isfinite().all():
                    raise UserError(
                        f"the gradient is not finite at step {step + 1}, though the penalty is ({value:.3g}): the "
                        "generator has no finite derivative at one of the samples; try another --seed or --epsilon"
                    )
                (grad_A,) = torch.autograd.grad(Q, A, gradient[:, space].to(Q.dtype))
                with torch.no_grad():
                    adam_step(A, grad_A, **moments, step=step + 1, lr=rate)
                    A.copy_(_retracted(A, settings.orthogonalize))
                if session.after_step(state, [value, rate], progress):
                    return

    def result(self, generator: FrozenGenerator, settings: AdamSettings, state: State, *, quiet: bool) -> Found:
        """The matrix A after the last step."""
        return Found(state.tensors["A"].detach().cpu(), {}, self.evaluations(settings))


def adam_step(
    A: Tensor, gradient: Tensor, first_moment: Tensor, second_moment: Tensor, *, step: int, lr: float
) -> None:
    """One step of Adam (Kingma & Ba 2015, algorithm 1, with its defaults except β₂ = 0.99), in place.

    Equal to `torch.optim.Adam`, which loads torch's compiler when it is first used: that takes seconds.

    Args:
        A: what is minimised over; as all tensors here, of any one shape.
        gradient: with respect to A.
        first_moment: running mean of the gradient.
        second_moment: running mean of the squared gradient.
        step: from 1.
        lr: learning rate of this step.
    """
    first_moment.lerp_(gradient, 1 - _BETA1)
    second_moment.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
    denominator = (second_moment.sqrt() / (1 - _BETA2**step) ** 0.5).add_(_ADAM_EPS)
    A.addcdiv_(first_moment, denominator, value=-lr / (1 - _BETA1**step))


def check_path_size(objective: Objective, path_size: float) -> None:
    """Check that the objective supports the path size.

    Raises:
        UserError: if it is 0 and the objective needs one above 0.
    """
    if not path_size and not objective.zero_path_size:
        raise UserError(f"path_size is {path_size!r}; for {objective.title} it should be above 0")


def _of_all_processes(
    value: float, gradient: Tensor, weight: float, scale: float, interrupts: Interrupts
) -> tuple[float, Tensor, float]:
    """Means over the whole batch, from those over each process's part of it and that part's weight; the least scale.

    The same all-reduce decides whether all processes stop after this step.
    """
    votes = interrupts.votes()
    numbers = [weight * value, *(float(each == scale) for each in SCALES), *votes]
    parts = (weight * gradient.cpu().double().flatten(), torch.tensor(numbers, dtype=torch.float64))
    gradients, rest = processes.total(torch.cat(parts)).split([gradient.numel(), len(numbers)])
    value, *rest = rest.tolist()
    taken, votes = rest[: len(SCALES)], rest[len(SCALES) :]
    interrupts.agree(votes)
    least = min(each for each, count in zip(SCALES, taken, strict=True) if count)
    return value, gradients.view_as(gradient).to(gradient), least


def _retracted(A: Tensor, orthogonalize: str) -> Tensor:
    """A with orthogonal rows of length √(coordinates) and the same Q; unchanged if `orthogonalize` is "none".

    The objective depends neither on the length of a row nor on its components along earlier rows. Without this
    retraction, rows grow under Adam, which lowers the effective learning rate, and become linearly dependent in long
    runs.
    """
    return A if orthogonalize == "none" else A.shape[1] ** 0.5 * orthonormalize(A, orthogonalize)
