"""In what precision the generator computes during a search by Adam, and how good its gradient then is.

Second differences at ε = 0.1 cost two to three decimal digits, so not every generator stands every precision. The one
that is chosen is the fastest whose gradient points where the exact one does.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.directions import initial_matrix, orthonormalize, pad
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator
from biggan_discovery.objectives.samples import Purpose, draw
from biggan_discovery.objectives.through_directions import Objective, choose_micro_batch, penalty_gradient

AUTO = "auto"
PRECISIONS = ("float32", "tf32", "float16", "bfloat16")
LEAST_COSINE = 0.99

# By the rate of a GPU's matrix units; float16 rounds as tf32 does. A CPU convolves fastest in float32: those that are
# faster in bfloat16 round too coarsely for second differences.
_FASTEST_FIRST = {"cuda": ("float16", "tf32")}
SIXTEEN_BITS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_SAMPLES = 4


@contextlib.contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Let a GPU round the factors of float32 products to TF32 where that is the precision, and nowhere else."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # pyright: ignore[reportAttributeAccessIssue]
    before = [each.fp32_precision for each in backends]
    try:
        for each in backends:
            each.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        yield
    finally:
        for each, value in zip(backends, before, strict=True):
            each.fp32_precision = value


def in_precision(generator: FrozenGenerator, precision: str) -> FrozenGenerator:
    """The generator, or a copy of it with 16-bit weights; `arithmetic` does the rest.

    Raises:
        UserError: TF32 without a GPU, or 16 bits for a user's own function.
    """
    if precision == "tf32" and generator.device.type != "cuda":
        raise UserError(f"precision is 'tf32', which {generator.device} does not have; use float32")
    return generator.half_precision(SIXTEEN_BITS[precision]) if precision in SIXTEEN_BITS else generator


def choose_precision(
    generator: FrozenGenerator, settings: dict[str, Any], objective: Objective
) -> tuple[str, float | None]:
    """The precision of a search, and the cosine of its gradient's angle to that in float64.

    Args:
        generator: in float32.
        settings: of the run; "precision" is "auto" or one of `PRECISIONS`.
        objective: what is differentiated.

    Returns:
        With "auto" the fastest precision whose cosine is at least 0.99, else the one asked for. The cosine is None
        for float32 that had no rival, where nothing is measured.

    Raises:
        UserError: a precision that the device or the generator does not have.
    """
    asked = settings["precision"]
    if asked == AUTO:
        rivals = () if isinstance(generator, FunctionGenerator) else _FASTEST_FIRST.get(generator.device.type, ())
    else:
        rivals = () if asked == "float32" else (asked,)
    if not rivals:
        return "float32", None
    candidates = {precision: in_precision(generator, precision) for precision in (*rivals, "float32")}
    exact, cosine = _gradient(copy.deepcopy(generator).double(), settings, objective), 0.0
    for precision, candidate in candidates.items():
        with arithmetic(precision):
            cosine = _cosine(_gradient(candidate, settings, objective), exact)
        if asked == precision or cosine >= LEAST_COSINE:
            return precision, cosine
    return "float32", cosine


def _gradient(generator: FrozenGenerator, settings: dict[str, Any], objective: Objective) -> Tensor:
    """With respect to A, at a random start and the samples of the first step."""
    space, dtype = generator.search_space(settings["layers"]), generator.dtype
    A = initial_matrix("random", settings["directions"], generator.z_dim, settings["seed"], space).double()
    A.requires_grad_()
    Q = orthonormalize(A)
    keys = ("probes", "path_size", "seed")
    samples = draw(
        generator,
        settings["classes"],
        len(A),
        count=min(_SAMPLES, settings["batch"]),
        purpose=Purpose.SEARCH,
        step=0,
        **{key: settings[key] for key in keys},
    )
    # Latents of float32, so that all precisions start from the same.
    samples = replace(samples, z=samples.z.float().to(dtype), w=samples.w.float().to(dtype))
    found = penalty_gradient(
        generator,
        pad(Q.detach().float(), space, generator.z_dim).to(generator.device, dtype),
        samples,
        settings["epsilon"],
        settings["layers"],
        micro_batch=choose_micro_batch(generator),
        objective=objective,
    )
    Q.backward(found.gradient[:, space].to(Q))
    assert A.grad is not None
    return A.grad


def _cosine(one: Tensor, other: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0).item()
