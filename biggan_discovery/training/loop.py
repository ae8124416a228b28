"""The training loop: hinge loss, projection discriminator, Adam, averaged weights (Brock et al. 2018)."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.progress import Progress
from biggan_discovery.runs import processes
from biggan_discovery.runs.folder import State
from biggan_discovery.runs.interrupts import Interrupts
from biggan_discovery.runs.trackers import Tracker
from biggan_discovery.training.augmentation import augment
from biggan_discovery.training.batches import Batches, to_images
from biggan_discovery.training.data import Images
from biggan_discovery.training.layers import power_iteration
from biggan_discovery.training.networks import Networks, seed_of
from biggan_discovery.training.recording import Recorded
from biggan_discovery.training.regularizers.regularizer import Regularizer
from biggan_discovery.training.settings import NO_LIMIT, TrainingSettings

COLUMNS = ("loss_d", "score_real", "score_fake", "loss_g", "penalty")
_TICK = 1.0  # seconds between readings of the losses from the device
_MOST_PER_TICK = 100  # steps
_WON = 0.1  # mean loss of a discriminator that tells everything, over so many steps
_WON_STEPS = 500

_log = logging.getLogger(__name__)


def train_steps(
    networks: Networks,
    images: Images,
    settings: TrainingSettings,
    state: State,
    *,
    seconds: float,
    regularizer: Regularizer | None,
    interrupts: Interrupts,
    trackers: list[Tracker],
    save: Callable[[State, float], None],
    save_every: float,
    quiet: bool,
) -> None:
    """Take the remaining steps of a run.

    Args:
        networks: changed in place.
        images: what to learn.
        settings: of the run.
        state: its history is added to, and its tensors are those of the networks.
        seconds: of training so far.
        regularizer: a further term of the generator's loss.
        interrupts: signals that stop the run, after a save.
        trackers: what records the losses beside the history.
        save: called with the state and the seconds of training so far, in all processes.
        save_every: seconds between saves.
        quiet: show no progress.

    Raises:
        UserError: the losses are no longer finite.
    """
    device, d_steps = networks.device, settings.d_steps
    G, D, opt_g, opt_d = networks.G, networks.D, networks.opt_g, networks.opt_d
    mine = len(processes.share(settings.batch))
    batches = Batches(images, mine, d_steps, device)
    losses, warner = _Losses(device), _Warner()
    rates = ((opt_g.param_groups[0]["lr"], settings.lr_g), (opt_d.param_groups[0]["lr"], settings.lr_d))
    weight, drift = torch.zeros((), device=device), torch.zeros((), device=device)

    def latents(generator: torch.Generator) -> Tensor:
        return torch.randn(mine, settings.z_dim, device=device, generator=generator)

    def scores(shown: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        shown = augment(shown, settings.augmentations, generator)
        with _autocast(device, settings.precision):
            return D(shown, y)

    def discriminator_step(pixels: Tensor, y_real: Tensor, y_fake: Tensor, generator: torch.Generator) -> list[Tensor]:
        power_iteration(D)
        real = to_images(pixels, flip=settings.flip, generator=generator)
        with torch.no_grad(), _autocast(device, settings.precision):
            fake = G(latents(generator), y_fake)
        of_real, of_fake = scores(torch.cat((real, fake)), torch.cat((y_real, y_fake)), generator).chunk(2)
        loss = F.relu(1 - of_real).mean() + F.relu(1 + of_fake).mean()
        opt_d.zero_grad(set_to_none=True)
        loss.backward()
        processes.average_gradients(D)
        opt_d.step()
        return [loss, of_real.mean(), of_fake.mean()]

    def generator_step(generator: torch.Generator) -> list[Tensor]:
        power_iteration(G)
        z, y = latents(generator), batches.y_fake[-1]
        with _autocast(device, settings.precision):
            fake = G(z, y)
        loss = -scores(fake, y, generator).mean()
        penalty = torch.zeros_like(loss)
        if regularizer is not None:
            activations = functools.partial(G.activations, y=y, names=regularizer.layers)
            with arithmetic("float32"):  # Differences lose their leading digits otherwise.
                penalty = regularizer.penalty(activations, z, generator=generator)
        opt_g.zero_grad(set_to_none=True)
        (loss + weight * penalty).backward()
        processes.average_gradients(G)
        opt_g.step()
        with torch.no_grad():
            for average, parameter in zip(networks.averaged.parameters(), G.parameters(), strict=True):
                average.lerp_(parameter, drift)
        return [loss, penalty]

    def step(generator: torch.Generator) -> None:
        """Steps of D, then one of G. It reads nothing back from the device, so that a GPU can record it."""
        D.requires_grad_(True)
        of_d: list[Tensor] = []
        for pixels, y_real, y_fake in zip(batches.real, batches.y_real, batches.y_fake[:-1], strict=True):
            of_d = discriminator_step(pixels, y_real, y_fake, generator)
        D.requires_grad_(False)
        losses.add(*of_d, *generator_step(generator))

    recorded = Recorded(step, device, record=processes.size() == 1)
    limit = 60 * settings.minutes if settings.minutes else math.inf
    total = None if settings.steps == NO_LIMIT else settings.steps
    tuned = "init" in state.settings
    begun, saved_at, count = time.monotonic() - seconds, seconds, 1
    with _fast(device, settings.precision), Progress(total, "training", done=state.step, quiet=quiet) as progress:
        while True:
            # Between ticks of about a second, all processes agree how to go on.
            elapsed, count = _agreed(time.monotonic() - begun, count, interrupts)
            finished = state.step >= settings.steps or elapsed >= limit
            if finished:
                state.total = state.step
            if finished or interrupts.signal or elapsed - saved_at >= save_every:
                save(state, elapsed)
                saved_at = time.monotonic() - begun
            if finished or interrupts.signal:
                return

            first, started = state.step, time.monotonic()
            last = min(first + count, settings.steps)
            for index in range(first, last):
                done = max(index / settings.steps, elapsed / limit)
                falling = min(1.0, (1 - done) / settings.decay) if settings.decay else 1.0
                for rate, lr in rates:
                    rate.fill_(lr * falling)
                # Random weights are forgotten sooner; those of another run are not.
                drift.fill_(1 - (settings.ema if tuned else min(settings.ema, (1 + index) / (10 + index))))
                if regularizer is not None:
                    weight.fill_(regularizer.factor(index))
                batches.draw(_seed(settings, index, 0))
                recorded(_seed(settings, index, 1))

            rows = losses.take(last - first)  # waits for the device
            _check(rows, first)
            state.history.extend(rows)
            count = _next_count(last - first, time.monotonic() - started)
            means = dict(zip(COLUMNS, (sum(column) / len(rows) for column in zip(*rows, strict=True)), strict=True))
            for tracker in trackers:
                tracker.scalars({**means, "lr_g": float(rates[0][0])}, state.step)
            left = {"minutes_left": (limit - elapsed) / 60} if total is None else {}
            progress.advance(last - first, **{name: means[name] for name in ("loss_d", "loss_g")}, **left)
            warner(state)


class _Losses:
    """The losses of some steps, kept on the device until they are taken."""

    def __init__(self, device: torch.device):
        self._rows = torch.zeros(_MOST_PER_TICK, len(COLUMNS), device=device)
        self._next = torch.zeros(1, dtype=torch.int64, device=device)

    def add(self, *values: Tensor) -> None:
        """Add those of a step, without synchronization."""
        self._rows.index_copy_(0, self._next, torch.stack([value.detach().float() for value in values])[None])
        self._next.add_(1)

    def take(self, count: int) -> list[list[float]]:
        """Those of the last `count` steps, which are all that were added."""
        self._next.zero_()
        return self._rows[:count].tolist()


class _Warner:
    """Says once when the discriminator tells everything apart, from which the generator learns no more."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, state: State) -> None:
        recent = state.history[-_WON_STEPS:]
        if self._said or len(recent) < _WON_STEPS:
            return
        mean = sum(row[0] for row in recent) / len(recent)
        if mean < _WON:
            self._said = True
            _log.warning(
                "the discriminator has won: its loss was %.3g in the last %d steps, so the generator learns little; "
                "try all of --augment, a lower --lr-d, --d-steps 1, or more images",
                mean,
                _WON_STEPS,
            )


def _check(rows: list[list[float]], first: int) -> None:
    for index, row in enumerate(rows):
        if not all(map(math.isfinite, row)):
            what = next(name for name, value in zip(COLUMNS, row, strict=True) if not math.isfinite(value))
            raise UserError(
                f"training diverged: {what} is not finite at step {first + index + 1}; lower --lr-g and --lr-d, or "
                "give --precision float32"
            )


def _next_count(count: int, seconds: float) -> int:
    """Steps of the next tick, from the time that the last one took."""
    return max(1, min(_MOST_PER_TICK, 2 * count, round(count * _TICK / max(seconds, 1e-3))))


def _agreed(elapsed: float, count: int, interrupts: Interrupts) -> tuple[float, int]:
    """Seconds of training and steps of the next tick, as of the first process; all processes agree on signals too."""
    first = float(processes.rank() == 0)
    numbers = torch.tensor([first * elapsed, first * count, *interrupts.votes()], dtype=torch.float64)
    elapsed, count, *votes = processes.total(numbers).tolist()
    interrupts.agree(votes)
    return elapsed, int(count)


def _seed(settings: TrainingSettings, step: int, use: int) -> int:
    """The seed of a step, different in every process: of its batch (use 0), or of all else (use 1)."""
    return seed_of(settings.seed, Stream.TRAINING, step=step, sample=2 * processes.rank() + use)


def _autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    # Without the cache of casts, which must not outlive a recording.
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
    return contextlib.nullcontext()


@contextlib.contextmanager
def _fast(device: torch.device, precision: str) -> Iterator[None]:
    """Context manager with the kernels and the arithmetic of a precision; on a GPU all work is on a stream that can be
    recorded."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(arithmetic("float32" if precision == "float32" else "tf32"))
        if device.type == "cuda":
            stack.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
            torch.backends.cudnn.benchmark = True
            stack.enter_context(warnings.catch_warnings())
            # Adam's steps before the recording are meant to be as they are.
            warnings.filterwarnings("ignore", ".*capturable=True", UserWarning)
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            stack.enter_context(torch.cuda.stream(stream))
            stack.callback(stream.synchronize)
        yield
