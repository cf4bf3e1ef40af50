"""Work on a GPU that is recorded once, as a CUDA graph, and replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")

#: Runs that CUDA is given to set itself up before one is recorded.
_WARM_UPS = 3


class Recorded(Generic[Result]):
    """A function's work on the GPU, recorded when it is first asked for.

    The function reads and writes tensors at fixed addresses, never waits for the device, and may run several times with
    the same effect as once. What it returns is written anew by every replay.
    """

    def __init__(self) -> None:
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: Result

    def run(self, function: Callable[[], Result]) -> Result:
        """Do the work of `function`, which is the same one at every call."""
        if self._graph is None:
            self._warm_up(function)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._result = function()
            self._graph = graph
        self._graph.replay()
        return self._result

    def _warm_up(self, function: Callable[[], Result]) -> None:
        """Run the function on a stream of its own: what is set up on first use cannot be recorded."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                function()
        torch.cuda.current_stream().wait_stream(stream)
