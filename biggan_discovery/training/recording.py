"""A training step as a CUDA graph: launched as a whole, so that the GPU does not wait for Python."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

_WARM_UPS = 3  # Libraries choose and compile kernels in the first calls, which cannot be recorded.
_log = logging.getLogger(__name__)


class Recorded:
    """A step that is called a few times as it is, then recorded, and replayed from then on.

    Call it on the stream that it is to be recorded on, always the same one, and not the default one. All calls compute
    the same, whether replayed or not. A step that cannot be recorded, or is not on a GPU, is called as it is; a line in
    the log says why.

    Args:
        step: function of a random generator that works on tensors that stay in their memory, reads no number back from
            the device, and launches the same kernels every time.
        device: of the tensors.
        record: whether to record at all.

    Example:
        >>> total = torch.zeros(())
        >>> step = Recorded(lambda generator: total.add_(torch.rand((), generator=generator)), torch.device("cpu"))
        >>> step(seed=0)
    """

    def __init__(self, step: Callable[[torch.Generator], object], device: torch.device, *, record: bool = True):
        self._step, self._device = step, device
        self._generator = torch.Generator(device)
        self._first_numbers = torch.empty(4, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._said = False
        self._calls_before = _WARM_UPS if record and device.type == "cuda" else -1

    def __call__(self, seed: int) -> None:
        """One step with the random numbers of a seed."""
        if self._calls_before == 0:
            self._record()
        self._calls_before -= 1
        self._generator.manual_seed(seed)
        if self._graph is None:
            self._call()
        else:
            self._replay(seed)

    def _call(self) -> None:
        self._first_numbers.copy_(self._random(self._generator))
        self._step(self._generator)

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            graph.register_generator_state(self._generator)
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream(self._device)):
                self._call()
        except Exception as error:  # Whatever it is, the step itself has worked before.
            self._give_up((str(error).splitlines() or [type(error).__name__])[0])
        else:
            self._graph = graph

    def _replay(self, seed: int) -> None:
        assert self._graph is not None
        self._graph.replay()
        if self._said:
            return
        # Once: a recording that repeats the same random numbers would train on the same latents for ever.
        self._said = True
        expected = self._random(torch.Generator(self._device).manual_seed(seed))
        if torch.equal(self._first_numbers, expected):
            _log.info("steps are replayed as a CUDA graph")
        else:
            self._give_up("its random numbers do not follow the seed")

    def _give_up(self, reason: str) -> None:
        _log.warning("steps are not replayed as a CUDA graph, and are slower: %s", reason)
        self._graph = None
        torch.cuda.synchronize(self._device)
        self._generator = torch.Generator(self._device)  # The other one may still belong to the recording.

    def _random(self, generator: torch.Generator) -> Tensor:
        return torch.rand(4, device=self._device, generator=generator)
