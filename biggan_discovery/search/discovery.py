"""`discover`: find directions of a frozen generator by any method."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from biggan_discovery.directions import Directions, directions_of_start, initial_matrix, orthonormalize, pad
from biggan_discovery.directions.activity import random_strengths, stored_changes
from biggan_discovery.directions.layers import layer_shares
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.class_space import in_space
from biggan_discovery.generators.labels import ClassChoice, class_list
from biggan_discovery.generators.layer_range import is_each
from biggan_discovery.generators.mixes import class_title
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.numerics.trial import loaded
from biggan_discovery.objectives.samples import draw_latents
from biggan_discovery.runs import processes
from biggan_discovery.runs.folder import (
    BY_CONTENT,
    DIRECTIONS,
    Hold,
    Saved,
    State,
    check_same_run,
    load_finished,
    locked,
    read_saved,
    resumed,
)
from biggan_discovery.runs.interrupts import Interrupts
from biggan_discovery.runs.pace import Pace
from biggan_discovery.runs.session import Session
from biggan_discovery.runs.trackers import tracker_names, trackers
from biggan_discovery.search.announcement import announcement, cheaper
from biggan_discovery.search.judging import held_out_figures, judge_found
from biggan_discovery.search.layer_by_layer import layer_by_layer, layers_with_coordinates
from biggan_discovery.search.method import Found, Method, Settings
from biggan_discovery.search.settings import AUTO, JOINT_DIAGONALIZATION, PRECISIONS, STARTS, run_settings
from biggan_discovery.search.table import check_request, find_method, method_or_default

_RANDOM_STRENGTH_LATENTS = 16

_log = logging.getLogger(__name__)


def discover(
    generator: FrozenGenerator | str | os.PathLike[str],
    *,
    classes: ClassChoice = None,
    space: str | None = None,
    method: str | None = None,
    solver: str | None = None,
    directions: int | None = None,
    layers: str = "all",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    save_every: int = 100,
    tracker: str | Sequence[str] | None = None,
    judge: bool = True,
    quiet: bool = False,
    **settings: Any,
) -> Directions:
    """Find directions of a frozen generator.

    The methods "hessian" and "orojar" minimize an objective of the coefficients w of G(z + wQ, y) over orthonormal Q,
    with one of two solvers. "joint-diagonalization" measures second derivatives (or products of first derivatives) once
    and finds the frame that diagonalizes all of them best. One latent in four is held back and tells how good the frame
    is; latents are added until that value stops falling. "combined" diagonalizes both kinds of matrices together, with
    the weight that does best at latents it was not fitted to. "adam" descends the gradient of the objective with
    respect to a matrix A, whose rows are orthonormalized to Q at every step, at one-hot w × U(-path_size, path_size)
    (Peebles et al. 2020, section 4.3). The objective depends on A only through Q, so A is retracted to orthogonal rows
    of length √(coordinates): its entries are of order 1, and `lr` has the same meaning for every z_dim and at every
    step. The learning rate follows a cosine schedule to zero.

    If `torch.distributed` is initialized, all processes must call this function with the same arguments. They share the
    work, the first process writes the folder and shows progress, and all return the same directions.

    Args:
        generator: a frozen generator, or anything that `load_generator` accepts.
        classes: classes to search over: indices, a string such as "cone", "0-2" or "cone:0.7, cube:0.3" (a soft class),
            or class weights; see `class_list`. Defaults to all.
        space: "z" for directions of z; "class" for directions of the class embedding, "both" for directions of the two
            together, see `ClassSpace`. Defaults to the generator's, z.
        method: "combined", Hessian Penalty and OroJaR together; "hessian", the Hessian Penalty (Peebles et al. 2020);
            "orojar", Orthogonal Jacobian Regularization (Wei et al. 2021); "sefa" (Shen & Zhou 2021), "ganspace"
            (Härkönen et al. 2020) and "jacobian" (Ramesh et al. 2018), closed-form methods; "random" and "coordinates",
            baselines. Defaults to "combined", or to "hessian" if Adam or one of its settings is asked for.
        solver: "adam" or "joint-diagonalization", for "hessian" and "orojar" only. Defaults to Adam if a setting that
            only Adam has is given (`steps`, `batch`, `lr`, `probes`, `orthogonalize`), otherwise to joint
            diagonalization.
        directions: number of rows of Q, for layers "each" of every layer. Defaults to the number of coordinates of z
            that the layers see.
        layers: layers of the generator that the directions reach: "all", "coarse", "mid", "fine", or a range such as
            "4-8". If layers see different parts of z, directions are zero in the parts of the other layers. "each"
            searches every layer by itself, in folders `out`/layer-0 and so on, and returns all directions sorted by
            strength, each for its own layer; see `Directions.layers_of`.
        seed: random seed of the start and of all samples.
        out: folder for results. Calling `discover` again with the same arguments resumes the run bit for bit. Defaults
            to writing nothing.
        save_every: number of steps (latents, for joint diagonalization) between checkpoints.
        tracker: "tensorboard", "wandb" or both, which also record the search: settings, penalties, film strips of the
            current directions, and held-out figures. Requires `out`.
        judge: measure the held-out penalty of the result, of random directions, and of Adam's start.
        quiet: show no progress.
        settings: settings of the method, see below. Settings that are None take the default of the generator (see
            `FrozenGenerator.defaults`) or of the method.

    Settings of "adam": `steps`; `batch`, samples per step; `lr`, learning rate of the first step; `path_size`, η;
    `epsilon`, finite-difference step in w; `probes`, Rademacher probes per sample, at least 2; `orthogonalize`, "qr",
    "gram-schmidt" or "none"; `init`, "random", "coordinates", "joint-diagonalization", or the path of a directions file
    to start from; `precision`, "float32", "tf32", "float16", "bfloat16", or "auto" for the fastest one whose gradient
    has a cosine similarity of at least 0.99 with the float64 gradient on this generator.

    Settings of "joint-diagonalization": `samples`, number of latents to measure, by default as many as it takes, at
    most two for each coordinate or 64; `evaluations`, most generator evaluations; `minutes`, time after which no
    latents are added; `sketches`, number of
    random pixel combinations whose Hessians are measured per latent, 0 for every pixel separately, which is the default
    for up to 24 coordinates; `path_size`; `epsilon`; `precision`; `init`, as above, which restricts the search to the
    span of its rows.

    "ganspace" and "jacobian" also have `samples`, and "ganspace" has `orthogonalize`. Both solvers and "jacobian" have
    `micro_batch`, the number of images computed at once; it changes results only through rounding.

    Returns:
        The directions. `metadata` holds all settings; the number of generator evaluations, in which a forward pass, a
        backward pass and a forward-mode tangent of one image count as one each, and judging is not included; the
        held-out penalty; for both solvers "unseen", off-diagonal sums of squares at latents that were held back; for
        joint diagonalization "error_angle", the angle in degrees within which each direction is determined; and, if
        true directions are known, their recovery.

    Raises:
        UserError: for an invalid argument, or if the folder holds a different run or is in use.
        KeyboardInterrupt: on Ctrl-C, after the current step is finished and saved. SIGTERM raises SystemExit(143).

    Example:
        >>> found = discover("scenes-64", classes="cone", samples=4, out="runs/cones")
        >>> found.Q.shape
        torch.Size([16, 16])
    """
    method = method_or_default(method, solver, settings)
    found_by, solver = check_request(method, solver, settings)
    generator = loaded(generator) if space is None else in_space(loaded(generator), space)
    by = f"{method} by {solver}" if solver else method
    asked = {
        "classes": class_list(generator, classes),
        "directions": directions,
        "seed": seed,
        **{key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in settings.items()},
    }
    if save_every < 1:
        raise UserError(f"save_every is {save_every}; it should be at least 1")
    if out is not None and not os.fspath(out):
        raise UserError("out is ''; give a folder, or leave it out")
    names = tracker_names(tracker)
    if names and out is None:
        raise UserError("a tracker needs a folder; give out")
    folder = None if out is None else Path(out)

    def run(layers: str, folder: Path | None) -> _Run:
        chosen = _of_all_processes(lambda: run_settings(generator, found_by, by, layers=layers, **asked))
        return _Run(generator, method, solver, found_by, chosen, folder, quiet)

    if not is_each(layers):
        return run(layers, folder).directions(save_every, names, judge=judge)
    runs = {layer: run(layer, folder and folder / f"layer-{layer}") for layer in layers_with_coordinates(generator)}
    first = next(iter(runs.values()))
    return layer_by_layer(
        generator,
        {layer: functools.partial(each.directions, save_every, names, judge=judge) for layer, each in runs.items()},
        first.header(),
        [found_by.evaluations(each.settings) for each in runs.values()],
        folder,
        quiet=quiet,
    )


class _Run:
    """One run of a method on a generator."""

    def __init__(
        self,
        generator: FrozenGenerator,
        name: str,
        solver: str | None,
        method: Method,
        settings: Settings,
        folder: Path | None,
        quiet: bool,
    ):
        self.generator, self.name, self.solver, self.method = generator, name, solver, method
        self.settings: Any = settings
        self.facts: dict[str, Any] = {}
        self.folder = folder
        self.hold: Hold | None = None
        self.first = processes.rank() == 0
        self.quiet = quiet or not self.first

    def directions(self, save_every: int, tracker: Sequence[str], *, judge: bool) -> Directions:
        """Search or resume, and judge."""
        generator = self.generator
        # A start that cannot be is refused before the folder is made; one that is searched for is kept in the folder.
        start = None if getattr(self.settings, "init", "") == JOINT_DIAGONALIZATION else self._start()
        with contextlib.ExitStack() as stack:
            stack.enter_context(arithmetic("float32"))
            saved = processes.from_first(lambda: self._saved(stack))
            self._settle_precision(saved)
            header, more = self.header(), False
            if saved is not None and self.folder is not None:
                folder = self.folder
                limits = self.method.limits(self.settings, saved.step)
                check_same_run(folder, saved, header, limits)
                more = any(saved.settings.get(name) != header.get(name) for name in limits)
                if saved.finished and (folder / DIRECTIONS).exists() and not more:
                    return processes.from_first(lambda: load_finished(folder))
            start = start or self._jointly_diagonalized(save_every)
            state = self.method.start(generator, self.settings, start.A, header)
            state.facts = self.facts
            if saved is not None and self.folder is not None:
                fresh, state = state, resumed(saved, state)
                if more:
                    processes.from_first(lambda: self._put_aside(saved.step))
                    state = self.method.extended(state, fresh)
            interrupts = Interrupts()
            keep = self.folder if self.first else None
            recorded = [] if keep is None else stack.enter_context(trackers(tracker, keep, state.step, header))
            if not self.quiet:
                _log.info(
                    "%s",
                    announcement(
                        generator,
                        self.name,
                        self.solver,
                        self.method,
                        self.settings,
                        done=state.step,
                        total=state.total,
                    ),
                )
            with interrupts.remembered():
                session = Session(
                    keep,
                    interrupts,
                    recorded,
                    self._picture,
                    Pace(
                        functools.partial(self.method.most_steps, self.settings),
                        getattr(self.settings, "minutes", None),
                        cheaper(self.solver),
                    ),
                    save_every,
                    self.quiet,
                    self.hold,
                )
                self.method.search(generator, self.settings, state, session)
            interrupts.leave()

            def finished() -> Directions:
                result = self.method.result(generator, self.settings, state, quiet=self.quiet)
                found = self._found(result, cost=result.evaluations + start.evaluations)
                if judge:
                    judge_found(found, generator, self.method, self.settings, self.solver, start.A, quiet=self.quiet)
                for each in recorded:
                    each.picture("found directions", self._strips(found), state.step)
                    each.finish(held_out_figures(found))
                if self.folder is not None:
                    if self.hold is not None:
                        self.hold.keep()
                    found.save(self.folder / DIRECTIONS)
                return found

            return processes.from_first(finished)

    def _put_aside(self, steps: int) -> None:
        """Keep the directions of fewer steps, which may have names."""
        if self.folder is not None and (self.folder / DIRECTIONS).exists():
            aside = self.folder / DIRECTIONS.replace(".", f"-{steps}.")
            (self.folder / DIRECTIONS).replace(aside)
            _log.info("going on from %d; their directions are kept in %s", steps, aside)

    def _saved(self, stack: contextlib.ExitStack) -> Saved | None:
        """Lock the folder and read what its checkpoint is for."""
        if self.folder is None:
            return None
        self.hold = stack.enter_context(locked(self.folder))
        return read_saved(self.folder)

    def _settle_precision(self, saved: Saved | None) -> None:
        """Resolve "auto" from the checkpoint or by measurement, and keep the measured accuracy."""
        asked = getattr(self.settings, "precision", None)
        if asked is None:
            return
        if saved is not None:
            taken, self.facts = saved.settings.get("precision") if asked == AUTO else asked, saved.facts
        else:
            taken, self.facts = processes.from_first(
                lambda: self.method.choose_precision(self.generator, self.settings)
            )
        if taken in PRECISIONS:
            self.settings = dataclasses.replace(self.settings, precision=taken)
        accuracy = [f"{key} {value:.4g}" for key, value in self.facts.items() if isinstance(value, float)]
        if accuracy and not self.quiet:
            _log.info("precision %s: %s", taken, ", ".join(accuracy))

    def header(self) -> dict[str, Any]:
        """Everything that determines the result; runs with equal headers are the same run."""
        return {
            "generator": self.generator.name,
            "generator_sha256": self.generator.sha256,
            "truncation": self.generator.truncation,
            **({"prior": self.generator.prior} if self.generator.prior else {}),
            **({"space": self.generator.space} if self.generator.space != "z" else {}),
            "method": self.name,
            "solver": self.solver,
            **self.settings.header(),
            **self._content_of_init,
        }

    @functools.cached_property
    def _content_of_init(self) -> dict[str, str]:
        """The checksum of the directions that the search starts from, if they are in a file."""
        init = getattr(self.settings, "init", None)
        if init in (None, *STARTS, JOINT_DIAGONALIZATION):
            return {}
        return {BY_CONTENT["init"]: directions_of_start(init).sha256}

    def _start(self) -> Found:
        """The rows (n, coordinates) that a search starts from; none where nothing is searched."""
        generator, settings = self.generator, self.settings
        space = generator.search_space(settings.layers)
        count, init = self.method.start_rows(generator, settings), getattr(settings, "init", "")
        if not count:
            return Found(torch.empty(0, space.stop - space.start), {}, 0)
        rows = processes.from_first(lambda: initial_matrix(init, count, generator.z_dim, settings.seed, space))
        return Found(rows, {}, 0)

    def _jointly_diagonalized(self, save_every: int) -> Found:
        """A start, and what it cost, from a joint diagonalization with the settings that both solvers have."""
        solver, _ = find_method(self.name, JOINT_DIAGONALIZATION, {})
        own = solver.Settings.own().keys() - solver.unused - {"init"}
        shared = {key: getattr(self.settings, key) for key in own if hasattr(self.settings, key)}
        settings = self.settings
        start = discover(
            self.generator,
            classes=settings.classes,
            method=self.name,
            solver=JOINT_DIAGONALIZATION,
            directions=settings.directions,
            layers=str(settings.layers),
            seed=settings.seed,
            out=None if self.folder is None else self.folder / "start",
            save_every=save_every,
            judge=False,
            quiet=self.quiet,
            **shared,
        )
        space = self.generator.search_space(settings.layers)
        return Found(start.Q[:, space], {}, start.metadata.get("generator_evaluations", 0))

    def _found(self, result: Found, *, cost: int) -> Directions:
        """The directions of a finished search, with their metadata."""
        generator, settings, own = self.generator, self.settings, self.header()
        moved = ("generator", "generator_sha256", "truncation", "classes", "method", "solver", "layers", "seed")
        origin = {key: own.pop(key) for key in (*moved, *(key for key in ("prior", "space") if key in own))}
        space = generator.search_space(settings.layers)
        objective = getattr(self.method, "objective", None)
        metadata = {
            **origin,
            **({"objective": objective.description} if objective else {}),
            "class_names": [class_title(generator.class_names, each) for each in settings.classes],
            "search_space": [space.start, space.stop],
            "resolution": generator.resolution,
            "z_dim": generator.z_dim,
            "settings": own,
            "generator_evaluations": cost,
            **self.facts,
            **result.values,
        }
        if "steps" in own:
            metadata["steps"] = own["steps"]
        Q = orthonormalize(result.A, own.get("orthogonalize", "qr"))
        found = Directions(pad(result.A, space, generator.z_dim), pad(Q, space, generator.z_dim), metadata)
        if shares := layer_shares(generator, found.Q):
            found.metadata["layer_shares"] = shares
        if "strength" in metadata and stored_changes(found) is None:
            found.metadata["random_strength"] = self._random_strength()
        return found

    def _picture(self, state: State) -> Any:
        """Film strips of the directions of a search by gradient descent; other searches have none before their end."""
        if "A" not in state.tensors:
            return None
        return self._strips(self._found(Found(state.tensors["A"].detach().cpu(), {}, 0), cost=0))

    def _strips(self, found: Directions) -> Any:
        from biggan_discovery.rendering.strips import direction_strips  # Imported here, as few runs are tracked.

        return direction_strips(self.generator, found)

    def _random_strength(self) -> float:
        """Strength of random directions, which tells inactive directions where those found do not span all of z."""
        seed, classes = self.settings.seed, self.settings.classes
        z, y = draw_latents(self.generator, classes, count=_RANDOM_STRENGTH_LATENTS, seed=seed, stream=Stream.ACTIVITY)
        return random_strengths(self.generator, z, y, seed=seed).mean().item()


def _of_all_processes(make: Callable[[], Settings]) -> Settings:
    """The settings; refuse settings that differ between processes."""
    first, *others = processes.gathered(make)
    for number, settings in enumerate(others, start=1):
        for field in dataclasses.fields(first):
            value, other = (getattr(each, field.name, None) for each in (first, settings))
            if value != other:
                raise UserError(
                    f"{field.name} is {value!r} in the first process and {other!r} in process {number}; give all "
                    "processes the same files"
                )
    return first
