"""The settings of a run: given values, completed by defaults and checked. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biggan_discovery.errors import UserError
from biggan_discovery.generators.layer_range import parse_layers
from biggan_discovery.generators.mixes import Class
from biggan_discovery.search.method import MICRO_BATCH, Method, Settings, checked, setting

if TYPE_CHECKING:
    from biggan_discovery.generators import FrozenGenerator

ADAM, JOINT_DIAGONALIZATION = "adam", "joint-diagonalization"
STARTS = ("random", "coordinates")
ORTHOGONALIZE = ("qr", "gram-schmidt", "none")
AUTO = "auto"
WIDE = 0.05
"""Difference of unseen and own value above which a frame fits its own latents rather than the generator."""
PRECISIONS = ("float32", "tf32", "float16", "bfloat16")

# Generators may override the paper's defaults, as the bundled ones do.
_PATH_SIZE: dict[str, Any] = {"help": "Largest step along a direction, η.", "default": "5; 0 for orojar", "least": 0}
_EPSILON: dict[str, Any] = {"help": "Finite-difference step in w.", "default": "0.1", "above": 0}
_PRECISION: dict[str, Any] = {
    "help": "Precision of the generator.",
    "default": AUTO,
    "choices": (AUTO, *PRECISIONS),
}
_INIT = "random, coordinates, joint-diagonalization (adam only) or a directions file."


@dataclass(frozen=True, kw_only=True)
class AdamSettings(Settings):
    """Settings of the solver adam."""

    steps: int = setting("Number of steps.", default="50,000; 400 if bundled", least=0, most=10**9)
    batch: int = setting("Samples per step.", default="96; 8 if bundled", least=1, most=10**6)
    lr: float = setting("Learning rate of the first step.", default="0.01; 0.1 if bundled", above=0)
    path_size: float = setting(**_PATH_SIZE)
    epsilon: float = setting(**_EPSILON)
    probes: int = setting("Rademacher probes per sample.", default="2; 4 if bundled", least=2, most=10**6)
    orthogonalize: str = setting("Orthonormalization of A to Q.", default="qr", choices=ORTHOGONALIZE)
    init: str = setting(_INIT, default="random")
    precision: str = setting(**_PRECISION)
    micro_batch: int | None = setting(**MICRO_BATCH)


@dataclass(frozen=True, kw_only=True)
class JointDiagonalizationSettings(Settings):
    """Settings of the solver joint-diagonalization."""

    samples: int | None = setting(
        "Latents to measure, no more.",
        default="as many as it takes, at most two for each dimension or 64",
        least=1,
        most=10**9,
    )
    evaluations: int | None = setting("Most generator evaluations.", default="no limit", least=1, most=10**15)
    minutes: float | None = setting(
        "Add no latents after so many minutes.", default="no limit", above=0, recorded=False
    )
    sketches: int = setting(
        "Random pixel combinations per latent; 0 for all pixels.",
        default="0 up to 24 dimensions, 2 above",
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
    classes: list[Class],
    layers: str,
    directions: int | None,
    seed: int,
    **asked: Any,
) -> Settings:
    """The settings of a run.

    Args:
        generator: its `defaults` replace settings that are None.
        method: see `table.find_method`.
        by: the method's name in messages, such as "hessian by adam".
        classes: class indices and soft classes.
        layers: layers of the generator that the directions reach, see `parse_layers`.
        directions: number of directions. Defaults to the method's default.
        seed: random seed.
        asked: the method's own settings; None means not given.

    Raises:
        UserError: for an invalid value, or a setting that the method does not have.
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
