"""Float32 precision of products on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


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
