"""The family of BigGAN-deep, in the layout of `pytorch_pretrained_biggan`. Needs no torch until it loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from biggan_discovery.errors import UserError
from biggan_discovery.generators.biggan_deep_files import (
    CONFIG,
    SAFETENSORS,
    WEIGHTS,
    config_path,
    is_file_of_weights,
    read_config,
    weights_path,
)
from biggan_discovery.generators.family import Family, Listing
from biggan_discovery.generators.layout import read_class_names

if TYPE_CHECKING:
    from biggan_discovery.generators.base import FrozenGenerator


def _recognises(path: Path) -> bool:
    return config_path(path).is_file() if path.is_dir() else is_file_of_weights(path)


def _load(path: Path, *, name: str, truncation: float = 1.0) -> FrozenGenerator:
    from biggan_discovery.generators.biggan_deep import BigGANDeep

    return BigGANDeep(path, name=name, truncation=truncation)


def _class_names(path: Path) -> tuple[str, ...]:
    config = read_config(path)
    if config is None:  # Only the weights determine the number of classes.
        return _load(path, name=str(path)).class_names
    return read_class_names(config_path(path).parent, config.num_classes)


def _describe(path: Path) -> Listing:
    weights = weights_path(path)
    size = weights.stat().st_size if weights.is_file() else 0
    try:
        config = read_config(path)
    except UserError as error:
        return Listing(None, size, str(error))
    assert config is not None  # As the path is a folder.
    figures = (config.resolution, config.z_dim, config.num_classes)
    return Listing(figures, size, "" if size else "weights missing")


FAMILY = Family(
    name="BigGAN-deep",
    looks_for=f"a folder with {CONFIG} and {WEIGHTS} (or {SAFETENSORS[0]}), or the latter beside the former",
    recognises=_recognises,
    load=_load,
    class_names=_class_names,
    describe=_describe,
)
