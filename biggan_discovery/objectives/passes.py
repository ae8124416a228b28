"""What objectives in PyTorch share: steps along Rademacher probes, and activations that a pass gives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.objectives.checks import check_probes, check_settings


def checked_steps(
    z: Any, k: int, epsilon: float, reduction: object, probes: Tensor | None, generator: torch.Generator | None
) -> Tensor:
    """ε times the probes, (k, *z.shape), of z's type and on its device: the probes given, or fresh Rademacher ones.

    Raises:
        UserError: for settings or probes that cannot work, see `checks`, or a z that is no floating tensor.
    """
    check_settings(k, epsilon, reduction)
    if not isinstance(z, Tensor) or not z.is_floating_point() or z.numel() == 0:
        raise UserError(f"z is {_describe(z)}; give a floating tensor (N, ...) with at least one element")
    if probes is None:
        probes = _rademacher((k, *z.shape), generator)
    else:
        check_probes(probes, z)
    return epsilon * probes.to(z)


def activations(output: object) -> list[Tensor]:
    """What G returned, as a list of tensors.

    Raises:
        UserError: where it is anything else than a floating tensor or a list or tuple of such.
    """
    each = list(output) if isinstance(output, (list, tuple)) else [output]
    tensors = [item for item in each if isinstance(item, Tensor) and item.is_floating_point() and item.numel()]
    if not tensors or len(tensors) < len(each):
        found = ", ".join(map(_describe, each)) or "an empty list"
        raise UserError(f"G returned {found}; it must return a floating tensor or a list of floating tensors")
    return tensors


def _rademacher(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    return torch.randint(0, 2, shape, generator=generator, device=generator.device) * 2 - 1


def _describe(value: object) -> str:
    return f"a {value.dtype} tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
