"""`train`: train a BigGAN on images."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from pathlib import Path
from typing import Any

import torch

from biggan_discovery.errors import UserError
from biggan_discovery.generators.catalogue import find_device
from biggan_discovery.output import human_time
from biggan_discovery.runs import processes
from biggan_discovery.runs.folder import Hold, Saved, State, check_same_run, locked, read_saved, resumed
from biggan_discovery.runs.interrupts import Interrupts
from biggan_discovery.runs.trackers import tracker_names, trackers
from biggan_discovery.training.architecture import Architecture
from biggan_discovery.training.data import Images, read_images, render_images
from biggan_discovery.training.deep_architecture import DeepArchitecture
from biggan_discovery.training.export import averaged_generator, draw_samples, write_generator, write_samples
from biggan_discovery.training.loop import COLUMNS, train_steps
from biggan_discovery.training.networks import Networks, count_of
from biggan_discovery.training.regularizers.table import complete_regularizer, regularizer_of
from biggan_discovery.training.rendered import RENDERED, classes_of
from biggan_discovery.training.settings import (
    AUTO,
    DEEP,
    NO_LIMIT,
    RENDERED_SIZE,
    TrainingSettings,
    complete,
    given_settings,
)
from biggan_discovery.training.start import SIZES, Start, read_start

_SECONDS = "seconds"  # of training so far, in the facts of a checkpoint
_log = logging.getLogger(__name__)


def train(
    data: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    preset: str | None = None,
    init: str | os.PathLike[str] | None = None,
    device: str = "auto",
    save_every: float = 5.0,
    tracker: str | list[str] | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Path:
    """Train a class-conditional BigGAN adversarially (Brock et al. 2018), and keep it as a generator.

    The folder `out` is a generator in the layout of BigGAN-PyTorch from the first save on: `load_generator(out)` takes
    it. It holds G_ema.pth, the weights averaged over training with standing batch-norm statistics; samples.png, images
    of the same latents at every save; history.csv, the losses of every step; and a checkpoint. Calling `train` again
    with the same arguments resumes the run, on a CPU bit for bit. With `minutes`, learning rates follow the clock, so
    that such a run is never the same twice.

    If `torch.distributed` is initialized, all processes must call this function with the same arguments; each takes its
    share of every batch, and batch norms see that share.

    Args:
        data: a folder of images (sub-folders are classes), a zip or tar of one, an .npz file with x and y, or
            "scenes-64", "scenes-apart" or "scenes-overlap", which are rendered. See `read_images`.
        out: folder for results.
        preset: name of settings that are known to work, "cifar-32"; others given replace them.
        init: folder of a run of `train` to start from, or with G.pth, G_ema.pth and D.pth of BigGAN-PyTorch: generator,
            discriminator and averaged weights, and what is not given of arch, resolution, width, z_dim, shared_dim,
            chunks and attention. Defaults to random weights.
        device: see `load_generator`.
        save_every: minutes between saves.
        tracker: "tensorboard", "wandb" or both, which also record losses and samples.
        quiet: show no progress.
        settings: fields of `TrainingSettings`; those that are None take the default of the resolution.

    Returns:
        `out`.

    Raises:
        UserError: for an invalid argument, data that cannot be read, a run that diverges, or if the folder holds a
            different run or is in use.
        KeyboardInterrupt: on Ctrl-C, after the state is saved. SIGTERM raises SystemExit(143).

    Example:
        >>> train("scenes-overlap", out="runs/overlap", resolution=32, width=16, minutes=30)
        PosixPath('runs/overlap')
        >>> generator = load_generator("runs/overlap")
    """
    given = given_settings(preset, settings)
    names = tracker_names(tracker)
    if not save_every > 0:
        raise UserError(f"save_every is {save_every}; it should be a number of minutes above 0")
    for name, value in (("data", data), ("out", out)):
        if not os.fspath(value):
            raise UserError(f"{name} is ''; give a folder")
    run = _Run(os.fspath(data), Path(out), find_device(processes.own_device(device)), quiet or processes.rank() > 0)
    run.prepare(given, None if init is None else read_start(Path(init)))
    run.train(60 * save_every, names)
    return Path(out)


class _Run:
    """One run on some images."""

    def __init__(self, data: str, folder: Path, device: torch.device, quiet: bool):
        self.data, self.folder, self.device, self.quiet = data, folder, device, quiet
        self.hold: Hold | None = None

    def prepare(self, given: dict[str, Any], start: Start | None) -> None:
        """Read images and check settings, before anything is written."""
        given = {**({} if start is None else start.settings), **given}
        self.start = start
        self.images: Images | None = None
        resolution = given.get("resolution", RENDERED_SIZE)
        if self.data in RENDERED:
            classes = classes_of(self.data, resolution)
        else:
            self.images = read_images(self.data, given.get("resolution"), quiet=self.quiet)
            resolution, classes = self.images.resolution, self.images.classes
        self.settings = complete(given, resolution=resolution, rendered=self.data in RENDERED)
        kind = DeepArchitecture if self.settings.arch == DEEP else Architecture
        self.architecture = kind(classes=len(classes), **{name: getattr(self.settings, name) for name in SIZES})
        self.architecture.check()
        self.settings = complete_regularizer(self.settings, self.architecture.activations, tuned=start is not None)
        _check_batch(self.settings.batch)
        check_precision(self.settings.precision, self.device)

    def train(self, save_every: float, tracker: list[str]) -> None:
        """Train or resume, and save."""
        with contextlib.ExitStack() as stack:
            saved = processes.from_first(lambda: self._saved(stack))
            images = self.images or processes.first_then_others(self._rendered)
            settings = self._with_precision(saved)
            header = {"data": self.data, "data_sha256": images.sha256(), **settings.header(), **self._origin()}
            if saved is not None:
                check_same_run(self.folder, saved, header)
                if saved.finished:
                    return
            networks = Networks(self.architecture, settings, self.device)
            if self.start is not None:
                networks.start_from(self.start.tensors, str(self.start.path))
            state, seconds = State(header, networks.tensors(), COLUMNS, settings.steps), 0.0
            if saved is not None:
                state, seconds = resumed(saved, state), float(saved.facts.get(_SECONDS, 0.0))
                networks.restore(state.tensors, state.step, settings.d_steps)
                state.tensors = networks.tensors()
            if not self.quiet:
                _log.info("%s", _announcement(self.data, images, networks, settings, state))
            recorded = []
            if processes.rank() == 0:
                recorded = stack.enter_context(trackers(tracker, self.folder, state.step, header))

            def save(state: State, seconds: float) -> None:
                if self.hold is None:  # Only the first process writes.
                    return
                self.hold.keep()
                generator = averaged_generator(networks, images.labels, settings.seed)
                sheet = draw_samples(generator, images.classes, settings.seed)
                write_generator(generator, images.classes, self.folder)
                write_samples(sheet, state.step, self.folder)
                for each in recorded:
                    each.picture("samples", sheet, state.step)
                state.facts = {_SECONDS: seconds}
                state.save(self.folder)

            interrupts = Interrupts()
            with interrupts.remembered():
                train_steps(
                    networks,
                    images,
                    settings,
                    state,
                    seconds=seconds,
                    regularizer=regularizer_of(settings),
                    interrupts=interrupts,
                    trackers=recorded,
                    save=save,
                    save_every=save_every,
                    quiet=self.quiet,
                )
            interrupts.leave()

    def _saved(self, stack: contextlib.ExitStack) -> Saved | None:
        """Lock the folder and read its checkpoint."""
        self.hold = stack.enter_context(locked(self.folder))
        saved = read_saved(self.folder)
        if saved is not None and "data" not in saved.settings:
            raise UserError(f"{self.folder} contains a search for directions; choose another --out")
        return saved

    def _rendered(self) -> Images:
        settings = self.settings
        return render_images(
            self.data, settings.renders, settings.resolution, settings.seed, self.folder, quiet=self.quiet
        )

    def _with_precision(self, saved: Saved | None) -> TrainingSettings:
        """The settings with "auto" resolved: by the checkpoint, or to the fastest precision that the device has."""
        precision = self.settings.precision
        if precision == AUTO:
            precision = _fastest(self.device) if saved is None else saved.settings.get("precision", AUTO)
        return dataclasses.replace(self.settings, precision=precision)

    def _origin(self) -> dict[str, Any]:
        """What determines the result beside images and settings."""
        of_start = {}
        if self.start is not None:
            of_start = {"init": str(self.start.path), "init_sha256": self.start.sha256()}
        return {"processes": processes.size(), **of_start}


def check_precision(precision: str, device: torch.device) -> None:
    """Check that a device has a precision.

    Raises:
        UserError: for TF32 without a GPU.
    """
    if precision == "tf32" and device.type != "cuda":
        raise UserError(f"precision is 'tf32', which {device} does not support; use float32 or bfloat16")


def _fastest(device: torch.device) -> str:
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    # CPUs with units for bfloat16 take half of the time with it; all others are slower.
    units = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    if device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in units):
        return "bfloat16"
    return "float32"


def _check_batch(batch: int) -> None:
    if batch % processes.size() or batch < 2 * processes.size():
        raise UserError(
            f"batch is {batch}; for {processes.size()} processes it should be a multiple of {processes.size()}, "
            "with at least two images for each"
        )


def _announcement(data: str, images: Images, networks: Networks, settings: TrainingSettings, state: State) -> str:
    """One line: images, networks, steps, device and precision."""
    limits = [] if settings.steps == NO_LIMIT else [f"{settings.steps:,} steps"]
    limits += [] if settings.minutes is None else [human_time(60 * settings.minutes)]
    count, d_steps = len(images.classes), settings.d_steps
    parts = [
        f"{data}: {len(images.pixels):,} images of {images.resolution} px in {count} class{'es' * (count != 1)}",
        f"G of {count_of(networks.G) / 1e6:.3g} and D of {count_of(networks.D) / 1e6:.3g} million weights",
        f"{' or '.join(limits)} of {settings.batch} images with {d_steps} step{'s' * (d_steps != 1)} of D each",
        f"{networks.device}, {settings.precision}",
    ]
    if state.step:
        parts.append(f"resumed at step {state.step:,}")
    return "; ".join(parts)
