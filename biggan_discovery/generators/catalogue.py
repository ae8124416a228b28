"""The list of generators, and loading one by name or path. Listing needs no torch."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators.download import fetch, is_in_package_cache, missing_files
from biggan_discovery.generators.families import family_of, looked_for
from biggan_discovery.generators.family import Family
from biggan_discovery.generators.hub import Address, is_address, local_generator
from biggan_discovery.generators.layout import read_class_names
from biggan_discovery.generators.remote import REMOTE
from biggan_discovery.memory import memory_errors_pass

if TYPE_CHECKING:
    import torch

    from biggan_discovery.generators.base import FrozenGenerator

DEFAULT = "scenes-64"
BUNDLED = (DEFAULT, "scenes-apart", "scenes-overlap", "cifar-32")
CHECKPOINTS_VARIABLE = "BIGGAN_DISCOVERY_CHECKPOINTS"
_WEIGHTS = (".bin", ".pth", ".pt", ".safetensors")
_LONGEST = 200  # Characters of a name that messages show.
_PACKAGE = Path(__file__).parents[1]
_CLONE = _PACKAGE.parent


@dataclass(frozen=True)
class Entry:
    """One generator of the list.

    Attributes:
        name: what `load_generator` takes.
        folder: where its files belong.
        figures: resolution, z_dim and number of classes; None if unknown without its weights.
        size: of the weights in bytes; 0 if unknown.
        problem: why it cannot be used right away; "" if it can.
    """

    name: str
    folder: Path
    figures: tuple[int, int, int] | None = None
    size: int = 0
    problem: str = ""


@memory_errors_pass()
def load_generator(
    name_or_path: str | os.PathLike[str] = DEFAULT,
    *,
    truncation: float | None = None,
    device: str | torch.device = "auto",
    offline: bool | None = None,
    mirror: str | None = None,
    named_by: str | os.PathLike[str] | None = None,
) -> FrozenGenerator:
    """Load a frozen generator; biggan-deep-128, -256, -512 and brock-128 are downloaded if they are not here yet.

    Args:
        name_or_path: a name that `biggan-discovery generators` lists; a folder with config.json and pytorch_model.bin
            in the layout of `pytorch_pretrained_biggan`; G_ema.pth or G.pth of BigGAN-PyTorch, or a folder or zip with
            one; an address on the Hugging Face Hub, "hf://user/repo" or "hf://user/repo/G_ema.pth"; or Python code,
            "my_gan.py:G" or "package.module:G", where G is a `FrozenGenerator`, a function or `nn.Module` (see
            `FunctionGenerator`; its z_dim is read from an attribute z_dim, dim_z, latent_dim or nz, its prior from an
            attribute prior), or a class or function without arguments that makes one. It is run.
            The generator's `name` is the name, the absolute path, or the importable module as given.
        truncation: in (0, 1], threshold of the latents and choice of the batch-norm statistics. Defaults to 1, or to
            the truncation of a `FrozenGenerator` in Python code.
        device: "auto" (a CUDA GPU if there is one), "cpu", "cuda", "cuda:1", "mps", "xpu", ...
        offline: never download. Defaults to the environment variable BIGGAN_DISCOVERY_OFFLINE.
        mirror: address to download from, instead of the generators' hosts, with files of the same names. Defaults to
            BIGGAN_DISCOVERY_MIRROR.
        named_by: the file that the name was read from, if the user did not give it. Python code is then not run, and
            errors say which file it was.

    Raises:
        UserError: no such generator or device, a truncation out of range, a failed download, or files that are
            missing, damaged, contain code, or do not match each other.

    Example:
        >>> generator = load_generator("scenes-64", device="cpu")
        >>> generator.resolution, generator.z_dim
        (64, 16)
    """
    place = find_device(device)
    name, path = find_folder(name_or_path, named_by=named_by)
    if name in REMOTE:
        fetch(name, path, offline=offline, mirror=mirror)
    elif is_address(name):
        path = local_generator(Address.read(name), offline=offline)
    given = {} if truncation is None else {"truncation": truncation}
    return _known_family(name, path).load(path, name=name, **given).to(place)


def find_folder(
    name_or_path: str | os.PathLike[str], *, named_by: str | os.PathLike[str] | None = None
) -> tuple[str, Path]:
    """The name of a generator and its folder, or the file, zip or Python code that it is in. Downloads nothing.

    The folder of a generator that can be downloaded may be missing, or miss files. Names take precedence over folders
    in the working directory (write ./NAME for those).

    Args:
        name_or_path: see `load_generator`.
        named_by: see `load_generator`.

    Raises:
        UserError: neither a name, nor a path that a family of generators recognises, or one that is not accepted from
            a file.
    """
    text = os.fspath(name_or_path)
    if named_by is None:
        return _find(text)
    try:
        name, path = _find(text)
    except UserError as error:
        raise UserError(f"{named_by}: {error}; give --generator for where it is") from error
    if runs_code(name):
        raise UserError(
            f"{named_by} is for the generator {_shown(text)}, which is Python code and runs only if you name it; if "
            f"you trust it, give --generator {_shown(text)}"
        )
    return name, path


def runs_code(name: str) -> bool:
    """Whether loading the generator of a name or path runs Python code that it names."""
    family = None if name in _catalogue() or is_address(name) else family_of(Path(name))
    return family is not None and family.runs_code


def class_names(name_or_path: str | os.PathLike[str]) -> tuple[str, tuple[str, ...]]:
    """The name of a generator and its class names, without downloading it, unless it is on the Hub.

    Raises:
        UserError: as `find_folder`; a broken config.json or classes.json.
    """
    name, path = find_folder(name_or_path)
    if name in REMOTE:
        return name, read_class_names(path, REMOTE[name].num_classes)
    if is_address(name):
        path = local_generator(Address.read(name))
    return name, _known_family(name, path).class_names(path)


def named_by_weights(sha256: str | None) -> str | None:
    """The name of the generator in the list with a weights file of this sha256; None if none is here."""
    for name, folder in _catalogue().items() if sha256 else ():
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix in _WEIGHTS and path.is_file() and _sha256(path) == sha256:
                return name
    return None


def list_generators() -> list[Entry]:
    """Bundled generators, then those that can be downloaded, then others in the checkpoints folder, by name."""
    return [_entry(name, folder) for name, folder in _catalogue().items()]


def find_device(device: str | torch.device) -> torch.device:
    """The torch device of a name; "auto" is a CUDA GPU if there is one, else the CPU.

    Raises:
        UserError: unknown, or not on this machine, and what is missing.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        there = f"there are: auto, {', '.join(_devices())}"
        raise UserError(f"no device {str(device)!r} here{_lacking(str(device))}; {there}") from error
    if place.type == "meta":
        raise UserError("the device 'meta' computes nothing; use auto, cpu or cuda")
    return place


def bundled_path(path: str) -> Path:
    """A file or folder that comes with the project: beside the package in a clone, inside it in a wheel.

    Example:
        >>> bundled_path("directions/scenes-64.safetensors").is_file()
        True
    """
    inside = _PACKAGE / "bundled" / path
    return inside if inside.exists() else _CLONE / path


def bundled_directions(name: str) -> Path | None:
    """The directions that come with a bundled generator; None if there are none.

    Example:
        >>> bundled_directions("scenes-64").name
        'scenes-64.safetensors'
    """
    path = bundled_path(f"directions/{name}.safetensors")
    return path if name in BUNDLED and path.is_file() else None


def checkpoints_folder() -> Path:
    """The folder of generators: BIGGAN_DISCOVERY_CHECKPOINTS if set, else `checkpoints/` of the clone.

    Without a clone, it is in the user's cache, or the working directory if the user has no home folder.
    """
    chosen = os.environ.get(CHECKPOINTS_VARIABLE)
    if chosen:
        return Path(chosen).resolve()
    if (_CLONE / "pyproject.toml").is_file():
        return _CLONE / "checkpoints"
    try:
        root = platformdirs.user_cache_path("biggan-discovery")
    except RuntimeError:
        root = Path.cwd()
    return root.absolute() / "checkpoints"


def _find(text: str) -> tuple[str, Path]:
    """See `find_folder`."""
    if is_address(text):
        address = str(Address.read(text))
        return address, Path(address)
    folders = _catalogue()
    if text in folders:
        if not folders[text].is_dir() and text not in REMOTE:
            raise UserError(
                f"the bundled generator {text!r} is not in {folders[text]}; install the package again, or set "
                f"{CHECKPOINTS_VARIABLE} to the folder checkpoints of a clone"
            )
        return text, folders[text]
    if not text.strip():
        raise UserError(f"no generator given; there are: {', '.join(folders)}")
    try:
        os.lstat(text)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # ValueError: a null character, or half of a surrogate pair.
        raise UserError(f"no generator {_shown(text)}: {getattr(error, 'strerror', None) or error}") from error
    path = Path(text)
    family = family_of(path)
    if family is not None:
        path = family.absolute(path)
        return str(path), path
    if path.exists():
        raise UserError(f"{text} is not a generator; give {looked_for()}")
    known = near_matches(text, folders) or f" (known: {', '.join(folders)})"
    raise UserError(f"no generator {text[:_LONGEST]!r}{known}; or give {looked_for()}")


def _shown(text: str) -> str:
    """A name as a user has to write it; one that is long or has control characters, cut and escaped."""
    return text if text.isprintable() and len(text) <= _LONGEST else ascii(text[:_LONGEST])


def _known_family(name: str, path: Path) -> Family:
    family = family_of(path)
    if family is None or (is_address(name) and family.runs_code):
        raise UserError(f"the folder {path} of {name!r} does not contain it; it should be {looked_for()}")
    return family


def _catalogue() -> dict[str, Path]:
    root = checkpoints_folder()
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    others = [path.name for path in folders if family_of(path) is not None]
    found = {name: root / name for name in dict.fromkeys((*BUNDLED, *REMOTE, *others))}
    # Users who keep downloads elsewhere still have the bundled generators.
    bundled = {name: bundled_path(f"checkpoints/{name}") for name in BUNDLED if not found[name].is_dir()}
    return found | {name: folder for name, folder in bundled.items() if folder.is_dir()}


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _entry(name: str, folder: Path) -> Entry:
    known = REMOTE.get(name)
    figures = (known.resolution, known.z_dim, known.num_classes) if known else None
    if known and missing_files(name, folder):
        problem = "in the package's cache" if is_in_package_cache(name, folder) else "not downloaded"
        return Entry(name, folder, figures, known.about or 0, problem)
    if not folder.is_dir():
        return Entry(name, folder, problem="missing")
    family = family_of(folder)
    if family is None or family.describe is None:
        return Entry(name, folder, problem="not a generator")
    listing = family.describe(folder)
    return Entry(name, folder, listing.figures or figures, listing.size, listing.problem)


def _devices() -> list[str]:
    import torch

    others = {"mps": torch.backends.mps.is_available(), "xpu": torch.xpu.is_available()}
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ["cpu", *gpus, *(name for name, there in others.items() if there)]


def _lacking(device: str) -> str:
    """What is missing for a device that is not there, as far as it is known."""
    import torch

    kinds = {
        "cuda": (torch.backends.cuda.is_built(), torch.cuda.is_available()),
        "mps": (torch.backends.mps.is_built(), torch.backends.mps.is_available()),
        "xpu": (torch.xpu._is_compiled(), torch.xpu.is_available()),
    }
    kind = device.partition(":")[0]
    built, there = kinds.get(kind, (True, True))
    if not built:
        return f", as torch {torch.__version__} is built without {kind.upper()}"
    return "" if there else f", as torch finds no {kind.upper()} device"
