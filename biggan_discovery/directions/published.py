"""Directions for Brock's BigGAN at 128 pixels published by the authors of papers: metadata of each file.

Layers, classes, path sizes and names are those of the authors' scripts and pages.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from biggan_discovery.errors import UserError, near_matches

GENERATOR = "brock-128"
SIZES = 128, 120
"""Resolution and z_dim of that generator."""
_GOLDEN_RETRIEVER, _CHURCH = 207, 497


@dataclass(frozen=True)
class Published:
    """One published matrix.

    Attributes:
        source: authors and URL.
        layers: layers whose chunks of z were searched.
        label: class of the search, or of the authors' figures.
        path_size: extent of the authors' traversals to each side.
        names: the authors' names of some directions, by index.
        orthonormal: whether the rows of the file are already orthonormal.
        sha256: checksum of the file; empty if unknown.
    """

    source: str
    layers: str
    path_size: float
    label: int = _GOLDEN_RETRIEVER
    names: dict[int, str] = field(default_factory=dict)
    orthonormal: bool = False
    sha256: str = ""


_HESSIAN = "Peebles et al., The Hessian Penalty, ECCV 2020, github.com/wpeebles/hessian_penalty, BSD-2"
_OROJAR = "Wei et al., Orthogonal Jacobian Regularization, ICCV 2021, github.com/csyxwei/OroJaR, BSD-2"
_VOYNOV = "Voynov & Babenko, ICML 2020, github.com/anvoynov/GANLatentDiscovery, as in wpeebles/hessian_penalty"

PRESETS = {
    "hessian-goldens": Published(
        _HESSIAN,
        "all",
        2.5,
        names={5: "rotation", 6: "zoom", 8: "smoosh"},
        sha256="393a09048e089b343bfd83531bcc5ae34fcd39b2212a0d47d475577dbbe37933",
    ),
    "hessian-goldens-coarse": Published(_HESSIAN, "coarse", 2.5),
    "hessian-goldens-mid": Published(
        _HESSIAN,
        "mid",
        3.5,
        names={0: "background removal", 5: "colorization", 8: "scene lighting", 25: "object lighting"},
        sha256="a7ea15fcc1fefac4cf966541638c97e61bcaa87b6450f973b463326054803ec5",
    ),
    "hessian-goldens-fine": Published(
        _HESSIAN,
        "fine",
        6.0,
        names={1: "red color filter", 5: "brightness", 13: "white color filter", 20: "saturation"},
    ),
    "hessian-church": Published(
        _HESSIAN, "all", 3.5, _CHURCH, names={4: "rotation", 14: "shifting", 55: "colorization"}
    ),
    "orojar-goldens-coarse": Published(_OROJAR, "coarse", 2.5, names={0: "rotation", 7: "zoom", 9: "smoosh"}),
    "orojar-goldens-mid": Published(
        _OROJAR,
        "mid",
        3.5,
        names={0: "background removal", 2: "object lighting", 8: "scene lighting", 21: "colorize"},
        sha256="2e2a8850b474dd8babff13b29f1fef9e79387c2c3a3f3696f2f86adfa2dc3c6e",
    ),
    "orojar-goldens-fine": Published(
        _OROJAR,
        "fine",
        8.0,
        names={4: "brightness", 5: "red color filter", 17: "saturation", 34: "green color filter"},
    ),
    "orojar-church-coarse": Published(_OROJAR, "coarse", 2.5, _CHURCH, names={0: "rotation", 7: "zoom", 9: "shift"}),
    "orojar-church-mid": Published(
        _OROJAR, "mid", 3.5, _CHURCH, names={3: "colorization", 4: "object lighting", 6: "lighting"}
    ),
    "orojar-church-fine": Published(_OROJAR, "fine", 8.0, _CHURCH),
    "voynov": Published(
        _VOYNOV,
        "all",
        8.0,
        orthonormal=True,
        sha256="f5b8e91d3f7c68a36e6ee93a6de197ecaf82ed74e90df6bcd971b94b21225b60",
    ),
}
"""Published matrices by name."""


def find_preset(name: str | None, path: Path) -> tuple[str, Published] | None:
    """Find a published matrix by its name, or by the checksum of a file.

    Args:
        name: key in `PRESETS`, or None to use the checksum.
        path: the file.

    Returns:
        The key and the metadata, or None if the file is unknown.

    Raises:
        UserError: If there is no such name.

    Example:
        >>> find_preset("voynov", Path("deformator.pt"))[1].path_size
        8.0
    """
    if name is None:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return next(((key, each) for key, each in PRESETS.items() if each.sha256 == sha256), None)
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}{near_matches(name, PRESETS)}; choose from {', '.join(PRESETS)}")
    return name, PRESETS[name]
