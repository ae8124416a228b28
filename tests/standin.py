"""A device of its own on the CPU: it computes what the CPU does and refuses what a GPU refuses.

A `Standin` holds a CPU tensor and says that it is on the device "standin", which is PyTorch's place for the backends of
others (PrivateUse1). Unlike a name such as "cuda" without a GPU, it is known to all of torch: `.to`, factories,
autograd, forward mode and vmap treat it as a device. Code for `device.type == "cuda"`, which calls CUDA's own libraries
(memory statistics, graphs, Triton), is not reached.

An operation raises a RuntimeError, as on a GPU, where it mixes a stand-in tensor with a CPU tensor. Allowed are copies,
CPU scalars (0-dim) that are only read, and CPU indices. Also refused: random numbers, which another device
draws differently, so that no result may depend on them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend


class _Backend(_DummyBackendModule):
    """What `torch.standin` is asked for."""

    def is_available(self) -> bool:
        # `DataParallel` of other tests in this process would scatter to it.
        return False

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


NAME = "standin"
_setup_privateuseone_for_python_backend(NAME, backend_module=_Backend())
DEVICE = torch.device(NAME, 0)
# A backward pass then runs in the thread that asks for it. The engine's own thread for a device would have to be there
# before the first backward pass of the process.
torch.autograd.set_multithreading_enabled(False)

_aten = torch.ops.aten
_COPIES = {_aten.copy_.default, _aten._to_copy.default}
_INDEXED = {
    each.default for each in (_aten.index_put, _aten.index_put_, _aten._index_put_impl_, _aten._unsafe_index_put)
} | {_aten.index.Tensor, _aten._unsafe_index.Tensor}
_float64 = True


class Standin(Tensor):
    """A tensor on the stand-in device.

    Args:
        on_cpu: a CPU tensor with its values, which is shared.
    """

    on_cpu: Tensor

    @staticmethod
    def __new__(cls, on_cpu: Tensor) -> Standin:
        if on_cpu.dtype in (torch.float64, torch.complex128) and not _float64:
            raise TypeError(f"Cannot convert a tensor to {on_cpu.dtype}: the stand-in device does not support it")
        tensor = Tensor._make_wrapper_subclass(
            cls,
            on_cpu.shape,
            strides=on_cpu.stride(),
            storage_offset=on_cpu.storage_offset(),
            dtype=on_cpu.dtype,
            device=DEVICE,
        )
        tensor.on_cpu = on_cpu
        return tensor

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    @property
    def data(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The tensor without its history; assigned to where modules are converted to another type."""
        return self.detach()

    @data.setter
    def data(self, value: Standin) -> None:
        Tensor.data.__set__(self, value)  # pyright: ignore[reportAttributeAccessIssue]
        self.on_cpu = value.on_cpu

    def untyped_storage(self) -> torch.UntypedStorage:
        """That of the values, whose address and size are real."""
        return self.on_cpu.untyped_storage()

    def tolist(self) -> Any:
        """The values; torch has none for subclasses."""
        return self.on_cpu.tolist()

    def __repr__(self, **_: Any) -> str:
        return f"Standin({self.on_cpu!r})"


@contextlib.contextmanager
def without_float64() -> Iterator[None]:
    """Let the stand-in device refuse float64, as MPS does."""
    global _float64
    _float64 = False
    try:
        yield
    finally:
        _float64 = True


def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """What torch's trees do for all kinds of nodes, for arguments and results of operations, in a third of the time."""
    if isinstance(value, (list, tuple)):
        return type(value)([_mapped(change, each) for each in value])
    return change(value)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [found for each in value for found in _tensors(each)]
    return []


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors = _tensors([*args, *kwargs.values()])
    device = kwargs.get("device")
    here = any(isinstance(each, Standin) for each in tensors) if device is None else device.type == NAME
    _check(func, args, kwargs, tensors)
    if here and torch.Tag.nondeterministic_seeded in func.tags:
        raise RuntimeError(f"{func} draws random numbers on the device, which draws others than the CPU")
    # In-place and out= operations return what they were given.
    given = {id(each.on_cpu) if isinstance(each, Standin) else id(each): each for each in tensors}

    def wrapped(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) not in given:
            return Standin(value) if here else value
        mine = given[id(value)]
        if isinstance(mine, Standin) and mine.shape != value.shape:
            mine.data = Standin(value)  # An `out` that was too small, as in `torch.eye`.
        return mine

    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args = _mapped(_on_cpu, args)
    kwargs = {name: _mapped(_on_cpu, value) for name, value in kwargs.items()}
    if func is _aten._efficientzerotensor.default:
        func = _aten.zeros.default  # The tangents of constants have no memory, which only torch's own tensors can say.
    return _mapped(wrapped, func(*args, **kwargs))


def _on_cpu(value: Any) -> Any:
    return value.on_cpu if isinstance(value, Standin) else value


def _check(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[Tensor]) -> None:
    """Refuse what mixes devices."""
    if func in _COPIES or not any(isinstance(each, Standin) for each in tensors):
        return
    written = args[0] if func._schema.is_mutable and args else None
    for index, argument in enumerate((*args, *kwargs.values())):
        if func in _INDEXED and index == 1 and isinstance(args[0], Standin):
            continue
        for each in _tensors(argument):
            if isinstance(each, Standin):
                continue
            scalar = each.ndim == 0 and isinstance(argument, Tensor) and each is not written
            if not scalar:
                raise _mixed(f"{func}, a CPU tensor {tuple(each.shape)}")


def _mixed(where: str) -> RuntimeError:
    return RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, {DEVICE} and cpu! ({where})"
    )


def _made(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Operations without tensors, which make them."""
    return _run(func, args, kwargs)


def _copied(self: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """How `torch.tensor` fills what it has made: below the subclass."""
    return _run(_aten.copy_.default, (self, source, non_blocking), {})


_factories = torch.library.Library("_", "IMPL")
_factories.fallback(_made, "PrivateUse1")
_copies = torch.library.Library("aten", "IMPL")
_copies.impl("copy_", _copied, "PrivateUse1")


_make_grads = torch.autograd._make_grads


def _checked_grads(outputs: Any, grads: Any, is_grads_batched: bool) -> Any:
    """The gradients that `grad` and `backward` start with; autograd lets those of subclasses be anywhere."""
    for output, grad in zip(outputs, grads, strict=False):
        if isinstance(grad, Tensor) and grad.ndim and isinstance(output, Tensor) and grad.device != output.device:
            raise _mixed("the gradient of an output")
    return _make_grads(outputs, grads, is_grads_batched)


torch.autograd._make_grads = _checked_grads
