"""Discovery: directions of a frozen generator by any method, into one kind of file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from biggan_discovery.directions import Directions, initial_matrix, orthonormalize, pad
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import HELD_OUT_SAMPLES, held_out_penalty, recovery
from biggan_discovery.generators import FrozenGenerator, load_generator, parse_classes
from biggan_discovery.progress import Progress
from biggan_discovery.search import adam, closed_forms, distributed, joint_diagonalization
from biggan_discovery.search.closed_form import ClosedForm
from biggan_discovery.search.interrupts import Interrupts
from biggan_discovery.search.precision import arithmetic, choose_precision
from biggan_discovery.search.run_folder import DIRECTIONS, State, load_state, locked
from biggan_discovery.search.session import Session
from biggan_discovery.search.settings import ADAM, JOINT_DIAGONALIZATION, run_settings, span

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_SOLVERS = {ADAM: adam, JOINT_DIAGONALIZATION: joint_diagonalization, None: closed_forms}
_OBJECTIVES = {"hessian": "Hessian Penalty of the image, reduction mean", "orojar": "OroJaR of the whole image"}


def discover(
    generator: FrozenGenerator | str | os.PathLike[str],
    *,
    classes: str | int | Sequence[int] | None = None,
    method: str = "hessian",
    solver: str | None = None,
    directions: int | None = None,
    steps: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    path_size: float | None = None,
    epsilon: float | None = None,
    probes: int | None = None,
    samples: int | None = None,
    sketches: int | None = None,
    orthogonalize: str | None = None,
    init: str | os.PathLike[str] | None = None,
    precision: str | None = None,
    layers: str = "all",
    seed: int = 0,
    micro_batch: int | None = None,
    out: str | os.PathLike[str] | None = None,
    save_every: int = 100,
    tensorboard: bool = False,
    judge: bool = True,
    quiet: bool = False,
) -> Directions:
    """Find directions of a frozen generator.

    "hessian" and "orojar" minimise an objective of the coefficients w of G(z + wQ, y) over orthonormal Q. The solver
    "joint-diagonalization" measures second derivatives (or products of first ones) once and finds their common frame;
    directions come out ordered by strength. The solver "adam" goes down the objective's gradient with respect to a
    matrix A, whose rows are orthonormalised to Q at every step, at w one-hot × U(-path_size, path_size) (Peebles et
    al. 2020, section 4.3). The objective does not see what else A is, so its rows are kept orthogonal and of length
    √(coordinates): entries are then of order 1 and `lr` means the same for every z_dim and at every step. The learning
    rate falls to zero along a cosine.

    Args:
        generator: a frozen generator, or what `load_generator` takes.
        classes: class indices to search over, or text such as "cone" or "0-2"; all of them where None.
        method: "hessian", the Hessian Penalty (Peebles et al. 2020); "orojar", Orthogonal Jacobian Regularization (Wei
            et al. 2021); "sefa" (Shen & Zhou 2021), "ganspace" (Härkönen et al. 2020) and "jacobian" (Ramesh et al.
            2018), closed forms; "random" and "coordinates", baselines.
        solver: "adam" or "joint-diagonalization", of the first two methods. Where None, Adam if `steps`, `batch`,
            `lr`, `probes` or `orthogonalize` is given, else joint diagonalization.
        directions: rows of Q; as many as the layers see coordinates of z where None.
        steps: steps of Adam in all.
        batch: samples a step.
        lr: learning rate of the first step.
        path_size: η; 0 by default for "orojar", as its authors search.
        epsilon: finite-difference step in w.
        probes: k, Rademacher probes per sample, 2 or more.
        samples: latents that joint diagonalization measures, or that "ganspace" and "jacobian" look at.
        sketches: random combinations of pixels whose Hessians joint diagonalization measures at a latent; 0 for every
            pixel by itself, which is the default for up to 24 coordinates.
        orthogonalize: "qr", "gram-schmidt" or "none".
        init: "random", "coordinates", or a directions file to start from; for Adam "joint-diagonalization" too. Joint
            diagonalization finds directions in the span of its start's rows.
        precision: of Adam's steps: "float32", "tf32", "float16", "bfloat16", or "auto" for the fastest whose gradient
            keeps a cosine of 0.99 to that in float64 on this generator. Joint diagonalization, closed forms and
            judging take float32.
        layers: which layers of the generator the directions reach: "all", "coarse", "mid", "fine", or a range such as
            "4-8". Where layers see different parts of z, directions have no coordinates in the others' parts.
        seed: of the start and of all samples.
        micro_batch: images that Adam differentiates together; as many as memory has room for where None. The result
            depends on it by rounding only.
        out: folder of the run. Started again with the same arguments, a run goes on where it stopped, bit for bit.
            Nothing is written where None.
        save_every: steps (latents, for joint diagonalization) between saved states.
        tensorboard: write TensorBoard scalars to the folder as well; needs `out`.
        judge: take the held-out penalty of the result, of random directions, and of Adam's start.
        quiet: no progress.

    Returns:
        The directions. `metadata` holds all settings, the generator evaluations used (a forward pass, a backward pass
        and a forward-mode tangent of one image count as one each; judging is not counted), the held-out penalty, and
        where true directions are known their recovery.

    Settings that are None take the generator's own default, see `FrozenGenerator.defaults`.

    Where `torch.distributed` is initialized, all of its processes must call this with the same arguments; they share
    the work, the first writes the folder and shows progress, and all return the same directions.

    Raises:
        UserError: for a value that cannot be, or a folder that holds another run or is in use.
        KeyboardInterrupt: after Ctrl-C, when the step in hand is done and saved. SIGTERM raises SystemExit(143).
    """
    if not isinstance(generator, FrozenGenerator):
        generator = load_generator(generator)
    settings = _settings_of_all(
        generator,
        classes=_class_indices(generator, classes),
        method=method,
        solver=solver,
        directions=directions,
        steps=steps,
        batch=batch,
        lr=lr,
        path_size=path_size,
        epsilon=epsilon,
        probes=probes,
        samples=samples,
        sketches=sketches,
        orthogonalize=orthogonalize,
        init=None if init is None else os.fspath(init),
        precision=precision,
        layers=layers,
        seed=seed,
    )
    if save_every < 1:
        raise UserError(f"save_every is {save_every}; it should be at least 1")
    if out is not None and not os.fspath(out):
        raise UserError("out is ''; give a folder, or leave it out")
    if micro_batch is not None and (micro_batch < 1 or settings["solver"] != ADAM):
        raise UserError(f"micro_batch is {micro_batch}; it should be at least 1, and it is for the solver {ADAM} alone")
    if tensorboard and out is None:
        raise UserError("tensorboard scalars need a folder; give out")
    folder = None if out is None else Path(out)
    first = distributed.rank() == 0
    quiet = quiet or not first

    cosine = _settle_precision(generator, settings, quiet=quiet) if settings["solver"] == ADAM else None
    by = _SOLVERS[settings["solver"]]
    start = _start(generator, settings, folder, save_every=save_every, quiet=quiet)

    with contextlib.ExitStack() as stack:
        stack.enter_context(arithmetic("float32"))
        state = by.fresh_state(settings, start.A)
        opened = distributed.from_first(lambda: _opened(folder, state, stack))
        if isinstance(opened, Directions):
            return opened
        interrupts = Interrupts()
        keep = folder if first else None
        board = stack.enter_context(_tensorboard(keep, opened.step)) if tensorboard and keep else None
        with interrupts.remembered():
            by.search(generator, opened, Session(keep, interrupts, board, save_every, quiet, micro_batch))
        interrupts.leave()

        def finished() -> Directions:
            result = by.result(generator, opened, quiet=quiet)
            found = _directions(generator, settings, result, cost=result.evaluations + start.evaluations)
            if cosine is not None:
                found.metadata["gradient_cosine"] = cosine
            if judge:
                _judge(generator, found, start.A, quiet=quiet)
            if folder is not None:
                found.save(folder / DIRECTIONS)
            return found

        return distributed.from_first(finished)


def _settle_precision(generator: FrozenGenerator, settings: dict[str, Any], *, quiet: bool) -> float | None:
    """Replace "auto" by the precision that is taken, and tell what its gradient is like; see `choose_precision`."""
    objective = adam.OBJECTIVES[settings["method"]]
    taken, cosine = distributed.from_first(lambda: choose_precision(generator, settings, objective))
    settings["precision"] = taken
    if cosine is not None and not quiet:
        print(f"precision {taken}: cosine of the gradient's angle to float64's is {cosine:.4f}", file=sys.stderr)
    return cosine


def _settings_of_all(generator: FrozenGenerator, **asked: Any) -> dict[str, Any]:
    """`run_settings`, which must be the same in every process."""
    first, *others = distributed.gathered(lambda: run_settings(generator, **asked))
    for number, settings in enumerate(others, start=1):
        for key, value in first.items():
            if settings.get(key) != value:
                raise UserError(
                    f"{key} is {value!r} in the first process and {settings.get(key)!r} in process {number}; give all "
                    "of them the same files"
                )
    return first


def _opened(folder: Path | None, fresh: State, stack: contextlib.ExitStack) -> State | Directions:
    """Take hold of the folder; the state to go on from, or the directions where the run is finished."""
    if folder is None:
        return fresh
    stack.enter_context(locked(folder))
    state = load_state(folder, fresh) or fresh
    if state.step == state.total and (folder / DIRECTIONS).exists():
        return Directions.load(folder / DIRECTIONS)
    return state


def _start(
    generator: FrozenGenerator, settings: dict[str, Any], folder: Path | None, *, save_every: int, quiet: bool
) -> ClosedForm:
    """The rows (n, coordinates) that a search starts from, and what they cost; methods without a start have no rows."""
    init, layers = settings.get("init"), settings["layers"]
    space = generator.search_space(layers)
    if init is None:
        return ClosedForm(torch.empty(0, space.stop - space.start), {}, 0)
    if init == JOINT_DIAGONALIZATION:
        shared = ("classes", "method", "directions", "path_size", "layers", "seed")
        start = discover(
            generator,
            solver=JOINT_DIAGONALIZATION,
            epsilon=settings["epsilon"] if settings["method"] == "hessian" else None,
            out=None if folder is None else folder / "start",
            save_every=save_every,
            judge=False,
            quiet=quiet,
            **{key: settings[key] for key in shared},
        )
        return ClosedForm(start.Q[:, space], {}, start.metadata["generator_evaluations"])

    def rows() -> Tensor:
        count = settings["directions"] if settings["solver"] == ADAM else span(init, space)
        return initial_matrix(init, count, generator.z_dim, settings["seed"], space)

    return ClosedForm(distributed.from_first(rows), {}, 0)


def _class_indices(generator: FrozenGenerator, classes: str | int | Sequence[int] | None) -> list[int]:
    if classes is None:
        return list(range(generator.num_classes))
    text = (
        classes if isinstance(classes, str) else ",".join(map(str, [classes] if isinstance(classes, int) else classes))
    )
    return parse_classes(generator, text)


def _directions(generator: FrozenGenerator, settings: dict[str, Any], result: ClosedForm, *, cost: int) -> Directions:
    """The result of a finished search, with its settings as DESIGN says files have them."""
    settings = dict(settings)
    moved = ("generator", "generator_sha256", "truncation", "classes", "method", "solver", "layers", "seed")
    origin = {key: settings.pop(key) for key in moved}
    space = generator.search_space(origin["layers"])
    metadata = {
        **origin,
        **({"objective": _OBJECTIVES[origin["method"]]} if origin["method"] in _OBJECTIVES else {}),
        "class_names": [generator.class_names[index] for index in origin["classes"]],
        "search_space": [space.start, space.stop],
        "resolution": generator.resolution,
        "z_dim": generator.z_dim,
        "settings": settings,
        "generator_evaluations": cost,
        **result.values,
    }
    if "steps" in settings:
        metadata["steps"] = settings["steps"]
    Q = orthonormalize(result.A, settings.get("orthogonalize", "qr"))
    return Directions(pad(result.A, space, generator.z_dim), pad(Q, space, generator.z_dim), metadata)


def _judge(generator: FrozenGenerator, found: Directions, start: Tensor, *, quiet: bool) -> None:
    """Record the held-out penalty of the result, the start and random directions, and the recovery of known factors."""
    known = found.metadata
    settings = {**generator.defaults(), **(known["settings"] if known["method"] == "hessian" else {})}
    space = generator.search_space(known["layers"])
    candidates = {"random": initial_matrix("random", len(found), generator.z_dim, known["seed"] + 1, space)}
    if known["solver"] == ADAM:
        candidates["before"] = orthonormalize(start, settings["orthogonalize"])
    candidates = {name: pad(Q, space, generator.z_dim) for name, Q in candidates.items()} | {"after": found.Q}
    with Progress(len(candidates) * HELD_OUT_SAMPLES, "judging", unit="sample", quiet=quiet) as progress:
        penalties = {
            name: held_out_penalty(
                generator,
                Q,
                classes=known["classes"],
                path_size=settings["path_size"],
                epsilon=settings["epsilon"],
                layers=known["layers"],
                progress=progress,
            )
            for name, Q in candidates.items()
        }
    known["held_out_penalty"] = {name: list(estimate) for name, estimate in penalties.items()}
    if known["method"] == "hessian":
        known["objective_value"] = penalties["after"].mean
    truth = generator.true_directions
    if truth is not None and len(truth) <= len(found):
        known["recovery"] = {name: recovery(Q, truth).mean for name, Q in candidates.items()}


@contextlib.contextmanager
def _tensorboard(folder: Path, step: int) -> Iterator[SummaryWriter]:
    """Scalars beside the run; those of steps that are taken again after a kill are dropped."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and seldom used

    writer = SummaryWriter(str(folder), purge_step=step + 1)
    try:
        yield writer
    finally:
        writer.close()
