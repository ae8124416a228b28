"""Checks of what a caller hands to an objective, the same for tensors and arrays."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from biggan_discovery.errors import UserError


def check_settings(k: object, epsilon: object, reduction: object) -> None:
    """Refuse a number of probes, a finite-difference step or a reduction that cannot work.

    Raises:
        UserError: where one of them is out of range.
    """
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 2:
        raise UserError(f"k is {k!r}; a variance over probes needs a whole number, 2 or more")
    if not isinstance(epsilon, Real) or not math.isfinite(epsilon) or epsilon <= 0:
        raise UserError(f"epsilon is {epsilon!r}; a finite-difference step is a finite number above 0")
    if not callable(reduction):
        raise UserError(f"reduction is {reduction!r}; give a function such as torch.max or torch.mean")


def check_probes(probes: Any, z: Any) -> None:
    """Refuse probes that do not have the shape (k, *z.shape), k ≥ 2, or an entry that is not ±1.

    Raises:
        UserError: where they are not.
    """
    if probes.ndim != z.ndim + 1 or len(probes) < 2 or probes.shape[1:] != z.shape:
        wanted = ", ".join(["k ≥ 2", *map(str, z.shape)])
        raise UserError(f"probes have shape {tuple(probes.shape)}; for this z it is ({wanted})")
    if not bool((abs(probes) == 1).all()):
        raise UserError("probes hold an entry other than +1 and -1; Rademacher probes are signs")


def check_activations(current: list[Any], first: list[Any]) -> None:
    """Refuse activations whose number or shapes differ from those that the first probe gave.

    Raises:
        UserError: where they differ.
    """
    shapes, expected = ([tuple(activation.shape) for activation in each] for each in (current, first))
    if shapes != expected:
        raise UserError(f"G returned shapes {expected}, then {shapes}; for inputs of one shape they must not change")
