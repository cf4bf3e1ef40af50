"""Slots with fixed shapes and addresses, for a GPU: a step is captured once as a CUDA graph and replayed.

Launching the kernels of a step one by one takes a GPU longer than running them. Since every step computes all slots,
used or not, the results of a window do not depend on other windows, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from transcription_dagster.whisper.batching.decoder_slots import DecoderSlots, Move, Step, TextRow
from transcription_dagster.whisper.batching.decoder_weights import DecoderWeights, normed
from transcription_dagster.whisper.batching.recorded import Recorded
from transcription_dagster.whisper.batching.token_rules import Ruled, TokenRules


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
        found = [first + source for first, sources in firsts for source in sources]
        places = torch.tensor([targets, found], device=self._keys.device)
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
            query, key, value = layer.own(normed(layer.own_norm, x)).view(rows, 3, self._heads, self._size).unbind(1)
            keys, values = self._keys[number], self._values[number]
            keys.index_put_((self._places, self._head_places, position[:, None]), key)
            values.index_put_((self._places, self._head_places, position[:, None]), value)
            attended = scaled_dot_product_attention(query[:, :, None], keys, values, attn_mask=known)
            x = x + layer.own_out(attended.reshape(rows, -1))
            query = layer.query(normed(layer.cross_norm, x)).view(sound).transpose(1, 2)
            attended = scaled_dot_product_attention(query, self._sound_keys[number], self._sound_values[number])
            x = x + layer.cross_out(attended.transpose(1, 2).reshape(rows, -1))
            x = x + layer.mlp(x)
        return self.rules.apply(self.logits(x), last, lowest)
