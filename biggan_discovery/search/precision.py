"""Choice of the generator's precision during a search, by the accuracy of gradients and matrices.

Second differences at ε = 0.1 lose two to three decimal digits, so low precision is not accurate enough for every
generator. The fastest precision whose results agree with those in float64 is chosen.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from biggan_discovery.directions import initial_matrix, orthonormalize, pad
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator
from biggan_discovery.generators.batching import gradient_batch
from biggan_discovery.numerics.arithmetic import arithmetic, widest
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.gradient import objective_gradient
from biggan_discovery.objectives.objective import Objective
from biggan_discovery.objectives.samples import draw
from biggan_discovery.search.settings import AUTO, AdamSettings

LEAST_COSINE = 0.99
MOST_MATRIX_ERROR = 0.02

# By the throughput of a GPU's matrix units; float16 has the same mantissa as tf32. CPUs are fastest in float32, except
# for those with bfloat16 units, whose rounding is too coarse for second differences.
_FASTEST_FIRST = {"cuda": ("float16", "tf32")}
SIXTEEN_BITS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_SAMPLES = 4


def check_precision(generator: FrozenGenerator, precision: str) -> None:
    """Check that the device and the generator support a precision.

    Raises:
        UserError: for TF32 without a GPU, or 16 bits with a `FunctionGenerator`.
    """
    if precision == "tf32" and generator.device.type != "cuda":
        raise UserError(f"precision is 'tf32', which {generator.device} does not support; use float32")
    if precision in SIXTEEN_BITS and isinstance(generator, FunctionGenerator):
        generator.half_precision(SIXTEEN_BITS[precision])


def in_precision(generator: FrozenGenerator, precision: str) -> FrozenGenerator:
    """The generator, or a copy of it with 16-bit weights; `arithmetic` does the rest.

    Raises:
        UserError: see `check_precision`.
    """
    check_precision(generator, precision)
    return generator.half_precision(SIXTEEN_BITS[precision]) if precision in SIXTEEN_BITS else generator


def gradient_precision(
    generator: FrozenGenerator, settings: AdamSettings, objective: Objective
) -> tuple[str, dict[str, float]]:
    """The precision of a search by Adam, and the cosine similarity of its gradient to that in float64.

    Args:
        generator: generator in float32.
        settings: settings of the run.
        objective: objective to differentiate.

    Returns:
        The requested precision, or for "auto" the fastest one whose cosine similarity is at least 0.99; and
        "gradient_cosine", unless float32 is the only candidate, in which case nothing is measured.

    Raises:
        UserError: if the device or the generator does not support the precision.
    """
    return _chosen(
        generator,
        settings.precision,
        lambda candidate: _gradient(candidate, settings, objective),
        "gradient_cosine",
        _cosine,
        lambda cosine: cosine >= LEAST_COSINE,
    )


def matrix_precision(
    generator: FrozenGenerator, asked: str, matrices: Callable[[FrozenGenerator], Tensor]
) -> tuple[str, dict[str, float]]:
    """The precision of the measurements for joint diagonalization, and the error of the matrices.

    Args:
        generator: generator in float32.
        asked: "auto" or one of `PRECISIONS`.
        matrices: function from a generator to its matrices.

    Returns:
        The requested precision, or for "auto" the fastest one whose matrices differ from those in float64 by at most 2
        % (relative, Frobenius norm); and "matrix_error", this difference, unless float32 is the only candidate.

    Raises:
        UserError: if the device or the generator does not support the precision.
    """
    return _chosen(generator, asked, matrices, "matrix_error", _difference, lambda error: error <= MOST_MATRIX_ERROR)


def _chosen(
    generator: FrozenGenerator,
    asked: str,
    measure: Callable[[FrozenGenerator], Tensor],
    figure: str,
    compare: Callable[[Tensor, Tensor], float],
    good: Callable[[float], bool],
) -> tuple[str, dict[str, float]]:
    if asked == AUTO:
        alternatives = () if isinstance(generator, FunctionGenerator) else _FASTEST_FIRST.get(generator.device.type, ())
    else:
        alternatives = () if asked == "float32" else (asked,)
    if not alternatives:
        return "float32", {}
    candidates = {precision: in_precision(generator, precision) for precision in (*alternatives, "float32")}
    exact, value = measure(copy.deepcopy(generator).to(widest(generator.device), torch.float64)), 0.0
    for precision, candidate in candidates.items():
        with arithmetic(precision):
            value = compare(measure(candidate), exact)
        if asked == precision or good(value):
            return precision, {figure: value}
    return "float32", {figure: value}


def _gradient(generator: FrozenGenerator, settings: AdamSettings, objective: Objective) -> Tensor:
    """The gradient with respect to A, at a random start and the samples of the first step."""
    space, dtype = generator.search_space(settings.layers), generator.dtype
    A = initial_matrix("random", settings.directions, generator.z_dim, settings.seed, space).double()
    A.requires_grad_()
    Q = orthonormalize(A)
    samples = draw(
        generator,
        settings.classes,
        len(A),
        count=min(_SAMPLES, settings.batch),
        probes=settings.probes,
        path_size=settings.path_size,
        seed=settings.seed,
        stream=Stream.SEARCH,
        step=0,
    )
    # Latents are rounded to float32, so that they are the same in all precisions.
    samples = replace(samples, z=samples.z.float().to(dtype), w=samples.w.float().to(dtype))
    found = objective_gradient(
        objective,
        generator,
        pad(Q.detach().float(), space, generator.z_dim).to(generator.device, dtype),
        samples,
        settings.epsilon,
        settings.layers,
        batch=gradient_batch(generator),
    )
    Q.backward(found.gradient[:, space].to(Q))
    assert A.grad is not None
    return A.grad


def _difference(matrices: Tensor, exact: Tensor) -> float:
    return (torch.linalg.vector_norm(matrices.double() - exact) / torch.linalg.vector_norm(exact)).item()


def _cosine(one: Tensor, other: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0).item()
