"""The regularizers by name: a new one is one line here. Needs no torch until one is made."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from biggan_discovery.errors import UserError, near_matches

if TYPE_CHECKING:
    from biggan_discovery.training.regularizers.regularizer import Regularizer
    from biggan_discovery.training.settings import TrainingSettings

_FOLDER = "biggan_discovery.training.regularizers"
REGULARIZERS = {
    "hessian": f"{_FOLDER}.hessian:HessianRegularizer",
    "orojar": f"{_FOLDER}.orojar:OrojarRegularizer",
    "spectral": f"{_FOLDER}.spectral:SpectralRegularizer",
}
"""Module and class of each regularizer, by its name in `--regularizer`."""

NONE, ALL = "none", "all"
_TUNING = 3  # a ramp is this part of a run that starts from another
_RAMP = 10_000  # where the number of steps is not known


def complete_regularizer(settings: TrainingSettings, names: Sequence[str], *, tuned: bool) -> TrainingSettings:
    """The settings with weight, ramp and activations of the regularizer, where they were left to defaults.

    Args:
        settings: of a run.
        names: of all activations of the generator.
        tuned: whether the run starts from another: λ then rises over a third of its steps.

    Raises:
        UserError: an option of a regularizer without one, or an activation that there is not.
    """
    if settings.regularizer == NONE:
        for name in ("weight", "ramp", "layers_to_regularise"):
            if (value := getattr(settings, name)) is not None:
                known = ", ".join(REGULARIZERS)
                raise UserError(f"{name} is {value}, but there is no regularizer; choose one of {known}")
        return settings
    kind = _kind(settings.regularizer)
    layers = _layers(settings.layers_to_regularise, names) or kind.default_layers(names)
    steps = settings.steps // _TUNING if settings.minutes is None else _RAMP
    return dataclasses.replace(
        settings,
        weight=kind.default_weight if settings.weight is None else settings.weight,
        ramp=(steps if tuned else 0) if settings.ramp is None else settings.ramp,
        layers_to_regularise=",".join(layers),
    )


def regularizer_of(settings: TrainingSettings) -> Regularizer | None:
    """The regularizer of a run, whose settings are complete.

    Example:
        >>> regularizer_of(complete_regularizer(settings, generator.names, tuned=False))
        HessianRegularizer(layers=('block0', 'block1', 'block2'), weight=0.1, ramp=0)
    """
    if settings.regularizer == NONE:
        return None
    assert settings.weight is not None
    assert settings.ramp is not None
    assert settings.layers_to_regularise is not None
    layers = tuple(settings.layers_to_regularise.split(","))
    return _kind(settings.regularizer)(layers=layers, weight=settings.weight, ramp=settings.ramp)


def _kind(name: str) -> type[Regularizer]:
    module, attribute = REGULARIZERS[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def _layers(asked: str | None, names: Sequence[str]) -> tuple[str, ...]:
    """The activations asked for, in their order in the network; none if that is left to the regularizer."""
    if asked is None:
        return ()
    if asked == ALL:
        return tuple(names)
    layers = asked.split(",")
    for layer in layers:
        if layer not in names:
            near = near_matches(layer, (*names, ALL))
            raise UserError(f"layers_to_regularise is {asked!r}; it should be of {', '.join(names)}, or {ALL}{near}")
    return tuple(name for name in names if name in layers)
