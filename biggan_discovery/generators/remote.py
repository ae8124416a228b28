"""The published generators that can be downloaded by name. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from biggan_discovery.generators import biggan_deep_files
from biggan_discovery.generators.brock_files import WEIGHTS as BROCK_WEIGHTS
from biggan_discovery.generators.layer_range import LayerRange, to_layer_range

_DEEP_HOST = "https://s3.amazonaws.com/models.huggingface.co/biggan"
DRIVE = "https://drive.google.com/uc?id="
_BROCK_ID = "1nAle7FCVFZdix2--ks0r5JBkFnKw8ctW"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a generator; size and checksum are None if nobody published them."""

    saved_as: str
    url: str
    mirrored_as: str
    instead: tuple[str, ...] = ()  # Any of these files makes the download unnecessary.
    size: int | None = None
    sha256: str | None = None

    @property
    def most(self) -> int:
        """Bytes that the file has at most: its size, or, where nobody published it, four times the largest known."""
        return self.size or (2**20 if self.saved_as == biggan_deep_files.CONFIG else 2**30)


@dataclass(frozen=True)
class RemoteGenerator:
    """A generator that can be downloaded by name."""

    resolution: int
    z_dim: int
    num_layers: int
    num_classes: int
    about: int | None  # Bytes; for biggan-deep the size of the tensors if no file size is published.
    files: tuple[RemoteFile, ...]
    chunked: bool = False  # Whether each layer sees its own chunk of z.

    def search_space(self, layers: LayerRange | str) -> slice:
        """As `FrozenGenerator.search_space`, without the weights."""
        reached = to_layer_range(layers, self.num_layers)
        return reached.chunk(self.z_dim) if self.chunked else slice(0, self.z_dim)


def _deep(resolution: int, about: int, config: dict[str, Any], weights: dict[str, Any]) -> RemoteGenerator:
    def file(name: str, **known: Any) -> RemoteFile:
        published = f"biggan-deep-{resolution}-{name}"
        return RemoteFile(name, f"{_DEEP_HOST}/{published}", published, **known)

    files = (
        file(biggan_deep_files.CONFIG, **config),
        file(biggan_deep_files.WEIGHTS, instead=biggan_deep_files.SAFETENSORS, **weights),
    )
    num_layers = 1 + 2 * round(math.log2(resolution / 4))  # The first linear layer, and two blocks for each doubling.
    return RemoteGenerator(resolution, 128, num_layers, 1000, about, files)


REMOTE = {
    "biggan-deep-128": _deep(128, 210_749_700, {}, {}),
    "biggan-deep-256": _deep(
        256,
        234_411_737,
        {"size": 715, "sha256": "edd106f65ff28ee1638491a978cfa6bc50dfa0344aab70749a7b8eb08bbec677"},
        {"size": 234_411_737, "sha256": "5900ef4065047e3aa0d1b66197b7f2664dceb59b27080e414ad57e203c485bc5"},
    ),
    "biggan-deep-512": _deep(512, 235_635_460, {}, {}),
    "brock-128": RemoteGenerator(
        128,
        120,
        6,
        1000,
        None,
        (RemoteFile("brock-128.zip", DRIVE + _BROCK_ID, "brock-128.zip", BROCK_WEIGHTS),),
        chunked=True,
    ),
}
"""The generators that are downloaded when they are loaded by name."""
