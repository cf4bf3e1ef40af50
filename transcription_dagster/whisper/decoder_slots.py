"""Whisper's text decoder over the windows of many recordings, on the weights of a loaded model.

A slot holds one window: the keys and values of its sound, and those of the texts that are decoded from it, one or as
many as beams. All of it is allocated once. The arithmetic is that of `whisper.model`, so that one window alone gets the
very bits that Whisper gives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention

from transcription_dagster.whisper.decoder_weights import DecoderWeights, Layer, normed
from transcription_dagster.whisper.token_rules import Ruled, TextState, TokenRules, states

#: Up to so many rows MKL multiplies faster with the vocabulary's matrix on the left.
_SKINNY_ROWS = 12

#: All positions of a sound.
_ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Row:
    """One text of a slot, about to be continued."""

    slot: int
    #: 0, or the number of the beam.
    beam: int
    #: The newest token, and its place in the text, prompt included.
    token: int
    position: int
    state: TextState


@dataclass(frozen=True, slots=True)
class Step:
    """What a step gave."""

    ruled: Ruled
    #: For each row that was asked for, its place among those of `ruled`.
    places: Sequence[int]


class DecoderSlots:
    """`count` slots for up to `beams` texts each. What is computed of a slot depends on no other but for rounding."""

    def __init__(self, weights: DecoderWeights, count: int, rules: TokenRules, *, beams: int = 1) -> None:
        dims = weights.dims
        self.count, self.beams = count, beams
        self._rules = rules
        self._heads, self._size = dims.n_text_head, dims.n_text_state // dims.n_text_head
        self._embedding, self._positions, self._norm = weights.embedding, weights.positions, weights.norm
        self._layers, self._alignment_heads = weights.layers, weights.alignment_heads
        self._length, self._sound_length = dims.n_text_ctx, dims.n_audio_ctx
        #: Keys and values of the texts, (layers, slots x beams, heads, tokens, size), and of the sound, (layers, slots,
        #: heads, positions, size).
        self._keys, self._values = (self._room(count * beams, self._length) for _ in range(2))
        self._sound_keys, self._sound_values = (self._room(count, self._sound_length) for _ in range(2))

    def _room(self, rows: int, length: int) -> Tensor:
        shape = (len(self._layers), rows, self._heads, length, self._size)
        return self._embedding.new_zeros(shape)

    @property
    def dtype(self) -> torch.dtype:
        return self._embedding.dtype

    @property
    def bytes(self) -> int:
        """What the caches take."""
        caches = (self._keys, self._values, self._sound_keys, self._sound_values)
        return sum(cache.numel() * cache.element_size() for cache in caches)

    def widen(self, beams: int) -> None:
        """Make room for more beams; the texts that are there stay."""
        wide = [self._room(self.count * beams, self._length) for _ in range(2)]
        for new, old in zip(wide, (self._keys, self._values), strict=True):
            new.unflatten(1, (self.count, beams))[:, :, : self.beams] = old.unflatten(1, (self.count, self.beams))
        self._keys, self._values = wide
        self.beams = beams

    def hear(self, slot: int, features: Tensor) -> None:
        """Put a window's encoded sound, shape (positions, width), into a slot."""
        for number, layer in enumerate(self._layers):
            for cache, projection in ((self._sound_keys, layer.key), (self._sound_values, layer.value)):
                cache[number, slot] = projection(features).view(-1, self._heads, self._size).transpose(0, 1)

    def read(self, slot: int, tokens: Sequence[int], part: slice = _ALL) -> Tensor:
        """Read a prompt into a slot, as its first text; return the decoder's state at each token, (tokens, width).

        It attends to `part` of the sound's positions.
        """
        row = slot * self.beams
        x = self._embedded(tokens)
        for number, layer in enumerate(self._layers):
            own = self._apart(layer.own(normed(layer.own_norm, x)), 3)
            self._keys[number, row, :, : len(tokens)], self._values[number, row, :, : len(tokens)] = own[1:]
            query, x = self._listen(layer, x, own)
            x = self._heard(layer, number, slot, x, query, part)
        return x

    def align(self, slot: int, tokens: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Attend from a whole text to the sound of a slot, whose own texts stay.

        Returns the logits, (tokens, vocabulary), and the scores of the alignment heads before softmax, (heads, tokens,
        positions), both float32.
        """
        scores: dict[int, Tensor] = {}
        scale = self._size**-0.25
        x = self._embedded(tokens)
        for number, layer in enumerate(self._layers):
            query, x = self._listen(layer, x, self._apart(layer.own(normed(layer.own_norm, x)), 3))
            if heads := [head for one, head in self._alignment_heads if one == number]:
                keys = self._sound_keys[number, slot, heads]
                scores[number] = ((query[heads] * scale) @ (keys * scale).transpose(-1, -2)).float()
            x = self._heard(layer, number, slot, x, query)
        return self.logits(x), torch.cat([scores[layer] for layer in sorted(scores)])

    def spread(self, slot: int, beams: int, length: int) -> None:
        """Let all beams of a slot begin with the first `length` tokens of its first text."""
        first = slot * self.beams
        for cache in (self._keys, self._values):
            cache[:, first + 1 : first + beams, :, :length] = cache[:, first : first + 1, :, :length]

    def follow(self, slot: int, sources: Sequence[int], length: int) -> None:
        """Let each beam of a slot go on from the first `length` tokens of the beam that `sources` names."""
        if list(sources) == list(range(len(sources))):
            return
        first = slot * self.beams
        rows = torch.tensor(sources, device=self._keys.device) + first
        for cache in (self._keys, self._values):
            cache[:, first : first + len(sources), :, :length] = cache[:, rows, :, :length]

    def step(self, rows: Sequence[Row]) -> Step:
        """Continue texts by their newest tokens. The rows of a slot follow one another."""
        device = self._keys.device
        places = torch.tensor([row.slot * self.beams + row.beam for row in rows], device=device)
        positions = torch.tensor([row.position for row in rows], device=device)
        tokens = torch.tensor([row.token for row in rows], device=device)
        heads = torch.arange(self._heads, device=device)
        spans = list(_spans(rows))
        x = (self._embedding[tokens] + self._positions[positions]).to(self._embedding.dtype)
        heard = x.new_empty((len(rows), self._heads, self._size))
        for number, layer in enumerate(self._layers):
            query, key, value = layer.own(normed(layer.own_norm, x)).view(-1, 3, self._heads, self._size).unbind(1)
            keys, values = self._keys[number], self._values[number]
            keys.index_put_((places[:, None], heads, positions[:, None]), key)
            values.index_put_((places[:, None], heads, positions[:, None]), value)
            for part, slot, length in spans:
                texts = slice(slot * self.beams, slot * self.beams + part.stop - part.start)
                known = keys[texts, :, :length], values[texts, :, :length]
                heard[part] = scaled_dot_product_attention(query[part, :, None], *known)[:, :, 0]
            x = x + layer.own_out(heard.flatten(1))
            query = layer.query(normed(layer.cross_norm, x)).view(-1, self._heads, self._size)
            for part, slot, _ in spans:
                sound = self._sound_keys[number, slot : slot + 1], self._sound_values[number, slot : slot + 1]
                heard[part] = scaled_dot_product_attention(query[part].transpose(0, 1)[None], *sound)[0].transpose(0, 1)
            x = x + layer.cross_out(heard.flatten(1))
            x = x + layer.mlp(x)
        last, lowest = states([row.state for row in rows])
        logits = self.logits(x)
        ruled = self._rules.apply(logits, torch.tensor(last, device=device), torch.tensor(lowest, device=device))
        return Step(ruled, range(len(rows)))

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of the decoder's state, (rows, width), as float32 of shape (rows, vocabulary)."""
        x = normed(self._norm, x)
        if x.device.type == "cpu" and 1 < len(x) <= _SKINNY_ROWS:
            return (self._embedding @ x.t()).t().contiguous().float()
        return linear(x, self._embedding).float()

    def _embedded(self, tokens: Sequence[int]) -> Tensor:
        embedded = self._embedding[torch.tensor(tokens, device=self._keys.device)]
        return (embedded + self._positions[: len(tokens)]).to(embedded.dtype)

    def _apart(self, x: Tensor, parts: int) -> list[Tensor]:
        """Return the joined results of some layers, (tokens, parts x width), each as (heads, tokens, size)."""
        return [part.view(len(x), self._heads, self._size).transpose(0, 1) for part in x.chunk(parts, -1)]

    def _listen(self, layer: Layer, x: Tensor, own: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Attend from a text to itself; return what it asks of the sound, (heads, tokens, size), and its state."""
        query, key, value = (part[None] for part in own)
        heard = scaled_dot_product_attention(query, key, value, is_causal=len(x) > 1)
        x = x + layer.own_out(_joined(heard[0]))
        [query] = self._apart(layer.query(normed(layer.cross_norm, x)), 1)
        return query, x

    def _heard(self, layer: Layer, number: int, slot: int, x: Tensor, query: Tensor, part: slice = _ALL) -> Tensor:
        """Return the state of a text that has attended to part of the sound of a slot."""
        keys, values = self._sound_keys[number, slot, :, part], self._sound_values[number, slot, :, part]
        sound = keys[None], values[None]
        x = x + layer.cross_out(_joined(scaled_dot_product_attention(query[None], *sound)[0]))
        return x + layer.mlp(x)


def _joined(heard: Tensor) -> Tensor:
    """Return what the heads heard, (heads, tokens, size), side by side."""
    return heard.transpose(0, 1).flatten(1)


def _spans(rows: Sequence[Row]) -> Iterator[tuple[slice, int, int]]:
    """Yield the rows of each slot, the slot, and the length of its texts."""
    first = 0
    for slot, texts in groupby(rows, key=lambda row: row.slot):
        found = list(texts)
        yield slice(first, first + len(found)), slot, found[0].position + 1
        first += len(found)
