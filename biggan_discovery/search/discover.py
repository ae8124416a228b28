"""Discovery: Adam on A, everything else frozen."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from biggan_discovery.directions import Directions, initial_matrix, orthonormalize, pad
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import HELD_OUT_SAMPLES, held_out_penalty, recovery
from biggan_discovery.generators import FrozenGenerator, load_generator, parse_classes
from biggan_discovery.objectives.samples import Purpose, draw
from biggan_discovery.objectives.through_directions import micro_batch, penalty_of_directions
from biggan_discovery.progress import Progress
from biggan_discovery.search.interrupts import Interrupts
from biggan_discovery.search.run_folder import DIRECTIONS, State, fresh_state, load_state, locked
from biggan_discovery.search.settings import COLUMNS, run_settings

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def discover(
    generator: FrozenGenerator | str | os.PathLike[str],
    *,
    classes: str | int | Sequence[int] | None = None,
    method: str = "hessian",
    directions: int | None = None,
    steps: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    path_size: float | None = None,
    epsilon: float | None = None,
    probes: int | None = None,
    orthogonalize: str = "qr",
    init: str | os.PathLike[str] = "random",
    layers: str = "all",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    save_every: int = 100,
    tensorboard: bool = False,
    quiet: bool = False,
) -> Directions:
    """Find directions of a frozen generator by minimising an objective over A with Adam.

    At every step the rows of A are orthonormalised to Q, and the objective is taken with respect to the coefficients w
    of G(z + wQ, y), at w one-hot × U(-path_size, path_size) (Peebles et al. 2020, section 4.3). The penalty ignores the
    length of A's rows, so they are kept at length √z_dim: entries are then of order 1 and `lr` means the same for every
    z_dim and at every step. The learning rate falls to zero along a cosine.

    Args:
        generator: a frozen generator, or what `load_generator` takes.
        classes: class indices to search over, or text such as "cone" or "0-2"; all of them where None.
        method: "hessian", the Hessian Penalty.
        directions: rows of A; as many as the layers see coordinates of z where None.
        steps: steps of Adam in all.
        batch: samples a step.
        lr: learning rate of the first step.
        path_size: η.
        epsilon: finite-difference step in w.
        probes: k, Rademacher probes per sample, 2 or more.
        orthogonalize: "qr", "gram-schmidt" or "none".
        init: "random", "coordinates", or a directions file to start from.
        layers: which layers of the generator the directions reach: "all", "coarse", "mid", "fine", or a range such as
            "4-8". Where layers see different parts of z, directions have no coordinates in the others' parts.
        seed: of the start and of all samples.
        out: folder of the run. Started again with the same arguments, a run goes on where it stopped, bit for bit.
            Nothing is written where None.
        save_every: steps between saved states.
        tensorboard: write TensorBoard scalars to the folder as well; needs `out`.
        quiet: no progress.

    Returns:
        The directions. `metadata` holds all settings and the held-out penalty before and after.

    Settings that are None take the generator's own default, see `FrozenGenerator.defaults`.

    Raises:
        UserError: for a value that cannot be, or a folder that holds another run or is in use.
        KeyboardInterrupt: after Ctrl-C, when the step in hand is done and saved. SIGTERM raises SystemExit(143).
    """
    if not isinstance(generator, FrozenGenerator):
        generator = load_generator(generator)
    chosen = _class_indices(generator, classes)
    settings = run_settings(
        generator,
        classes=chosen,
        method=method,
        directions=directions,
        steps=steps,
        batch=batch,
        lr=lr,
        path_size=path_size,
        epsilon=epsilon,
        probes=probes,
        orthogonalize=orthogonalize,
        init=os.fspath(init),
        layers=layers,
        seed=seed,
    )
    if save_every < 1:
        raise UserError(f"save_every is {save_every}; it should be at least 1")
    if out is not None and not os.fspath(out):
        raise UserError("out is ''; give a folder, or leave it out")
    if tensorboard and out is None:
        raise UserError("tensorboard scalars need a folder; give out")
    folder = None if out is None else Path(out)
    space = generator.search_space(settings["layers"])
    A = initial_matrix(init, settings["directions"], generator.z_dim, seed, space)

    with contextlib.ExitStack() as stack:
        state = fresh_state(settings, _fixed_length(A), COLUMNS)
        if folder is not None:
            stack.enter_context(locked(folder))
            state = load_state(folder, state) or state
            if state.step == settings["steps"] and (folder / DIRECTIONS).exists():
                return Directions.load(folder / DIRECTIONS)
        interrupts = Interrupts()
        board = stack.enter_context(_tensorboard(folder, state.step)) if tensorboard and folder else None
        with interrupts.remembered():
            _search(generator, state, folder, interrupts, board, save_every=save_every, quiet=quiet)
        if interrupts.signal:
            interrupts.leave()
        found = _directions(generator, state)
        _judge(generator, found, A, quiet=quiet)
        if folder is not None:
            found.save(folder / DIRECTIONS)
    return found


def _search(
    generator: FrozenGenerator,
    state: State,
    folder: Path | None,
    interrupts: Interrupts,
    board: SummaryWriter | None,
    *,
    save_every: int,
    quiet: bool,
) -> None:
    """Take the steps that are left, in place."""
    settings = state.settings
    steps, lr, space = settings["steps"], settings["lr"], generator.search_space(settings["layers"])
    A = state.A.to(generator.device).requires_grad_()
    optimizer = torch.optim.Adam([A], lr=lr, betas=(0.9, 0.99))
    optimizer.state[A] = {
        "step": torch.tensor(float(state.step)),
        "exp_avg": state.first_moment.to(A.device),
        "exp_avg_sq": state.second_moment.to(A.device),
    }
    history = state.history.tolist()

    def save() -> None:
        adam = optimizer.state[A]
        state.A, state.first_moment, state.second_moment = (
            A.detach().cpu(),
            adam["exp_avg"].cpu(),
            adam["exp_avg_sq"].cpu(),
        )
        state.history = torch.tensor(history, dtype=torch.float64).reshape(-1, len(COLUMNS))
        if folder is not None:
            state.save(folder, COLUMNS)

    progress = Progress(steps, "searching", done=state.step, quiet=quiet)
    with progress:
        for step in range(state.step, steps):
            samples = draw(
                generator,
                settings["classes"],
                len(A),
                count=settings["batch"],
                probes=settings["probes"],
                path_size=settings["path_size"],
                seed=settings["seed"],
                purpose=Purpose.SEARCH,
                step=step,
            )
            rate = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.param_groups[0]["lr"] = rate

            Q = orthonormalize(A, settings["orthogonalize"])
            # The loss is a mean over samples, so the gradient of Q adds up over micro-batches and goes through the
            # orthonormalisation once.
            Q_leaf = pad(Q.detach(), space, generator.z_dim).to(generator.dtype).requires_grad_()
            total = 0.0
            for part in samples.split(micro_batch(generator)):
                penalties = penalty_of_directions(generator, Q_leaf, part, settings["epsilon"], settings["layers"])
                loss = penalties.sum() / settings["batch"]
                loss.backward()
                total += loss.item()
            if not math.isfinite(total):
                raise UserError(
                    f"the penalty became {total} at step {step + 1}; try a smaller --lr or a larger --epsilon"
                )
            assert Q_leaf.grad is not None
            optimizer.zero_grad()
            Q.backward(Q_leaf.grad[:, space].to(Q.dtype))
            optimizer.step()
            if settings["orthogonalize"] != "none":
                with torch.no_grad():
                    A.copy_(_fixed_length(A))

            history.append([total, rate])
            if board is not None:
                board.add_scalar("penalty", total, step + 1)
                board.add_scalar("lr", rate, step + 1)
            progress.advance(penalty=total)
            if (step + 1) % save_every == 0 or step + 1 == steps or interrupts.signal:
                save()
            if interrupts.signal:
                return
    if not history:
        save()


def _fixed_length(A: Tensor) -> Tensor:
    """A with every row scaled to length √(number of coordinates)."""
    return A * (A.shape[1] ** 0.5 / torch.linalg.vector_norm(A, dim=1, keepdim=True))


def _class_indices(generator: FrozenGenerator, classes: str | int | Sequence[int] | None) -> list[int]:
    if classes is None:
        return list(range(generator.num_classes))
    text = (
        classes if isinstance(classes, str) else ",".join(map(str, [classes] if isinstance(classes, int) else classes))
    )
    return parse_classes(generator, text)


def _directions(generator: FrozenGenerator, state: State) -> Directions:
    """The result of a finished search, with its settings as DESIGN says files have them."""
    settings = dict(state.settings)
    moved = ("generator", "generator_sha256", "truncation", "classes", "method", "layers")
    origin = {key: settings.pop(key) for key in moved}
    space = generator.search_space(origin["layers"])
    metadata = {
        **origin,
        "objective": "Hessian Penalty of the image, reduction mean",
        "class_names": [generator.class_names[index] for index in origin["classes"]],
        "search_space": [space.start, space.stop],
        "seed": settings["seed"],
        "steps": settings["steps"],
        "resolution": generator.resolution,
        "z_dim": generator.z_dim,
        "settings": settings,
    }
    Q = orthonormalize(state.A, settings["orthogonalize"])
    return Directions(pad(state.A, space, generator.z_dim), pad(Q, space, generator.z_dim), metadata)


def _judge(generator: FrozenGenerator, found: Directions, A: Tensor, *, quiet: bool) -> None:
    """Record the held-out penalty of the result, the start and random directions, and the recovery of known factors."""
    settings = found.metadata["settings"]
    layers = found.metadata["layers"]
    space = generator.search_space(layers)
    random = initial_matrix("random", len(A), generator.z_dim, settings["seed"] + 1, space)
    candidates = {
        "random": pad(orthonormalize(random), space, generator.z_dim),
        "before": pad(orthonormalize(A, settings["orthogonalize"]), space, generator.z_dim),
        "after": found.Q,
    }
    with Progress(len(candidates) * HELD_OUT_SAMPLES, "judging", unit="sample", quiet=quiet) as progress:
        penalties = {
            name: held_out_penalty(
                generator,
                Q,
                classes=found.metadata["classes"],
                path_size=settings["path_size"],
                epsilon=settings["epsilon"],
                layers=layers,
                progress=progress,
            )
            for name, Q in candidates.items()
        }
    found.metadata["held_out_penalty"] = {name: list(estimate) for name, estimate in penalties.items()}
    found.metadata["objective_value"] = penalties["after"].mean
    truth = generator.true_directions
    if truth is not None and len(truth) <= len(A):
        found.metadata["recovery"] = {name: recovery(Q, truth).mean for name, Q in candidates.items()}


@contextlib.contextmanager
def _tensorboard(folder: Path, step: int) -> Iterator[SummaryWriter]:
    """Scalars beside the run; those of steps that are taken again after a kill are dropped."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and seldom used

    writer = SummaryWriter(str(folder), purge_step=step + 1)
    try:
        yield writer
    finally:
        writer.close()
