"""Work on a GPU, captured once as a CUDA graph and replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")

#: Runs before the capture, so that CUDA finishes its own setup.
_WARM_UPS = 3


class Recorded(Generic[Result]):
    """A function's work on the GPU, captured on its first run.

    The function must read and write tensors at fixed addresses, never wait for the device, and be idempotent. Every
    replay overwrites its return value.
    """

    def __init__(self) -> None:
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: Result

    def run(self, function: Callable[[], Result]) -> Result:
        """Run `function`, which must be the same one at every call."""
        if self._graph is None:
            # torch's default capture stream belongs to the GPU that captured first.
            stream = torch.cuda.Stream()
            _warm_up(function, stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._result = function()
            self._graph = graph
        self._graph.replay()
        return self._result


def _warm_up(function: Callable[[], object], stream: torch.cuda.Stream) -> None:
    """Run `function` on a separate stream: first-use setup cannot be captured."""
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            function()
    torch.cuda.current_stream().wait_stream(stream)
