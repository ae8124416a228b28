"""Shared by objectives in PyTorch: steps along Rademacher probes, and the activations that a pass returns."""

from __future__ import annotations

import torch
from jaxtyping import Float, Num
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.objectives.checks import check_probes, check_settings, check_signs


def checked_steps(
    z: Float[Tensor, "*shape"],
    k: int,
    epsilon: float,
    reduction: object,
    probes: Num[Tensor, " k *shape"] | None,
    generator: torch.Generator | None,
) -> Float[Tensor, " k *shape"]:
    """ε times the given probes, or times new Rademacher probes, with the dtype and device of z.

    Raises:
        UserError: If z is not a floating-point tensor, or other arguments are invalid (see `checks`).
    """
    check_settings(k, epsilon, reduction)
    check_latents(z)
    if probes is None:
        probes = _rademacher((k, *z.shape), generator)
    else:
        check_probes(probes, z)
        check_signs((abs(probes) == 1).all())
    return epsilon * probes.to(z)


def check_latents(z: object) -> None:
    """Check that z is a floating-point tensor with at least one element.

    Raises:
        UserError: If it is not.
    """
    if not isinstance(z, Tensor) or not z.is_floating_point() or z.numel() == 0:
        raise UserError(f"z is {_describe(z)}; expected a floating-point tensor (N, ...) with at least one element")


def activations(output: object) -> list[Tensor]:
    """The output of G as a list of tensors.

    Raises:
        UserError: If it is not a floating-point tensor or a list or tuple of them.
    """
    each = list(output) if isinstance(output, (list, tuple)) else [output]
    tensors = [item for item in each if isinstance(item, Tensor) and item.is_floating_point() and item.numel()]
    if not tensors or len(tensors) < len(each):
        found = ", ".join(map(_describe, each)) or "an empty list"
        raise UserError(f"G returned {found}; it must return a floating-point tensor or a list of them")
    return tensors


def random_source(generator: torch.Generator | None) -> torch.Generator:
    """The generator, or a new one with a random seed."""
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    return generator


def _rademacher(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    generator = random_source(generator)
    return torch.randint(0, 2, shape, generator=generator, device=generator.device) * 2 - 1


def _describe(value: object) -> str:
    return f"a {value.dtype} tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
