"""Networks to start from: those of another run, or of a checkpoint of BigGAN-PyTorch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.generators.brock import Sizes, read_checkpoint
from biggan_discovery.generators.brock_files import WEIGHTS, find_weights
from biggan_discovery.generators.weights import check_tensors, read_weights
from biggan_discovery.runs.folder import read_saved
from biggan_discovery.training.architecture import FIRST_SIZE, Architecture
from biggan_discovery.training.discriminator import Discriminator
from biggan_discovery.training.settings import BIGGAN

SIZES = ("resolution", "width", "z_dim", "shared_dim", "chunks", "attention")
"""Settings that determine the shapes of networks, beside "arch"."""
_D = "D.pth"
_MARKS_OF_D = ("linear.weight", "embed.weight", "blocks.0.0.conv1.weight")


@dataclass(frozen=True)
class Start:
    """Networks to start from.

    Attributes:
        path: the folder.
        settings: "arch" and `SIZES`.
        tensors: weights and buffers by the names of `Networks.weights`.
    """

    path: Path
    settings: dict[str, Any]
    tensors: Mapping[str, Tensor]

    def sha256(self) -> str:
        """Of the tensors."""
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            digest.update(name.encode())
            digest.update(self.tensors[name].contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def read_start(folder: Path) -> Start:
    """The networks in a folder.

    Args:
        folder: of a run of `train`, or with D.pth and one or both of G_ema.pth and G.pth, as BigGAN-PyTorch writes
            them. Of these two, the one that is missing is taken to be equal to the other.

    Raises:
        UserError: neither; a discriminator is missing; or damaged files.
    """
    saved = read_saved(folder) if folder.is_dir() else None
    if saved is not None and saved.settings.keys() >= {"arch", *SIZES}:
        tensors = {name: value for name, value in saved.tensors.items() if not _is_of_training(name)}
        return Start(folder, {name: saved.settings[name] for name in ("arch", *SIZES)}, tensors)
    if folder.is_dir() and any((folder / name).is_file() for name in WEIGHTS):
        if not (folder / _D).is_file():
            raise UserError(
                f"{folder} has a generator, but training goes on from a discriminator too, and {_D} is missing"
            )
        return _of_checkpoint(folder)
    raise UserError(
        f"{folder} is neither a folder of `train` with a checkpoint (state.safetensors) nor one with {WEIGHTS[0]} or "
        f"{WEIGHTS[1]} and {_D}"
    )


def _of_checkpoint(folder: Path) -> Start:
    averaged, sizes, _ = read_checkpoint(find_weights(folder))
    plain = read_checkpoint(folder / WEIGHTS[1])[0] if (folder / WEIGHTS[1]).is_file() else averaged
    settings = _settings(sizes, folder)
    with torch.device("meta"):
        like = Discriminator(Architecture(classes=sizes.num_classes, **settings)).state_dict()
    found, _ = read_weights(folder / _D, _MARKS_OF_D)
    shapes = {name: tuple(tensor.shape) for name, tensor in like.items()}
    of_d = check_tensors(found, shapes, folder / _D, "the generator beside it")
    networks = {"G": plain, "D": of_d, "G_ema": averaged}
    tensors = {f"{name}.{key}": tensor.float() for name, of in networks.items() for key, tensor in of.items()}
    return Start(folder, {"arch": BIGGAN, **settings}, tensors)


def _settings(sizes: Sizes, origin: Path) -> dict[str, Any]:
    settings = {
        "resolution": FIRST_SIZE * 2**sizes.num_blocks,
        "width": 1,
        "z_dim": sizes.num_layers * sizes.chunk,
        "shared_dim": sizes.shared_dim or 0,
        "chunks": sizes.hierarchical,
        "attention": FIRST_SIZE * 2 ** (sizes.attention[0] + 1) if sizes.attention else 0,
    }
    try:
        units = Architecture(classes=sizes.num_classes, **settings).generator_widths
    except KeyError as error:
        raise UserError(
            f"{origin} has images of {settings['resolution']} pixels, which are not trained here"
        ) from error
    settings["width"] = sizes.widths[-1] // units[-1]
    if sizes.widths != tuple(settings["width"] * unit for unit in units) or len(sizes.attention) > 1:
        raise UserError(
            f"{origin} has blocks of {', '.join(map(str, sizes.widths))} channels and attention after "
            f"{len(sizes.attention)} of them, which are not the sizes of BigGAN-PyTorch"
        )
    if not sizes.spectral:
        raise UserError(f"{origin} has no spectral norms, with which networks are trained here")
    return settings


def _is_of_training(name: str) -> bool:
    return name == "history" or cast(str, name.split(".")[1]).startswith("exp_avg")
