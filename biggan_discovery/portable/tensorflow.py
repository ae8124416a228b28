"""The penalties for TensorFlow: the functions of the same names in `biggan_discovery`, on TensorFlow tensors.

Needs the extra `tensorflow`. All of them can be called eagerly and in `tf.function`, and differentiated by tapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from biggan_discovery.errors import UserError
from biggan_discovery.objectives.checks import (
    check_activations,
    check_iteration,
    check_probes,
    check_rows,
    check_settings,
    check_signs,
)

Network = Callable[..., tf.Tensor | Sequence[tf.Tensor]]


def hessian_penalty(
    G: Network,
    z: tf.Tensor,
    k: int = 2,
    epsilon: float = 0.1,
    reduction: Callable[[tf.Tensor], tf.Tensor] = tf.reduce_max,
    return_separately: bool = False,
    G_z: object = None,  # noqa: ARG001
    *,
    probes: tf.Tensor | None = None,
    generator: tf.random.Generator | None = None,
    **G_kwargs: Any,
) -> tf.Tensor | list[tf.Tensor]:
    """Hessian Penalty of a TensorFlow function (Peebles et al. 2020, eq. 5); see `biggan_discovery.hessian_penalty`.

    Args:
        G: called as G(z, **G_kwargs); returns a floating-point tensor of any shape, or a list or tuple of tensors.
        z: (N, ...), the input to differentiate with respect to; any floating-point dtype.
        k: number of probes, at least 2. Ignored if `probes` is given.
        epsilon: finite-difference step, above 0.
        reduction: from the variances, in the shape of one activation, to the value returned for that activation.
        return_separately: return a list with one value per activation instead of their sum.
        G_z: ignored; see `biggan_discovery.hessian_penalty`.
        probes: (k, *z.shape), entries ±1. Defaults to random probes.
        generator: random number generator of the probes. Defaults to that of TensorFlow's global seed.
        G_kwargs: keyword arguments passed to G.

    Returns:
        The sum over activations of the reduced variances, or a list of them.

    Raises:
        UserError: As `biggan_discovery.hessian_penalty`. Entries of probes are not checked in `tf.function`.

    Example:
        >>> G = lambda z: z[:, 0] * z[:, 1]  # H = [[0, 1], [1, 0]]
        >>> probes = tf.constant([[[1.0, 1.0]], [[1.0, -1.0]]])
        >>> float(tf.round(hessian_penalty(G, tf.zeros([1, 2]), probes=probes)))  # variance of 2 and -2
        8.0
    """
    steps = _steps(z, k, epsilon, reduction, probes, generator)
    sums = [_sum_of_both_sides(G, z, step, G_kwargs) for step in steps]
    for later in sums[1:]:
        check_activations(later, sums[0])
    # Shifted by the first, as the rounding error of their mean would exceed their differences.
    seconds = [(tf.stack(each) - tf.stop_gradient(each[0])) / epsilon**2 for each in zip(*sums, strict=True)]
    return _reduced(list(map(_variance, seconds)), reduction, return_separately)


def orojar(
    G: Network,
    z: tf.Tensor,
    k: int = 2,
    epsilon: float = 0.1,
    reduction: Callable[[tf.Tensor], tf.Tensor] = tf.reduce_mean,
    return_separately: bool = False,
    G_z: tf.Tensor | Sequence[tf.Tensor] | None = None,
    *,
    probes: tf.Tensor | None = None,
    generator: tf.random.Generator | None = None,
    **G_kwargs: Any,
) -> tf.Tensor | list[tf.Tensor]:
    """OroJaR of a TensorFlow function (Wei et al. 2021, section 3); see `biggan_discovery.orojar`.

    Args:
        G: called as G(z, **G_kwargs); returns a floating-point tensor (N, ...), or a list or tuple of tensors.
        z: (N, ...), the input to differentiate with respect to; any floating-point dtype.
        k: number of probes, at least 2. Ignored if `probes` is given.
        epsilon: finite-difference step, above 0.
        reduction: from the variances (N,) of one activation to the value returned for that activation.
        return_separately: return a list with one value per activation instead of their sum.
        G_z: the output of G(z, **G_kwargs), if already known.
        probes: (k, *z.shape), entries ±1. Defaults to random probes.
        generator: random number generator of the probes. Defaults to that of TensorFlow's global seed.
        G_kwargs: keyword arguments passed to G.

    Returns:
        The sum over activations of the reduced variances, or a list of them.

    Raises:
        UserError: As `biggan_discovery.orojar`. Entries of probes are not checked in `tf.function`.

    Example:
        >>> G = lambda z: z @ tf.constant([[1.0, 1.0], [0.0, 1.0]])  # columns of J: (1, 1) and (0, 1)
        >>> probes = tf.constant([[[1.0, 1.0]], [[1.0, -1.0]]])
        >>> float(tf.round(orojar(G, tf.zeros([1, 2]), probes=probes)))  # variance of 5 and 1
        8.0
    """
    steps = _steps(z, k, epsilon, reduction, probes, generator)
    centre = _activations(G(z, **G_kwargs) if G_z is None else G_z)
    check_rows(centre, z)
    over_probes = [_squared_derivatives(_activations(G(z + step, **G_kwargs)), centre, epsilon) for step in steps]
    variances = [_variance(tf.stack(each)) for each in zip(*over_probes, strict=True)]
    return _reduced(variances, reduction, return_separately)


def spectral_penalty(
    G: Network,
    z: tf.Tensor,
    k: int = 2,
    iterations: int = 5,
    reduction: Callable[[tf.Tensor], tf.Tensor] = tf.reduce_mean,
    return_separately: bool = False,
    *,
    probes: tf.Tensor | None = None,
    generator: tf.random.Generator | None = None,
    **G_kwargs: Any,
) -> tf.Tensor | list[tf.Tensor]:
    """Spectral regularizer of a TensorFlow function (Ramesh et al. 2018); see `biggan_discovery.spectral_penalty`.

    Args:
        G: called as G(z, **G_kwargs); returns a floating-point tensor (N, ...), or a list or tuple of tensors. Each row
            depends on its row of z only.
        z: (N, ...), the input to differentiate with respect to; any floating-point dtype.
        k: number of singular vectors, at least 1. Ignored if `probes` is given.
        iterations: number of iterations, at least 1.
        reduction: from the penalties (N,) of one activation to the value returned for that activation.
        return_separately: return a list with one value per activation instead of their sum.
        probes: (k, *z.shape), where the iteration starts. Defaults to standard normal vectors.
        generator: random number generator of the probes. Defaults to that of TensorFlow's global seed.
        G_kwargs: keyword arguments passed to G.

    Returns:
        The sum over activations of the reduced penalties, or a list of them.

    Raises:
        UserError: As `biggan_discovery.spectral_penalty`.

    Example:
        >>> G = lambda z: z @ tf.constant([[2.0, 1.0], [1.0, 2.0]])  # the leading vector is (1, 1)/√2
        >>> round(float(spectral_penalty(G, tf.zeros([1, 2]), probes=tf.ones([1, 1, 2]))), 6)
        0.5
    """
    z = _checked_latents(z)
    dim = z.shape[1:].num_elements()
    check_iteration(k if probes is None else probes.shape[0], iterations, reduction, dim)
    if probes is None:
        draw = tf.random.normal if generator is None else generator.normal
        probes = draw(tf.concat([[k], tf.shape(z)], 0), dtype=z.dtype)
        probes = tf.ensure_shape(probes, [k, *z.shape])
    check_probes(probes, z, least=1)
    # Jv is the derivative of cᵀJ, which is linear in c: one pass of G is enough.
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as of_cotangent:
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as of_latents:
            of_latents.watch(z)
            outputs = _activations(G(z, **G_kwargs))
        check_rows(outputs, z)
        cotangents = [tf.zeros_like(each) for each in outputs]
        of_cotangent.watch(cotangents)
        pulled = [of_latents.gradient(one, z, c) for one, c in zip(outputs, cotangents, strict=True)]
    if any(each is None for each in pulled):
        raise UserError("G returned an activation without a gradient with respect to z: it does not depend on it")
    start = [tf.cast(each, z.dtype) for each in tf.unstack(probes)]

    def off_axes(output: Any, cotangent: Any, pulled: Any) -> Any:
        def product(v: Any) -> Any:
            return of_latents.gradient(output, z, of_cotangent.gradient(pulled, cotangent, v))

        return _off_axes(product, start, iterations)

    return _reduced(list(map(off_axes, outputs, cotangents, pulled)), reduction, return_separately)


def _off_axes(product: Callable[[Any], Any], start: list[Any], iterations: int) -> Any:
    """Energy of the vectors off their nearest axes, mean over vectors, (N,)."""
    vectors = _orthonormal(start)
    for _ in range(iterations):
        constants = [
            tf.cast(tf.reshape(tf.stop_gradient(each), tf.shape(start[0])), start[0].dtype) for each in vectors
        ]
        vectors = _orthonormal([product(each) for each in constants])
    squares = tf.square(tf.stack(vectors))
    return tf.reduce_mean(tf.reduce_sum(squares, 2) - tf.reduce_max(squares, 2), 0)


def _orthonormal(vectors: list[Any]) -> list[Any]:
    """Vectors (N, ...) as orthonormal rows (N, dim), in order; 0 for those within rounding error of those before."""
    rows = [_wide(tf.reshape(each, [tf.shape(each)[0], -1])) for each in vectors]
    dtype = rows[0].dtype
    rounding = tf.cast(tf.shape(rows[0])[1], dtype) * np.finfo(dtype.as_numpy_dtype).eps
    floor = rounding**2 * tf.stop_gradient(tf.reduce_sum(tf.square(rows[0]), 1, keepdims=True))
    found: list[Any] = []
    for row in rows:
        for before in found:
            row = row - tf.reduce_sum(row * before, 1, keepdims=True) * before
        energy = tf.reduce_sum(tf.square(row), 1, keepdims=True)
        lost = energy <= floor
        unit = row * tf.math.rsqrt(tf.where(lost, tf.ones_like(energy), energy))
        found.append(tf.where(lost, tf.zeros_like(row), unit))
    return found


def _steps(z: Any, k: int, epsilon: float, reduction: object, probes: Any, generator: Any) -> list[Any]:
    """ε times the given probes, or times new Rademacher probes."""
    check_settings(k, epsilon, reduction)
    z = _checked_latents(z)
    if probes is None:
        draw = tf.random.uniform if generator is None else generator.uniform
        bits = draw(tf.concat([[k], tf.shape(z)], 0), 0, 2, tf.int32)
        probes = tf.ensure_shape(2 * bits - 1, [k, *z.shape])
    else:
        check_probes(probes, z)
        if tf.executing_eagerly():
            check_signs(tf.reduce_all(tf.abs(probes) == 1))
    return [epsilon * tf.cast(each, z.dtype) for each in tf.unstack(probes)]


def _checked_latents(z: Any) -> Any:
    z = z.value() if isinstance(z, tf.Variable) else z
    if not _is_floating(z):
        raise UserError(f"z is {_describe(z)}; expected a floating-point tensor (N, ...) with at least one element")
    return z


def _activations(output: object) -> list[Any]:
    activations = list(output) if isinstance(output, (list, tuple)) else [output]
    if not activations or not all(map(_is_floating, activations)):
        found = ", ".join(map(_describe, activations)) or "an empty list"
        raise UserError(f"G returned {found}; it must return a floating-point tensor or a list of them")
    return activations


def _is_floating(value: Any) -> bool:
    return tf.is_tensor(value) and value.dtype.is_floating and value.shape.num_elements() != 0


def _sum_of_both_sides(G: Network, z: Any, step: Any, G_kwargs: dict[str, Any]) -> list[Any]:
    above, below = _activations(G(z + step, **G_kwargs)), _activations(G(z - step, **G_kwargs))
    check_activations(below, above)
    return [one + other for one, other in zip(above, below, strict=True)]


def _squared_derivatives(moved: list[Any], centre: list[Any], epsilon: float) -> list[Any]:
    check_activations(moved, centre)
    slopes = [_wide((one - other) / epsilon) for one, other in zip(moved, centre, strict=True)]
    return [tf.reduce_sum(tf.reshape(tf.square(each), [tf.shape(each)[0], -1]), 1) for each in slopes]


def _variance(values: Any) -> Any:
    """Unbiased variance over the first axis."""
    return tf.reduce_sum(tf.square(values - tf.reduce_mean(values, 0)), 0) / (values.shape[0] - 1)


def _reduced(values: list[Any], reduction: Callable[[Any], Any], separately: bool) -> Any:
    penalties = [reduction(each) for each in values]
    return penalties if separately else sum(penalties[1:], start=penalties[0])


def _wide(tensor: Any) -> Any:
    return tensor if tensor.dtype.size >= tf.float32.size else tf.cast(tensor, tf.float32)


def _describe(value: Any) -> str:
    return f"a {value.dtype.name} tensor {tuple(value.shape)}" if tf.is_tensor(value) else f"a {type(value).__name__}"
