"""The family of BigGANs as BigGAN-PyTorch writes them. Needs no torch until it loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from biggan_discovery.generators.biggan_deep_files import is_file_of_weights
from biggan_discovery.generators.brock_files import WEIGHTS, archive
from biggan_discovery.generators.family import Family, Listing
from biggan_discovery.reading.source import holds_tensors

if TYPE_CHECKING:
    from biggan_discovery.generators.base import FrozenGenerator

_SUFFIXES = (".pth", ".pt", ".zip", ".bin", ".ckpt", ".tar", ".safetensors", ".npz", ".pkl")


def _recognises(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).is_file() for name in WEIGHTS) or archive(path).is_file()
    if is_file_of_weights(path):
        return False
    return (path.suffix.lower() in _SUFFIXES and path.exists()) or holds_tensors(path)


def _load(path: Path, *, name: str, truncation: float = 1.0) -> FrozenGenerator:
    from biggan_discovery.generators.brock import BrockBigGAN

    return BrockBigGAN(path, name=name, truncation=truncation)


def _class_names(path: Path) -> tuple[str, ...]:
    return _load(path, name=str(path)).class_names  # Only the weights determine the number of classes.


def _describe(path: Path) -> Listing:
    files = [path / name for name in WEIGHTS] + [archive(path)]
    return Listing(None, next(file.stat().st_size for file in files if file.is_file()))


FAMILY = Family(
    name="BigGAN (BigGAN-PyTorch)",
    looks_for=f"a checkpoint of BigGAN-PyTorch (.pth, .zip, ...) or a folder with {' or '.join(WEIGHTS)}",
    recognises=_recognises,
    load=_load,
    class_names=_class_names,
    describe=_describe,
)
