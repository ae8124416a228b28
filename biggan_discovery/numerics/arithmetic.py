"""In what arithmetic a GPU multiplies float32 numbers, and where there is float64."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Let a GPU round the factors of float32 products to TF32 where `precision` is "tf32", and nowhere else.

    PyTorch convolves in TF32 by default. Second differences then lose their leading digits, so whoever takes
    differences enters this. The settings from before return when the block ends.
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
