"""The settings of a run: what was asked for, filled up with defaults, checked. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biggan_discovery.errors import UserError
from biggan_discovery.generators.layer_range import parse_layers
from biggan_discovery.search.method import MICRO_BATCH, Method, Settings, checked, setting

if TYPE_CHECKING:
    from biggan_discovery.generators import FrozenGenerator

ADAM, JOINT_DIAGONALIZATION = "adam", "joint-diagonalization"
STARTS = ("random", "coordinates")
ORTHOGONALIZE = ("qr", "gram-schmidt", "none")
AUTO = "auto"
PRECISIONS = ("float32", "tf32", "float16", "bfloat16")

_OF_GENERATOR = "the generator's"
_PATH_SIZE: dict[str, Any] = {
    "help": "w is one-hot × U(-η, η).",
    "default": f"{_OF_GENERATOR}; 0 for orojar",
    "least": 0,
}
_PRECISION: dict[str, Any] = {
    "help": "Arithmetic of the generator; auto: the fastest that is good enough.",
    "default": AUTO,
    "choices": (AUTO, *PRECISIONS),
}
_INIT = "random, coordinates, a directions file; for adam joint-diagonalization too."
_EPSILON: dict[str, Any] = {"help": "Finite-difference step in w.", "default": _OF_GENERATOR, "above": 0}


@dataclass(frozen=True, kw_only=True)
class AdamSettings(Settings):
    """Settings of the solver adam."""

    steps: int = setting("Number of steps.", default=_OF_GENERATOR, least=0, most=10**9)
    batch: int = setting("Samples per step.", default=_OF_GENERATOR, least=1, most=10**6)
    lr: float = setting("Learning rate of the first step.", default=_OF_GENERATOR, above=0)
    path_size: float = setting(**_PATH_SIZE)
    epsilon: float = setting(**_EPSILON)
    probes: int = setting("Rademacher probes per sample.", default=_OF_GENERATOR, least=2, most=10**6)
    orthogonalize: str = setting("How A becomes Q.", default="qr", choices=ORTHOGONALIZE)
    init: str = setting(_INIT, default="random")
    precision: str = setting(**_PRECISION)
    micro_batch: int | None = setting(**MICRO_BATCH)


@dataclass(frozen=True, kw_only=True)
class JointDiagonalizationSettings(Settings):
    """Settings of the solver joint-diagonalization."""

    samples: int = setting("Latents to measure.", default="16 to 96", least=1, most=10**9)
    sketches: int = setting(
        "Random pixel combinations per latent; 0: every pixel.",
        default="0 up to 24 dimensions, else 8",
        least=0,
        most=10**6,
    )
    path_size: float = setting(**_PATH_SIZE)
    epsilon: float = setting(**_EPSILON)
    init: str = setting(_INIT, default="coordinates")
    precision: str = setting(**_PRECISION)
    micro_batch: int | None = setting(**MICRO_BATCH)


def run_settings(
    generator: FrozenGenerator,
    method: Method,
    by: str,
    *,
    classes: list[int],
    layers: str,
    directions: int | None,
    seed: int,
    **asked: Any,
) -> Settings:
    """The settings of a run.

    Args:
        generator: whose `defaults` replace settings that are None.
        method: see `table.find_method`.
        by: what messages call the method, such as "hessian by adam".
        classes: class indices.
        layers: which layers of the generator the directions reach, see `parse_layers`.
        directions: number of directions.
        seed: of everything random.
        asked: the method's own settings; those that are None are not given.

    Raises:
        UserError: a value that cannot be, or a setting that the method does not have, naming it.
    """
    fields = {name: field for name, field in method.Settings.own().items() if name not in method.unused}
    given = {name: value for name, value in asked.items() if value is not None}
    for name in given:
        if name not in fields:
            known = f"whose settings are {', '.join(fields)}" if fields else "which has no settings"
            raise UserError(f"{name} does nothing with {by}, {known}")
    reached = parse_layers(layers, generator.num_layers)
    defaults = {**generator.defaults(), **method.defaults(generator, reached, given)}
    values: dict[str, Any] = dict.fromkeys(method.Settings.own())
    for name, field in fields.items():
        value = given.get(name, defaults.get(name))
        values[name] = None if value is None else checked(name, value, field)
    common = {"directions": defaults["directions"] if directions is None else directions, "seed": seed}
    for name, least, most in (("directions", 1, 10**6), ("seed", 0, 2**63 - 1)):
        value = common[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise UserError(f"{name} is {value!r}; it should be an integer from {least} to {most}")
    settings = method.Settings(classes=classes, layers=reached, **common, **values)
    method.check(generator, settings)
    return settings
