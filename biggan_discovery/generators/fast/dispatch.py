"""Which implementation computes: Triton kernels and whole-batch products on a GPU, torch's operations elsewhere."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor  # pyright: ignore[reportMissingImports]
from torch.autograd import forward_ad

KERNEL_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
_DEVICE = "cuda"  # Tests in Triton's interpreter set "cpu".
# A global: a GPU's backward pass runs in a thread of its own, which would not see a context variable.
_plain = False


@contextmanager
def plain() -> Iterator[None]:
    """Compute on a GPU as on a CPU, with torch's operations and image by image, for tests and benchmarks.

    Example:
        >>> with plain():
        ...     images = generator(z, y)
    """
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def on_gpu(x: Tensor) -> bool:
    """Whether to compute for the whole batch at once, at the price that an image's bits depend on the others."""
    return x.device.type == _DEVICE and not _plain


def ordinary_on_gpu(*tensors: Tensor) -> bool:
    """Whether fused kernels can take these tensors: `on_gpu`, of one device and of `KERNEL_DTYPES`.

    Neither subclasses of Tensor nor what `torch.func` transforms have memory of their own.
    """
    return on_gpu(tensors[0]) and all(
        x.dtype in KERNEL_DTYPES
        and x.device == tensors[0].device
        and type(x) in (Tensor, nn.Parameter)
        and not is_functorch_wrapped_tensor(x)
        for x in tensors
    )


def kernels_for(*tensors: Tensor) -> ModuleType | None:
    """The Triton kernels if Triton works and they take all of these tensors (see `ordinary_on_gpu`), else None."""
    return _working_kernels() if ordinary_on_gpu(*tensors) else None


def differentiable_backward() -> bool:
    """Whether somebody differentiates the backward pass that runs now, by either mode."""
    return torch.is_grad_enabled() or forward_ad._current_level >= 0


@functools.cache
def _working_kernels() -> ModuleType | None:
    """Triton may be missing, lack a compiler or not know the GPU; a first launch tells."""
    try:
        kernels = importlib.import_module("biggan_discovery.generators.fast.kernels")
    except ImportError:
        return None
    try:
        x = torch.ones(1, 1, 1, 1, device=_DEVICE)
        kernels.affine_relu(x, x, x)
    except Exception as error:  # Triton's own exceptions, subprocess errors of compilers, RuntimeError of drivers
        warnings.warn(f"Triton does not work here, so torch's slower operations are used: {error}", stacklevel=2)
        return None
    return kernels
