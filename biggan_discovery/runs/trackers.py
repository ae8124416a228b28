"""Records of a search for TensorBoard and Weights & Biases: scalars, pictures, settings and final figures."""

from __future__ import annotations

import abc
import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from biggan_discovery.errors import UserError, near_matches

TRACKERS = ("tensorboard", "wandb")

Scalars = Mapping[str, float]


class Tracker(abc.ABC):
    """Something that records a search.

    Args:
        folder: folder of the run.
        step: steps that are already done; records of later ones, from before a kill, are replaced.
        settings: all settings of the run, as JSON values.
    """

    @abc.abstractmethod
    def __init__(self, folder: Path, step: int, settings: Mapping[str, Any]): ...

    @abc.abstractmethod
    def scalars(self, values: Scalars, step: int) -> None:
        """Record the figures of a step."""

    @abc.abstractmethod
    def picture(self, name: str, pixels: Any, step: int) -> None:
        """Record a picture (H, W, 3) uint8."""

    @abc.abstractmethod
    def finish(self, figures: Scalars) -> None:
        """Record the figures of the result."""

    @abc.abstractmethod
    def close(self) -> None:
        """Write what is not yet written."""


class TensorBoard(Tracker):
    """Event files in the folder of the run."""

    def __init__(self, folder: Path, step: int, settings: Mapping[str, Any]):
        # If TensorFlow is installed, TensorBoard writes files with it unless this module exists. A process that has
        # loaded TensorFlow is aborted when it loads torch's compiler: both register the options of LLVM.
        sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
        from torch.utils.tensorboard import SummaryWriter  # Imported here, as it is slow to import and rarely used.

        self._settings = settings
        self._writer = SummaryWriter(str(folder), purge_step=step + 1)
        rows = "\n".join(f"| {name} | {json.dumps(value)} |" for name, value in settings.items())
        self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}", step)

    def scalars(self, values: Scalars, step: int) -> None:
        """See `Tracker`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, name: str, pixels: Any, step: int) -> None:
        """See `Tracker`."""
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def finish(self, figures: Scalars) -> None:
        """See `Tracker`; settings and figures also appear among the hyperparameters."""
        from torch.utils.tensorboard.summary import hparams

        simple = {name: value if isinstance(value, str | bool | int | float) else json.dumps(value)
                  for name, value in self._settings.items()}  # fmt: skip
        for each in hparams(simple, dict.fromkeys(figures, 0)):
            self._writer._get_file_writer().add_summary(each)  # pyright: ignore[reportPrivateUsage]
        self.scalars(figures, 0)

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


class WeightsAndBiases(Tracker):
    """A run of the project biggan-discovery, named after the folder; `WANDB_MODE=offline` keeps it in the folder."""

    def __init__(self, folder: Path, step: int, settings: Mapping[str, Any]):
        import wandb

        self._image = wandb.Image
        self._run = wandb.init(
            project="biggan-discovery", name=folder.resolve().name, dir=str(folder), config=dict(settings)
        )

    def scalars(self, values: Scalars, step: int) -> None:
        """See `Tracker`."""
        self._run.log(dict(values), step=step)

    def picture(self, name: str, pixels: Any, step: int) -> None:
        """See `Tracker`."""
        self._run.log({name: self._image(pixels)}, step=step)

    def finish(self, figures: Scalars) -> None:
        """See `Tracker`; figures are the summary of the run."""
        self._run.summary.update(dict(figures))

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


_CLASSES = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def tracker_names(names: str | Sequence[str] | None) -> list[str]:
    """The names of trackers, from a list or a string such as "tensorboard,wandb".

    Raises:
        UserError: for an unknown name, or one whose package is not installed.
    """
    chosen = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names or ())
    for name in chosen:
        if name not in TRACKERS:
            near = near_matches(str(name), TRACKERS)
            raise UserError(f"tracker is {name!r}; it should be of {', '.join(TRACKERS)}{near}")
    if "wandb" in chosen:
        try:
            import wandb  # noqa: F401  # pyright: ignore[reportUnusedImport]
        except ImportError as error:
            raise UserError(f"the tracker wandb needs a package: pip install wandb ({error})") from error
    return list(dict.fromkeys(chosen))


@contextlib.contextmanager
def trackers(names: Sequence[str], folder: Path, step: int, settings: Mapping[str, Any]) -> Iterator[list[Tracker]]:
    """The trackers of a run, closed at the end.

    Args:
        names: see `tracker_names`.
        folder: folder of the run.
        step: steps that are already done.
        settings: all settings of the run, as JSON values.
    """
    with contextlib.ExitStack() as stack:
        found = []
        for name in names:
            found.append(_CLASSES[name](folder, step, settings))
            stack.callback(found[-1].close)
        yield found
