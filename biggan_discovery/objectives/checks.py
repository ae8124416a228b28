"""Checks of the arguments of an objective, shared by tensors and arrays."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from biggan_discovery.errors import UserError


def check_settings(k: object, epsilon: object, reduction: object) -> None:
    """Check the number of probes, the finite-difference step and the reduction.

    Raises:
        UserError: If one of them is invalid.
    """
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 2:
        raise UserError(f"k is {k!r}; a variance over probes needs an integer of at least 2")
    if not isinstance(epsilon, Real) or not math.isfinite(epsilon) or epsilon <= 0:
        raise UserError(f"epsilon is {epsilon!r}; a finite-difference step must be finite and above 0")
    _check_reduction(reduction)


def check_iteration(k: object, iterations: object, reduction: object, dim: int) -> None:
    """Check the number of singular vectors of latents with `dim` coordinates, the iterations and the reduction.

    Raises:
        UserError: If one of them is invalid.
    """
    if isinstance(k, bool) or not isinstance(k, Integral) or k not in range(1, dim + 1):
        raise UserError(f"k is {k!r}; a latent with {dim} coordinates has 1 to {dim} singular vectors")
    if isinstance(iterations, bool) or not isinstance(iterations, Integral) or iterations < 1:
        raise UserError(f"iterations is {iterations!r}; expected an integer of at least 1")
    _check_reduction(reduction)


def _check_reduction(reduction: object) -> None:
    if not callable(reduction):
        raise UserError(f"reduction is {reduction!r}; expected a function such as torch.max or torch.mean")


def check_probes(probes: Any, z: Any, *, least: int = 2) -> None:
    """Check that probes have the shape (k, *z.shape), k ≥ `least`. Sizes that a traced function does not know fit.

    Raises:
        UserError: If they do not.
    """
    found, latents = tuple(probes.shape), tuple(z.shape)
    if len(found) != len(latents) + 1 or not _fit(found[1:], latents) or (found[0] is not None and found[0] < least):
        wanted = ", ".join([f"k ≥ {least}", *map(str, latents)])
        raise UserError(f"probes have shape {found}; this z needs ({wanted})")


def check_signs(are_signs: Any) -> None:
    """Check that every entry of probes is ±1, as a truth value of any library says.

    Raises:
        UserError: If one is not.
    """
    if not bool(are_signs):
        raise UserError("probes contain an entry other than +1 and -1; Rademacher probes are signs")


def check_rows(outputs: list[Any], z: Any) -> None:
    """Check that every activation has one row per latent.

    Raises:
        UserError: If one does not.
    """
    shapes = [tuple(each.shape) for each in outputs]
    if not all(shape and _fit(shape[:1], tuple(z.shape)[:1]) for shape in shapes):
        raise UserError(f"G returned shapes {shapes} for {z.shape[0]} z; every activation needs one row per z")


def _fit(one: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
    return all(None in pair or pair[0] == pair[1] for pair in zip(one, other, strict=True))


def check_activations(current: list[Any], first: list[Any]) -> None:
    """Check that the number and the shapes of activations are those of the first probe.

    Raises:
        UserError: If they differ.
    """
    shapes, expected = ([tuple(activation.shape) for activation in each] for each in (current, first))
    if shapes != expected:
        raise UserError(
            f"G returned shapes {expected}, then {shapes}; they must be the same for inputs of the same shape"
        )
