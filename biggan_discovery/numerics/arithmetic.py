"""In what arithmetic a GPU multiplies float32 numbers, and where there is float64."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Context manager that selects TF32 or full float32 precision for products on a GPU.

    PyTorch uses TF32 in convolutions by default. Second differences then lose their leading digits, so every function
    that takes differences enters this context. The previous settings are restored on exit.

    Args:
        precision: "tf32" allows TF32; anything else selects IEEE float32.

    Example:
        >>> with arithmetic("float32"):
        ...     value = hessian_penalty(G, z)
    """
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # pyright: ignore[reportAttributeAccessIssue]
    before = [each.fp32_precision for each in backends]
    try:
        for each in backends:
            each.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        yield
    finally:
        for each, value in zip(backends, before, strict=True):
            each.fp32_precision = value


def widest(device: torch.device) -> torch.device:
    """Where to compute in float64: the device itself, or the CPU if it has none, as MPS and some XPUs."""
    if device.type in ("cpu", "cuda"):
        return device
    try:
        torch.ones(1, dtype=torch.float64, device=device).add(1)
    except (RuntimeError, TypeError):
        return torch.device("cpu")
    return device


def in_float64(tensor: Tensor) -> Tensor:
    """The tensor in float64, on the `widest` device; differentiable."""
    return tensor.to(widest(tensor.device), torch.float64)
