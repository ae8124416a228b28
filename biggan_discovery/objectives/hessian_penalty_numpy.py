"""The Hessian Penalty in NumPy, for generators that are not PyTorch modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from biggan_discovery.errors import UserError
from biggan_discovery.objectives.checks import check_activations, check_probes, check_settings, check_signs


def hessian_penalty_numpy(
    G: Callable[..., np.ndarray | Sequence[np.ndarray]],
    z: np.ndarray,
    k: int = 2,
    epsilon: float = 0.1,
    reduction: Callable[[np.ndarray], Any] = np.max,
    return_separately: bool = False,
    G_z: object = None,  # noqa: ARG001
    *,
    probes: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
    **G_kwargs: Any,
) -> Any:
    """Hessian Penalty on NumPy arrays (Peebles et al. 2020, eq. 5); see `hessian_penalty`.

    Args:
        G: called as G(z, **G_kwargs); returns a floating-point array of any shape, or a list or tuple of arrays.
        z: (N, ...), the input to differentiate with respect to; any floating-point dtype.
        k: number of probes, at least 2. Ignored if `probes` is given.
        epsilon: finite-difference step, above 0.
        reduction: from the variances, in the shape of one activation, to the value returned for that activation.
        return_separately: return a list with one value per activation instead of their sum.
        G_z: ignored; see `hessian_penalty`.
        probes: (k, *z.shape), entries ±1. Defaults to random probes.
        rng: random number generator of the probes. Defaults to a new one with a random seed.
        G_kwargs: keyword arguments passed to G.

    Returns:
        The sum over activations of the reduced variances, or a list of them.

    Raises:
        UserError: As `hessian_penalty`.

    Example:
        >>> G = lambda z: z[:, 0] * z[:, 1]  # H = [[0, 1], [1, 0]]
        >>> probes = np.array([[[1.0, 1.0]], [[1.0, -1.0]]])
        >>> float(hessian_penalty_numpy(G, np.zeros((1, 2)), probes=probes).round())  # variance of 2 and -2
        8.0
    """
    check_settings(k, epsilon, reduction)
    if not isinstance(z, np.ndarray) or not np.issubdtype(z.dtype, np.floating) or z.size == 0:
        raise UserError(f"z is {_describe(z)}; expected a floating-point array (N, ...) with at least one element")
    if probes is None:
        probes = (rng or np.random.default_rng()).integers(0, 2, (k, *z.shape)) * 2 - 1
    else:
        check_probes(probes, z)
        check_signs((abs(probes) == 1).all())
    steps = (epsilon * probes).astype(z.dtype)

    sums = [_sum_of_both_sides(G, z, step, G_kwargs) for step in steps]
    for later in sums[1:]:
        check_activations(later, sums[0])
    penalties = [reduction(_variance(np.stack(over_probes), epsilon)) for over_probes in zip(*sums, strict=True)]
    return penalties if return_separately else sum(penalties[1:], start=penalties[0])


def _sum_of_both_sides(
    G: Callable[..., Any], z: np.ndarray, step: np.ndarray, G_kwargs: dict[str, Any]
) -> list[np.ndarray]:
    above, below = _activations(G(z + step, **G_kwargs)), _activations(G(z - step, **G_kwargs))
    check_activations(below, above)
    return [one + other for one, other in zip(above, below, strict=True)]


def _activations(output: object) -> list[np.ndarray]:
    activations = list(output) if isinstance(output, (list, tuple)) else [output]
    arrays = [
        np.asarray(each)
        for each in activations
        if isinstance(each, (np.ndarray, np.generic)) and np.issubdtype(each.dtype, np.floating) and each.size
    ]
    if not arrays or len(arrays) < len(activations):
        found = ", ".join(map(_describe, activations)) or "an empty list"
        raise UserError(f"G returned {found}; it must return a floating-point array or a list of them")
    return arrays


def _variance(sums: np.ndarray, epsilon: float) -> np.ndarray:
    return np.var((sums - sums[0]) / epsilon**2, axis=0, ddof=1)


def _describe(value: object) -> str:
    return f"a {value.dtype} array {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
