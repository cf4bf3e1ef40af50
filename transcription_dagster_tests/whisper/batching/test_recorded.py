"""Work that is warmed up, captured and replayed, on a fake of CUDA and on a GPU if there is one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from transcription_dagster.whisper.batching.recorded import Recorded

#: The parameters of torch's real function.
GRAPH = inspect.signature(torch.cuda.graph.__init__)


class Cuda:
    """Records the calls that it receives."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        for name in ("CUDAGraph", "graph", "Stream", "current_stream", "stream"):
            patch.setattr(torch.cuda, name, getattr(self, f"make_{name}"))

    def make_CUDAGraph(self) -> Graph:
        return Graph(self)

    def make_Stream(self) -> Stream:
        return Stream("side", self)

    def make_current_stream(self) -> Stream:
        return Stream("current", self)

    @contextmanager
    def make_stream(self, stream: Stream) -> Iterator[None]:
        self.calls.append(f"on {stream.name}")
        yield
        self.calls.append(f"off {stream.name}")

    @contextmanager
    def make_graph(self, graph: Graph, *, stream: Stream, **options: str) -> Iterator[None]:
        GRAPH.bind(None, graph, stream=stream, **options)
        assert options["capture_error_mode"] == "thread_local"
        self.calls.append(f"record on {stream.name}")
        yield
        self.calls.append("recorded")


class Stream:
    def __init__(self, name: str, cuda: Cuda) -> None:
        self.name = name
        self._cuda = cuda

    def wait_stream(self, other: Stream) -> None:
        self._cuda.calls.append(f"{self.name} waits for {other.name}")


class Graph:
    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda

    def replay(self) -> None:
        self._cuda.calls.append("replay")


def test_work_is_warmed_up_captured_once_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    recorded = Recorded[list[int]]()
    results = [recorded.run(lambda: cuda.calls.append("work") or [7]) for _ in range(3)]
    assert cuda.calls == [
        "side waits for current",
        "on side",
        *["work"] * 3,
        "off side",
        "current waits for side",
        "record on side",
        "work",
        "recorded",
        *["replay"] * 3,
    ]
    assert results[0] is results[1] is results[2]


def test_a_failed_capture_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    recorded = Recorded[None]()

    def fail() -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        recorded.run(fail)
    assert "replay" not in cuda.calls
    recorded.run(lambda: None)
    assert cuda.calls[-3:] == ["record on side", "recorded", "replay"]


@pytest.mark.requires_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
def test_every_replay_computes_again_on_a_gpu() -> None:
    given = torch.zeros(4, device="cuda")
    recorded = Recorded[torch.Tensor]()
    for number in range(3):
        given.fill_(number)
        assert recorded.run(lambda: given * 2).tolist() == [2.0 * number] * 4
