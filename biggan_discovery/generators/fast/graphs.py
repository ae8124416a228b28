"""Calls as CUDA graphs: launched as a whole, so that small batches do not wait for Python.

A batch of few images gives a GPU kernels that end before the next is launched. A graph is recorded once and then
replayed in one launch, with the same kernels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

_WARM_UPS = 2  # cuDNN, cuBLAS and Triton choose and compile in the first calls, which cannot be recorded.
_Key = tuple[tuple[torch.Size, torch.dtype, torch.device], ...]
_log = logging.getLogger(__name__)


class _Recording(NamedTuple):
    """A graph and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    outputs: Sequence[Tensor]


class Recorded:
    """A function of tensors, by a CUDA graph for each combination of their shapes from the first call on.

    A graph keeps the memory of a call, as much as autograd and the kernels need, until this object is deleted; graphs
    of several shapes share it. A function that cannot be recorded, for lack of memory or otherwise, is called as it is,
    as on a CPU; a line in the log says so.

    Args:
        function: of tensors, to tensors that do not require a gradient. It must launch the same kernels each time: no
            numbers read back from the device, no random numbers, no choice by values. Tensors that it uses besides must
            stay in their memory, and torch's settings of arithmetic as they are.

    Example:
        >>> doubled = Recorded(lambda x: (2 * x,))
        >>> doubled(torch.ones(3))
        (tensor([2., 2., 2.]),)
    """

    def __init__(self, function: Callable[..., tuple[Tensor, ...]]):
        self._function = function
        self._recordings: dict[_Key, _Recording] = {}
        self._gives_up = False
        self._pool: Any = None

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The function's values, in memory of their own."""
        if not inputs[0].is_cuda or self._gives_up:
            return self._function(*inputs)
        key = tuple((each.shape, each.dtype, each.device) for each in inputs)
        recording = self._recordings.get(key) or self._recorded(inputs)
        if recording is None:
            self._gives_up = True
            return self._function(*inputs)
        self._recordings[key] = recording
        for own, given in zip(recording.inputs, inputs, strict=True):
            own.copy_(given)
        recording.graph.replay()
        # The next replay writes the same memory again.
        return tuple(each.clone() for each in recording.outputs)

    def _recorded(self, inputs: Sequence[Tensor]) -> _Recording | None:
        with torch.cuda.device(inputs[0].device):
            # Memory that runs out here would do so without a graph as well.
            for _ in range(_WARM_UPS):
                self._function(*inputs)
            try:
                own = [each.detach().clone() for each in inputs]
                self._pool = self._pool or torch.cuda.graph_pool_handle()
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, pool=self._pool):
                    outputs = self._function(*own)
            except RuntimeError as error:  # torch's own, of memory too
                _log.warning("gradients are not recorded as CUDA graphs: %s", str(error).splitlines()[0])
                return None
        return _Recording(graph, own, outputs)
