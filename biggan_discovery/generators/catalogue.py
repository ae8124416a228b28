"""Which generators there are, and loading one by name or folder. Listing them needs no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators import brock_files, layout
from biggan_discovery.generators.download import REMOTE, fetch, is_in_package_cache, missing_files

if TYPE_CHECKING:
    import torch

    from biggan_discovery.generators.base import FrozenGenerator

DEFAULT = "scenes-64"
BUNDLED = (DEFAULT, "scenes-apart", "scenes-overlap")
CHECKPOINTS_VARIABLE = "BIGGAN_DISCOVERY_CHECKPOINTS"
_CLONE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Entry:
    """One generator of the catalogue.

    `config` is None where its folder is not there or cannot be read, and where only the weights tell (BigGAN-PyTorch).
    `size` is that of the weights in bytes, 0 where unknown.
    """

    name: str
    folder: Path
    config: layout.Config | None
    problem: str = ""
    size: int = 0

    @property
    def figures(self) -> tuple[int, int, int] | None:
        """Resolution, z_dim and number of classes, where they are known without reading weights."""
        known = self.config or REMOTE.get(self.name)
        return (known.resolution, known.z_dim, known.num_classes) if known else None


def load_generator(
    name_or_path: str | os.PathLike[str] = DEFAULT,
    *,
    truncation: float | None = None,
    device: str | torch.device = "auto",
    offline: bool | None = None,
    mirror: str | None = None,
) -> FrozenGenerator:
    """Load a frozen generator; biggan-deep-128, -256, -512 and brock-128 are downloaded where they are not here yet.

    Args:
        name_or_path: a name from `biggan-discovery generators`; or a folder with config.json and pytorch_model.bin as
            `pytorch_pretrained_biggan` has them; or G_ema.pth or G.pth of BigGAN-PyTorch, a folder with one of them,
            or a zip with one. The generator's `name` is the name, or the absolute path.
        truncation: in (0, 1], threshold of the latents and choice of the batch-norm statistics; 1 where not given.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", ...
        offline: download nothing; where not given, as the environment variable BIGGAN_DISCOVERY_OFFLINE says.
        mirror: address to download from, instead of the generators' hosts, files of the same names as there; where
            not given, as BIGGAN_DISCOVERY_MIRROR says.

    Raises:
        UserError: no such generator or device, a truncation out of range, a download that fails, or files that are
            missing, damaged, carry code, or do not fit together.
    """
    place = find_device(device)
    name, path = find_folder(name_or_path)
    if name in REMOTE:
        fetch(name, path, offline=offline, mirror=mirror)
        path = _unpacked_or_zip(name, path)
    # Imported here, so that listing does without torch.
    if brock_files.is_checkpoint(path):
        from biggan_discovery.generators.brock import BrockBigGAN as Family
    else:
        from biggan_discovery.generators.biggan_deep import BigGANDeep as Family
    return Family(path, name=name, truncation=1.0 if truncation is None else truncation).to(place)


def find_folder(name_or_path: str | os.PathLike[str]) -> tuple[str, Path]:
    """The name of a generator, and its folder; of BigGAN-PyTorch also the file or zip. Downloads nothing.

    The folder of a generator that can be downloaded may lack files, or be missing. A name of the catalogue goes before
    a folder of the same name in the working directory (write ./NAME for that).

    Raises:
        UserError: it is neither a name, nor a folder with a config.json, nor a checkpoint of BigGAN-PyTorch.
    """
    text = os.fspath(name_or_path)
    folders = _catalogue()
    if text in folders:
        if not folders[text].is_dir() and text not in REMOTE:
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


def class_names(name_or_path: str | os.PathLike[str]) -> tuple[str, tuple[str, ...]]:
    """The name of a generator and its class names, without downloading it.

    Raises:
        UserError: as `find_folder`; a broken config.json or classes.json.
    """
    name, path = find_folder(name_or_path)
    if name in REMOTE:
        return name, layout.read_class_names(path, REMOTE[name].num_classes)
    if brock_files.is_checkpoint(path):  # Only the weights tell.
        return name, load_generator(name_or_path, device="cpu").class_names
    return name, layout.read_class_names(path, layout.read_config(path).num_classes)


def list_generators() -> list[Entry]:
    """Bundled generators, then those that can be downloaded, then others in the checkpoints folder, by name."""
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
    """Where generators lie: what BIGGAN_DISCOVERY_CHECKPOINTS says, else `checkpoints/` of the clone.

    Where the package is installed without its clone, a folder in the user's cache.
    """
    chosen = os.environ.get(CHECKPOINTS_VARIABLE)
    if chosen:
        return Path(chosen).resolve()
    root = _CLONE if (_CLONE / "pyproject.toml").is_file() else platformdirs.user_cache_path("biggan-discovery")
    return root / "checkpoints"


def _catalogue() -> dict[str, Path]:
    root = checkpoints_folder()
    telling = (layout.CONFIG, *brock_files.WEIGHTS)
    others = sorted(path.parent.name for name in telling for path in root.glob(f"*/{name}")) if root.is_dir() else []
    folders = {name: root / name for name in dict.fromkeys((*BUNDLED, *REMOTE, *others))}
    # Who keeps downloads elsewhere still has the bundled generators in the clone.
    bundled = {name: _CLONE / "checkpoints" / name for name in BUNDLED if not folders[name].is_dir()}
    return folders | {name: folder for name, folder in bundled.items() if folder.is_dir()}


def _unpacked_or_zip(name: str, folder: Path) -> Path:
    """The folder of a downloaded generator, or the zip in it that nobody has unpacked."""
    archive = folder / f"{name}.zip"
    return archive if archive.is_file() and not brock_files.is_checkpoint(folder) else folder


def _entry(name: str, folder: Path) -> Entry:
    if name in REMOTE and missing_files(name, folder):
        problem = "in the package's cache" if is_in_package_cache(name, folder) else "not downloaded"
        return Entry(name, folder, None, problem, REMOTE[name].about or 0)
    if not folder.is_dir():
        return Entry(name, folder, None, "missing")
    path = _unpacked_or_zip(name, folder)
    if brock_files.is_checkpoint(path):
        return Entry(name, folder, None, size=_size(path / each for each in brock_files.WEIGHTS) or _size([path]))
    try:
        config = layout.read_config(folder)
    except UserError as error:
        return Entry(name, folder, None, str(error))
    size = _size([layout.weights_path(folder)])
    return Entry(name, folder, config, "" if size else "weights missing", size)


def _size(paths: Iterable[Path]) -> int:
    """Size in bytes of the first file that is there, else 0."""
    return next((path.stat().st_size for path in paths if path.is_file()), 0)


def _devices() -> list[str]:
    import torch

    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
