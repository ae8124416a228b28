"""The settings of training: fields with their checks and help, defaults by resolution, and presets. Needs no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.search.method import checked, one_of, setting
from biggan_discovery.training.regularizers.table import NONE, REGULARIZERS

RESOLUTIONS = (32, 64, 128, 256)
AUGMENTATIONS = ("colour", "translation", "cutout")
PRECISIONS = ("auto", "float32", "tf32", "bfloat16")
ARCHITECTURES = BIGGAN, DEEP = ("biggan", "biggan-deep")
AUTO = "auto"
RENDERS, RENDERED_SIZE = 20_000, 64
NO_LIMIT = 10**9
"""The number of steps of a run that is limited by its time alone."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Everything that determines a training run, beside the images.

    The names are those of BigGAN-PyTorch where it has the setting, in words.
    """

    arch: str = setting("Networks.", default="biggan", choices=ARCHITECTURES)
    resolution: int = setting("Side of the images: 32, 64, 128 or 256.", default="by the first image", least=1)
    width: int = setting(
        "Channel multiplier, ch.",
        default="48 at 32 px, 32 at 64 px, else 64; deep: 32, 64 from 128 px on",
        least=1,
        most=512,
    )
    z_dim: int = setting("Size of z.", default="20 per layer; 128 without chunks", least=1, most=4096)
    shared_dim: int = setting(
        "Size of the shared class embedding; 0: none.", default="128; deep: as z", least=0, most=4096
    )
    chunks: bool = setting("A chunk of z for every layer.", default="chunks; deep: no-chunks")
    attention: int = setting("Height of the layer with attention; 0: none.", default="0; 64 from 128 px on", least=0)

    steps: int = setting("Steps of the generator.", default="50,000; with --minutes, no limit", least=1, most=10**9)
    minutes: float | None = setting("Minutes of training.", default="no limit", above=0)
    batch: int = setting("Images per step.", default="64", least=2, most=10**5)
    d_steps: int = setting("Discriminator steps per step.", default="2", least=1, most=100)
    lr_g: float = setting("Learning rate of the generator.", default="2e-4; 1e-4 from 128 px on", above=0)
    lr_d: float = setting("Learning rate of the discriminator.", default="2e-4", above=0)
    beta1: float = setting("Adam's β₁.", default="0", least=0, most=0.9999)
    beta2: float = setting("Adam's β₂.", default="0.999", least=0, most=0.999999)
    decay: float = setting("Final share of the run in which rates fall to 0.", default="0.35", least=0, most=1)
    ema: float = setting("Decay of the averaged weights.", default="0.9995", least=0, most=0.9999999)
    regularizer: str = setting("Term of G's loss.", default=NONE, choices=(NONE, *REGULARIZERS))
    weight: float | None = setting("Factor λ of the term.", default="hessian 0.1, orojar 1e-6, spectral 1", above=0)
    ramp: int | None = setting(
        "Steps over which λ rises from 0.", default="0; with --init, a third of the steps", least=0
    )
    layers_to_regularise: str | None = setting(
        "Its activations: of linear, block0, … and image, or all.",
        default="hessian: all blocks; orojar: all before the last block; spectral: image",
    )
    augment: str = setting(
        f"Augmentations of D's inputs: of {', '.join(AUGMENTATIONS)}, or {NONE}.", default="all three"
    )
    flip: bool = setting("Mirror half of the images.", default="flip; no-flip for scenes")
    renders: int = setting("Images to render, for scenes.", default="20,000", least=2, most=10**7)
    precision: str = setting("Precision.", default="auto", choices=PRECISIONS)
    seed: int = setting("Random seed.", default="0", least=0)

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The names in `augment`."""
        return () if self.augment == NONE else tuple(self.augment.split(","))

    def header(self) -> dict[str, Any]:
        """All settings as JSON values; those that are None are left out."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


PRESETS: dict[str, dict[str, Any]] = {
    "cifar-32": {
        "resolution": 32,
        "width": 48,
        "z_dim": 80,
        "shared_dim": 128,
        "chunks": True,
        "attention": 0,
        "batch": 64,
        "d_steps": 2,
        "lr_g": 2e-4,
        "lr_d": 2e-4,
        "beta1": 0.0,
        "beta2": 0.999,
        "decay": 0.35,
        "ema": 0.9995,
        "augment": "colour,translation,cutout",
        "flip": True,
    },
}
"""Settings by name. cifar-32 is for about 10,000 steps, 3.5 minutes of an H200."""

_COMMON: dict[str, Any] = {
    "arch": BIGGAN,
    "shared_dim": 128,
    "chunks": True,
    "batch": 64,
    "d_steps": 2,
    "lr_d": 2e-4,
    "beta1": 0.0,
    "beta2": 0.999,
    "decay": 0.35,
    "ema": 0.9995,
    "regularizer": NONE,
    "weight": None,
    "ramp": None,
    "layers_to_regularise": None,
    "augment": ",".join(AUGMENTATIONS),
    "renders": RENDERS,
    "precision": AUTO,
    "seed": 0,
}
_BY_RESOLUTION: dict[int, dict[str, Any]] = {
    32: {"width": 48, "attention": 0, "lr_g": 2e-4},
    64: {"width": 32, "attention": 0, "lr_g": 2e-4},
    128: {"width": 64, "attention": 64, "lr_g": 1e-4},
    256: {"width": 64, "attention": 64, "lr_g": 1e-4},
}
_BLOCKS = {32: 3, 64: 4, 128: 5, 256: 6}
_CHUNK, _Z_DIM = 20, 128
_STEPS = 50_000


def given_settings(preset: str | None, asked: dict[str, Any]) -> dict[str, Any]:
    """The settings that are not left to defaults: those of a preset, replaced by those asked for, and checked.

    Raises:
        UserError: an unknown preset or setting, or a value of the wrong type or range.
    """
    fields = {field.name: field for field in dataclasses.fields(TrainingSettings)}
    found = dict(PRESETS[one_of("preset", preset, tuple(PRESETS))]) if preset is not None else {}
    for name, value in asked.items():
        if name not in fields:
            raise UserError(f"training has no setting {name!r}{near_matches(name, fields)}")
        if value is not None:
            found[name] = value
    for name, value in found.items():
        check = _boolean if fields[name].type == "bool" else checked
        found[name] = check(name, value, fields[name])
    if "resolution" in found:
        _check_resolution(found["resolution"])
    for name in () if found.get("augment", NONE) == NONE else found["augment"].split(","):
        if name not in AUGMENTATIONS:
            near = near_matches(name, (*AUGMENTATIONS, NONE))
            known = ", ".join(AUGMENTATIONS)
            raise UserError(f"augment is {found['augment']!r}; it should be of {known}, or {NONE}{near}")
    return found


def complete(given: dict[str, Any], *, resolution: int, rendered: bool) -> TrainingSettings:
    """The settings of a run, completed by the defaults of the resolution.

    Args:
        given: see `given_settings`.
        resolution: of the images.
        rendered: whether the images are rendered: mirrored ones would have other factors.

    Raises:
        UserError: a resolution that there is not.
    """
    _check_resolution(resolution)
    defaults = {**_COMMON, **_BY_RESOLUTION[resolution]}
    if given.get("arch") == DEEP:
        defaults |= {"chunks": False, "shared_dim": given.get("z_dim", _Z_DIM), "width": 64 if resolution > 64 else 32}
    chunks = given.get("chunks", defaults["chunks"])
    defaults |= {
        "resolution": resolution,
        "z_dim": _CHUNK * (1 + _BLOCKS[resolution]) if chunks else _Z_DIM,
        "flip": not rendered,
        "minutes": None,
        "steps": NO_LIMIT if "minutes" in given else _STEPS,
    }
    return TrainingSettings(**{**defaults, **given})


def _check_resolution(resolution: int) -> None:
    if resolution not in RESOLUTIONS:
        raise UserError(f"resolution is {resolution}; it should be one of {', '.join(map(str, RESOLUTIONS))}")


def _boolean(name: str, value: Any, _: object) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{name} is {value!r}; it should be True or False")
    return value
