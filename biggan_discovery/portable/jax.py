"""The penalties for JAX: the functions of the same names in `biggan_discovery`, on JAX arrays.

Needs the extra `jax`. All of them can be called in `jax.jit`, `jax.grad`, `jax.vmap` and `jax.checkpoint`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer

from biggan_discovery.errors import UserError
from biggan_discovery.objectives.checks import (
    check_activations,
    check_iteration,
    check_probes,
    check_rows,
    check_settings,
    check_signs,
)

Network = Callable[..., Array | Sequence[Array]]


def hessian_penalty(
    G: Network,
    z: Array,
    k: int = 2,
    epsilon: float = 0.1,
    reduction: Callable[[Array], Array] = jnp.max,
    return_separately: bool = False,
    G_z: object = None,  # noqa: ARG001
    *,
    probes: Array | None = None,
    key: Array | None = None,
    **G_kwargs: Any,
) -> Array | list[Array]:
    """Hessian Penalty of a JAX function (Peebles et al. 2020, eq. 5); see `biggan_discovery.hessian_penalty`.

    Args:
        G: called as G(z, **G_kwargs); returns a floating-point array of any shape, or a list or tuple of arrays.
        z: (N, ...), the input to differentiate with respect to; any floating-point dtype.
        k: number of probes, at least 2. Ignored if `probes` is given.
        epsilon: finite-difference step, above 0.
        reduction: from the variances, in the shape of one activation, to the value returned for that activation.
        return_separately: return a list with one value per activation instead of their sum.
        G_z: ignored; see `biggan_discovery.hessian_penalty`.
        probes: (k, *z.shape), entries ±1. Defaults to random probes.
        key: random key of the probes, required if there are no probes.
        G_kwargs: keyword arguments passed to G.

    Returns:
        The sum over activations of the reduced variances, or a list of them.

    Raises:
        UserError: As `biggan_discovery.hessian_penalty`, or neither probes nor a key is given. `jax.jit` does not check
            the entries of probes.

    Example:
        >>> G = lambda z: z[:, 0] * z[:, 1]  # H = [[0, 1], [1, 0]]
        >>> probes = jnp.array([[[1.0, 1.0]], [[1.0, -1.0]]])
        >>> float(hessian_penalty(G, jnp.zeros((1, 2)), probes=probes).round())  # variance of 2 and -2
        8.0
    """
    steps = _steps(z, k, epsilon, reduction, probes, key)
    sums = [_sum_of_both_sides(G, z, step, G_kwargs) for step in steps]
    for later in sums[1:]:
        check_activations(later, sums[0])
    over_probes = [_variance(jnp.stack(each), epsilon) for each in zip(*sums, strict=True)]
    return _reduced(over_probes, reduction, return_separately)


def orojar(
    G: Network,
    z: Array,
    k: int = 2,
    epsilon: float = 0.1,
    reduction: Callable[[Array], Array] = jnp.mean,
    return_separately: bool = False,
    G_z: Array | Sequence[Array] | None = None,
    *,
    probes: Array | None = None,
    key: Array | None = None,
    **G_kwargs: Any,
) -> Array | list[Array]:
    """OroJaR of a JAX function (Wei et al. 2021, section 3); see `biggan_discovery.orojar`.

    Args:
        G: called as G(z, **G_kwargs); returns a floating-point array (N, ...), or a list or tuple of arrays.
        z: (N, ...), the input to differentiate with respect to; any floating-point dtype.
        k: number of probes, at least 2. Ignored if `probes` is given.
        epsilon: finite-difference step, above 0.
        reduction: from the variances (N,) of one activation to the value returned for that activation.
        return_separately: return a list with one value per activation instead of their sum.
        G_z: the output of G(z, **G_kwargs), if already known.
        probes: (k, *z.shape), entries ±1. Defaults to random probes.
        key: random key of the probes, required if there are no probes.
        G_kwargs: keyword arguments passed to G.

    Returns:
        The sum over activations of the reduced variances, or a list of them.

    Raises:
        UserError: As `biggan_discovery.orojar`, or neither probes nor a key is given. Entries of probes are not checked
            in `jax.jit`.

    Example:
        >>> G = lambda z: z @ jnp.array([[1.0, 1.0], [0.0, 1.0]])  # columns of J: (1, 1) and (0, 1)
        >>> probes = jnp.array([[[1.0, 1.0]], [[1.0, -1.0]]])
        >>> float(orojar(G, jnp.zeros((1, 2)), probes=probes).round())  # variance of 5 and 1
        8.0
    """
    steps = _steps(z, k, epsilon, reduction, probes, key)
    centre = _activations(G(z, **G_kwargs) if G_z is None else G_z)
    check_rows(centre, z)
    over_probes = [_squared_derivatives(_activations(G(z + step, **G_kwargs)), centre, epsilon) for step in steps]
    variances = [jnp.var(jnp.stack(each), axis=0, ddof=1) for each in zip(*over_probes, strict=True)]
    return _reduced(variances, reduction, return_separately)


def spectral_penalty(
    G: Network,
    z: Array,
    k: int = 2,
    iterations: int = 5,
    reduction: Callable[[Array], Array] = jnp.mean,
    return_separately: bool = False,
    *,
    probes: Array | None = None,
    key: Array | None = None,
    **G_kwargs: Any,
) -> Array | list[Array]:
    """Spectral regularizer of a JAX function (Ramesh et al. 2018); see `biggan_discovery.spectral_penalty`.

    Args:
        G: called as G(z, **G_kwargs); returns a floating-point array (N, ...), or a list or tuple of arrays. Each row
            depends on its row of z only.
        z: (N, ...), the input to differentiate with respect to; any floating-point dtype.
        k: number of singular vectors, at least 1. Ignored if `probes` is given.
        iterations: number of iterations, at least 1.
        reduction: from the penalties (N,) of one activation to the value returned for that activation.
        return_separately: return a list with one value per activation instead of their sum.
        probes: (k, *z.shape), where the iteration starts. Defaults to standard normal vectors.
        key: random key of the probes, required if there are no probes.
        G_kwargs: keyword arguments passed to G.

    Returns:
        The sum over activations of the reduced penalties, or a list of them. An activation that does not depend on z
        counts as 0.

    Raises:
        UserError: As `biggan_discovery.spectral_penalty`, or neither probes nor a key is given.

    Example:
        >>> G = lambda z: z @ jnp.array([[2.0, 1.0], [1.0, 2.0]])  # the leading vector is (1, 1)/√2
        >>> round(float(spectral_penalty(G, jnp.zeros((1, 2)), probes=jnp.ones((1, 1, 2)))), 6)
        0.5
    """
    _check_latents(z)
    check_iteration(k if probes is None else len(probes), iterations, reduction, z[0].size)
    if probes is None:
        probes = jax.random.normal(_required(key), (k, *z.shape), z.dtype)
    check_probes(probes, z, least=1)

    def rows(z: Array) -> list[Array]:
        outputs = _activations(G(z, **G_kwargs))
        check_rows(outputs, z)
        return outputs

    outputs, push = jax.linearize(rows, z)
    pull = jax.linear_transpose(push, z)
    products = [_gram_product(push, pull, index) for index in range(len(outputs))]
    penalties = [_off_axes(product, probes.astype(z.dtype), iterations) for product in products]
    return _reduced(penalties, reduction, return_separately)


def _gram_product(push: Callable, pull: Callable, index: int) -> Callable[[Array], Array]:
    """From v in the shape of z to Jᵀ(Jv), with J the Jacobian of one activation."""

    def product(v: Array) -> Array:
        pushed = push(v)
        others = [each if place == index else jnp.zeros_like(each) for place, each in enumerate(pushed)]
        (product,) = pull(others)
        return product

    return product


def _off_axes(product: Callable[[Array], Array], start: Array, iterations: int) -> Array:
    """Energy of the vectors off their nearest axes, mean over vectors, (N,)."""
    vectors = _orthonormal(list(start))
    for _ in range(iterations):
        vectors = jax.lax.stop_gradient(vectors)
        vectors = _orthonormal([product(each.reshape(start[0].shape).astype(start.dtype)) for each in vectors])
    squares = jnp.square(jnp.stack(vectors))
    return (squares.sum(axis=2) - squares.max(axis=2)).mean(axis=0)


def _orthonormal(vectors: list[Array]) -> list[Array]:
    """Vectors (N, ...) as orthonormal rows (N, dim), in order; 0 for those within rounding error of those before."""
    rows = [each.reshape(len(each), -1).astype(_wide(each)) for each in vectors]
    rounding = rows[0].shape[1] * jnp.finfo(rows[0].dtype).eps
    floor = rounding**2 * jax.lax.stop_gradient(jnp.square(rows[0]).sum(axis=1, keepdims=True))
    found: list[Array] = []
    for row in rows:
        for before in found:
            row = row - (row * before).sum(axis=1, keepdims=True) * before
        energy = jnp.square(row).sum(axis=1, keepdims=True)
        lost = energy <= floor
        found.append(jnp.where(lost, 0, row * jax.lax.rsqrt(jnp.where(lost, 1, energy))))
    return found


def _steps(z: object, k: int, epsilon: float, reduction: object, probes: Array | None, key: Array | None) -> Array:
    """ε times the given probes, or times new Rademacher probes."""
    check_settings(k, epsilon, reduction)
    z = _check_latents(z)
    if probes is None:
        probes = jax.random.rademacher(_required(key), (k, *z.shape), z.dtype)
    else:
        check_probes(probes, z)
        if not isinstance(probes, Tracer):
            check_signs((abs(probes) == 1).all())
    return epsilon * probes.astype(z.dtype)


def _required(key: Array | None) -> Array:
    if key is None:
        raise UserError("key is None; random probes need key=jax.random.key(seed), or give probes")
    return key


def _check_latents(z: object) -> Array:
    if not isinstance(z, Array) or not jnp.issubdtype(z.dtype, jnp.floating) or z.size == 0:
        raise UserError(f"z is {_describe(z)}; expected a floating-point array (N, ...) with at least one element")
    return z


def _activations(output: object) -> list[Array]:
    activations = list(output) if isinstance(output, (list, tuple)) else [output]
    arrays = [
        each
        for each in activations
        if isinstance(each, Array) and jnp.issubdtype(each.dtype, jnp.floating) and each.size
    ]
    if not arrays or len(arrays) < len(activations):
        found = ", ".join(map(_describe, activations)) or "an empty list"
        raise UserError(f"G returned {found}; it must return a floating-point array or a list of them")
    return arrays


def _sum_of_both_sides(G: Network, z: Array, step: Array, G_kwargs: dict[str, Any]) -> list[Array]:
    above, below = _activations(G(z + step, **G_kwargs)), _activations(G(z - step, **G_kwargs))
    check_activations(below, above)
    return [one + other for one, other in zip(above, below, strict=True)]


def _variance(sums: Array, epsilon: float) -> Array:
    # Shifted by the first, as the rounding error of their mean would exceed their differences.
    return jnp.var((sums - jax.lax.stop_gradient(sums[0])) / epsilon**2, axis=0, ddof=1)


def _squared_derivatives(moved: list[Array], centre: list[Array], epsilon: float) -> list[Array]:
    check_activations(moved, centre)
    return [
        jnp.square(((one - other) / epsilon).astype(_wide(one))).reshape(len(one), -1).sum(axis=1)
        for one, other in zip(moved, centre, strict=True)
    ]


def _reduced(values: list[Array], reduction: Callable[[Array], Array], separately: bool) -> Array | list[Array]:
    penalties = [reduction(each) for each in values]
    return penalties if separately else sum(penalties[1:], start=penalties[0])


def _wide(array: Array) -> Any:
    return jnp.promote_types(array.dtype, jnp.float32)


def _describe(value: object) -> str:
    return f"a {value.dtype} array {value.shape}" if isinstance(value, Array) else f"a {type(value).__name__}"
