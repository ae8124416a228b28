"""In what arithmetic a GPU multiplies float32 numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


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
