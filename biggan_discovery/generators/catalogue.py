"""Which generators there are, and loading one by name or folder. Listing them needs no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators import brock_files, layout

if TYPE_CHECKING:
    import torch

    from biggan_discovery.generators.base import FrozenGenerator

DEFAULT = "scenes-64"
BUNDLED = (DEFAULT,)
CHECKPOINTS_VARIABLE = "BIGGAN_DISCOVERY_CHECKPOINTS"


@dataclass(frozen=True)
class Entry:
    """One generator of the catalogue.

    `config` is None where its folder is not there or cannot be read, and where only the weights tell (BigGAN-PyTorch).
    """

    name: str
    folder: Path
    config: layout.Config | None
    problem: str = ""


def load_generator(
    name_or_path: str | os.PathLike[str] = DEFAULT,
    *,
    truncation: float | None = None,
    device: str | torch.device = "auto",
) -> FrozenGenerator:
    """Load a frozen generator.

    Args:
        name_or_path: a name from `biggan-discovery generators`; or a folder with config.json and pytorch_model.bin as
            `pytorch_pretrained_biggan` has them; or G_ema.pth or G.pth of BigGAN-PyTorch, a folder with one of them,
            or a zip with one. The generator's `name` is the name, or the absolute path.
        truncation: in (0, 1], threshold of the latents and choice of the batch-norm statistics; 1 where not given.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", ...

    Raises:
        UserError: no such generator or device, a truncation out of range, or files that are missing, damaged, carry
            code, or do not fit together.
    """
    place = find_device(device)
    name, path = find_folder(name_or_path)
    # Imported here, so that listing does without torch.
    if brock_files.is_checkpoint(path):
        from biggan_discovery.generators.brock import BrockBigGAN as Family
    else:
        from biggan_discovery.generators.biggan_deep import BigGANDeep as Family
    return Family(path, name=name, truncation=1.0 if truncation is None else truncation).to(place)


def find_folder(name_or_path: str | os.PathLike[str]) -> tuple[str, Path]:
    """The name of a generator, and its folder; of BigGAN-PyTorch also the file or zip.

    A name of the catalogue goes before a folder of the same name in the working directory (write ./NAME for that).

    Raises:
        UserError: it is neither a name, nor a folder with a config.json, nor a checkpoint of BigGAN-PyTorch.
    """
    text = os.fspath(name_or_path)
    folders = _catalogue()
    if text in folders:
        if not folders[text].is_dir():
            raise UserError(f"the generator {text!r} belongs in {folders[text]}, but there is no such folder")
        return text, folders[text]
    if not text.strip():
        raise UserError(f"no generator given; there are: {', '.join(folders)}")
    path = Path(text).resolve()
    if brock_files.is_checkpoint(path):
        return str(path), path
    if path.is_file():
        raise UserError(
            f"{text} is a file; give the folder that holds {layout.CONFIG} and {layout.WEIGHTS}, or a .pth or .zip file"
        )
    if not path.is_dir():
        known = near_matches(text, folders) or f" (known: {', '.join(folders)})"
        raise UserError(f"no generator {text!r}{known}; or give a folder with {layout.CONFIG} and {layout.WEIGHTS}")
    if not (path / layout.CONFIG).is_file():
        raise UserError(f"the folder {text} has no {layout.CONFIG} and no {' or '.join(brock_files.WEIGHTS)}")
    return str(path), path


def list_generators() -> list[Entry]:
    """Bundled generators first, then others in the checkpoints folder, by name."""
    return [_entry(name, folder) for name, folder in _catalogue().items()]


def find_device(device: str | torch.device) -> torch.device:
    """The torch device of a name; "auto" is a GPU where there is one, else the CPU.

    Raises:
        UserError: unknown, or not in this machine.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise UserError(f"no device {str(device)!r} here; there are: auto, {', '.join(_devices())}") from error
    if place.type == "meta":
        raise UserError("the device 'meta' computes nothing; use auto, cpu or cuda")
    return place


def checkpoints_folder() -> Path:
    """Where generators lie: `checkpoints/` of the clone, or what BIGGAN_DISCOVERY_CHECKPOINTS says."""
    chosen = os.environ.get(CHECKPOINTS_VARIABLE)
    return Path(chosen).resolve() if chosen else Path(__file__).parents[2] / "checkpoints"


def _catalogue() -> dict[str, Path]:
    root = checkpoints_folder()
    telling = (layout.CONFIG, *brock_files.WEIGHTS)
    others = sorted(path.parent.name for name in telling for path in root.glob(f"*/{name}")) if root.is_dir() else []
    return {name: root / name for name in dict.fromkeys((*BUNDLED, *others))}


def _entry(name: str, folder: Path) -> Entry:
    if not folder.is_dir():
        return Entry(name, folder, None, "missing")
    if brock_files.is_checkpoint(folder):
        return Entry(name, folder, None)
    try:
        config = layout.read_config(folder)
    except UserError as error:
        return Entry(name, folder, None, str(error))
    return Entry(name, folder, config, "" if (folder / layout.WEIGHTS).is_file() else "weights missing")


def _devices() -> list[str]:
    import torch

    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
