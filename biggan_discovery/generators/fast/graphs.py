"""Gradients as CUDA graphs: launched as a whole, so that small batches do not wait for Python.

A batch of few images gives a GPU kernels that end before the next is launched. A graph is recorded once and then
replayed in one launch, with the same kernels and results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

_WARM_UPS = 3  # cuDNN, cuBLAS and Triton choose and compile in the first calls, which cannot be recorded.
_Key = tuple[tuple[torch.Size, torch.dtype, torch.device, bool], ...]


class _Recording(NamedTuple):
    """A graph and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    weight: Tensor
    values: Tensor
    gradients: list[Tensor | None]


class RecordedGradients:
    """Values of a function and the gradients of their weighted sum, by a CUDA graph for each combination of shapes.

    A graph keeps the memory of a call, as much as autograd and the kernels need, until this object is deleted; graphs
    of several shapes share it. On a CPU the function is called as it is.

    Args:
        function: of tensors, to values (N,). It must compute the same kernels each time: no numbers read back from the
            device, no random numbers, no choice by values. Tensors that it uses besides must stay in their memory.

    Example:
        >>> squares = RecordedGradients(lambda x: x.square().sum(1))
        >>> values, (gradient,) = squares([torch.ones(2, 3, requires_grad=True)], 0.5)
        >>> values, gradient
        (tensor([3., 3.]), tensor([[1., 1., 1.],
                [1., 1., 1.]]))
    """

    def __init__(self, function: Callable[..., Tensor]):
        self._function = function
        self._recordings: dict[_Key, _Recording] = {}
        self._pool: Any = None

    def __call__(self, inputs: Sequence[Tensor], weight: float) -> tuple[Tensor, list[Tensor | None]]:
        """Values (N,), and the gradient of weight·values.sum() for each input, None where it requires none.

        Args:
            inputs: leaves; those that require a gradient get one.
            weight: as for a loss that is scaled.
        """
        if not inputs[0].is_cuda:
            return self._gradients(inputs, torch.tensor(weight, device=inputs[0].device))
        key = tuple((each.shape, each.dtype, each.device, each.requires_grad) for each in inputs)
        if key not in self._recordings:
            self._recordings[key] = self._record(inputs)
        recording = self._recordings[key]
        with torch.no_grad():
            for own, given in zip(recording.inputs, inputs, strict=True):
                own.copy_(given)
            recording.weight.fill_(weight)
        recording.graph.replay()
        # The next replay writes the same memory again.
        return recording.values.clone(), [None if each is None else each.clone() for each in recording.gradients]

    def _record(self, inputs: Sequence[Tensor]) -> _Recording:
        own = [each.detach().clone().requires_grad_(each.requires_grad) for each in inputs]
        weight = torch.ones((), device=own[0].device)
        with torch.cuda.device(own[0].device):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    self._gradients(own, weight)
            torch.cuda.current_stream().wait_stream(stream)
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                values, gradients = self._gradients(own, weight)
        return _Recording(graph, own, weight, values, gradients)

    def _gradients(self, inputs: Sequence[Tensor], weight: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        wanted = [each for each in inputs if each.requires_grad]
        with torch.enable_grad():
            values = self._function(*inputs)
        found = iter(torch.autograd.grad(values, wanted, weight.to(values.dtype).expand_as(values)))
        return values.detach(), [next(found) if each.requires_grad else None for each in inputs]
