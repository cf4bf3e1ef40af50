"""Slots with fixed shapes and addresses, for a GPU: a step is captured once as a CUDA graph and replayed.

Launching the kernels of a step one by one takes a GPU longer than running them. Since every step computes all slots,
used or not, the results of a window do not depend on other windows, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from transcription_dagster.whisper.batching.decoder_slots import (
    DecoderSlots,
    DecoderWeights,
    Move,
    Step,
    TextRow,
    normed,
)
from transcription_dagster.whisper.batching.token_rules import Ruled, TokenRules

Result = TypeVar("Result")

#: Runs before the capture, so that CUDA finishes its own setup.
_WARM_UPS = 3


class FixedSlots(DecoderSlots):
    """Every step computes all texts of all slots; the caller selects the rows that it needs."""

    def __init__(self, weights: DecoderWeights, count: int, rules: TokenRules, *, beams: int = 1) -> None:
        super().__init__(weights, count, rules, beams=beams)
        self._prepare()

    def widen(self, beams: int) -> None:
        super().widen(beams)
        self._prepare()

    def _prepare(self) -> None:
        rows, device = self.count * self.beams, self._keys.device
        on_gpu = device.type == "cuda"
        self._places = torch.arange(rows, device=device)[:, None]
        self._head_places = torch.arange(self._heads, device=device)
        self._positions_read = torch.arange(self._length, device=device)
        #: For each row: token, position, and the two fields of its state. First on the host, then on the device.
        self._wanted = torch.zeros((4, rows), dtype=torch.long, pin_memory=on_gpu)
        self._wanted_numbers = self._wanted.numpy()
        self._inputs = torch.zeros((4, rows), dtype=torch.long, device=device)
        self._recorded = Recorded[Ruled]()

    def put_window(self, slot: int, features: Tensor) -> None:
        # The mask hides what a previous window left, but 0 times NaN is NaN.
        rows = slice(slot * self.beams, (slot + 1) * self.beams)
        self._keys[:, rows] = 0
        self._values[:, rows] = 0
        super().put_window(slot, features)

    def follow(self, moves: Sequence[Move]) -> None:
        if not moves:
            return
        # All slots at once: a separate operation for each would take a GPU longer.
        firsts = [(move.slot * self.beams, move.sources) for move in moves]
        targets = [first + number for first, sources in firsts for number in range(len(sources))]
        origins = [first + source for first, sources in firsts for source in sources]
        places = torch.tensor([targets, origins], device=self._keys.device)
        length = max(move.length for move in moves)
        for cache in (self._keys, self._values):
            cache[:, places[0], :, :length] = cache[:, places[1], :, :length]

    def step(self, rows: Sequence[TextRow]) -> Step:
        places = [row.slot * self.beams + row.beam for row in rows]
        # Rows that were not requested write to the last position, which every text overwrites before it reads it.
        self._wanted_numbers[:] = 0
        self._wanted_numbers[1] = self._length - 1
        values = [(row.token, row.position, row.state.last, row.state.lowest) for row in rows]
        self._wanted_numbers[:, places] = np.array(values).T
        self._inputs.copy_(self._wanted, non_blocking=True)
        ruled = self._recorded.run(self._continue) if self._inputs.is_cuda else self._continue()
        return Step(ruled, places)

    def _continue(self) -> Ruled:
        token, position, last, lowest = self._inputs
        rows, sound = len(token), (self.count, self.beams, self._heads, self._size)
        known = (self._positions_read <= position[:, None])[:, None, None]
        x = (self._embedding[token] + self._positions[position]).to(self.dtype)
        for number, layer in enumerate(self._layers):
            query, key, value = layer.qkv(normed(layer.self_norm, x)).view(rows, 3, self._heads, self._size).unbind(1)
            keys, values = self._keys[number], self._values[number]
            keys.index_put_((self._places, self._head_places, position[:, None]), key)
            values.index_put_((self._places, self._head_places, position[:, None]), value)
            attended = scaled_dot_product_attention(query[:, :, None], keys, values, attn_mask=known)
            x = x + layer.self_out(attended.reshape(rows, -1))
            query = layer.cross_query(normed(layer.cross_norm, x)).view(sound).transpose(1, 2)
            attended = scaled_dot_product_attention(query, self._audio_keys[number], self._audio_values[number])
            x = x + layer.cross_out(attended.transpose(1, 2).reshape(rows, -1))
            x = x + layer.mlp(x)
        return self.rules.apply(self.logits(x), last, lowest)


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
