"""Whisper's text decoder over windows of many recordings, using the weights of a loaded model.

A slot holds one window: the cached keys and values of its audio and of the texts decoded from it, one text or one per
beam. All caches are allocated once. The arithmetic is that of `whisper.model`: a window that is alone gets
bit-identical results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention

from transcription_dagster.whisper.batching.decoder_weights import DecoderWeights, Layer, normed
from transcription_dagster.whisper.batching.token_rules import Ruled, TextState, TokenRules, states

#: Up to this many rows, MKL multiplies faster with the vocabulary matrix on the left.
_SKINNY_ROWS = 12


@dataclass(frozen=True, slots=True)
class Text:
    """A text to run as a whole against the audio of a slot."""

    slot: int
    tokens: Sequence[int]
    #: The positions of the audio that it attends to.
    part: slice = field(default_factory=lambda: slice(None))


class TextRow(NamedTuple):
    """One text of a slot, about to be continued.

    A tuple, because each step creates dozens while a GPU waits.
    """

    slot: int
    #: The number of the beam, 0 without beams.
    beam: int
    #: The newest token and its index in the text, prompt included.
    token: int
    position: int
    state: TextState


@dataclass(frozen=True, slots=True)
class Move:
    """Continues each beam of a slot from the first `length` tokens of the beam that `sources` gives."""

    slot: int
    sources: Sequence[int]
    length: int


@dataclass(frozen=True, slots=True)
class Step:
    """The result of a step."""

    ruled: Ruled
    #: The index in `ruled` of each requested row.
    places: Sequence[int]


class DecoderSlots:
    """`count` slots for up to `beams` texts each. The result of a slot depends on other slots only by rounding."""

    def __init__(self, weights: DecoderWeights, count: int, rules: TokenRules, *, beams: int = 1) -> None:
        dims = weights.dims
        self.count, self.beams = count, beams
        self.rules = rules
        self._heads, self._size = dims.n_text_head, dims.n_text_state // dims.n_text_head
        self._embedding, self._positions, self._norm = weights.embedding, weights.positions, weights.norm
        self._layers, self._alignment_heads = weights.layers, weights.alignment_heads
        self._length, self._sound_length = dims.n_text_ctx, dims.n_audio_ctx
        #: Cached keys and values: of the texts, shape (layers, slots x beams, heads, tokens, size), and of the audio,
        #: shape (layers, slots, heads, positions, size).
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
        """Return the memory taken by the caches."""
        caches = (self._keys, self._values, self._sound_keys, self._sound_values)
        return sum(cache.numel() * cache.element_size() for cache in caches)

    def widen(self, beams: int) -> None:
        """Make room for more beams; existing texts are kept."""
        wide = [self._room(self.count * beams, self._length) for _ in range(2)]
        for new, old in zip(wide, (self._keys, self._values), strict=True):
            new.unflatten(1, (self.count, beams))[:, :, : self.beams] = old.unflatten(1, (self.count, self.beams))
        self._keys, self._values = wide
        self.beams = beams

    def put_window(self, slot: int, features: Tensor) -> None:
        """Put an encoded window, shape (positions, width), into a slot."""
        for number, layer in enumerate(self._layers):
            for cache, projection in ((self._sound_keys, layer.key), (self._sound_values, layer.value)):
                cache[number, slot] = projection(features).unflatten(-1, (self._heads, self._size)).transpose(0, 1)

    def read(self, texts: Sequence[Text]) -> Sequence[Tensor]:
        """Read prompts, each as its slot's first text; return the decoder's states at the tokens, (tokens, width) each.

        Of several prompts for one slot, the last one is kept.
        """
        x = self._embedded(texts)
        for number, layer in enumerate(self._layers):
            own = self._apart(layer.own(normed(layer.own_norm, x)), texts, 3)
            for text, (_, key, value) in zip(texts, own, strict=True):
                row, length = text.slot * self.beams, len(text.tokens)
                self._keys[number, row, :, :length], self._values[number, row, :, :length] = key, value
            queries, x = self._listen(layer, x, texts, own)
            x = self._heard(layer, number, x, texts, queries)
        return x.split([len(text.tokens) for text in texts])

    def align(self, text: Text) -> tuple[Tensor, Tensor]:
        """Run a whole text against the audio of its slot, without changing the slot's own texts.

        Returns the logits, shape (tokens, vocabulary), and the scores of the alignment heads before softmax, shape
        (heads, tokens, positions), both float32.
        """
        scores: list[Tensor] = []
        scale = self._size**-0.25
        x = self._embedded([text])
        for number, layer in enumerate(self._layers):
            own = self._apart(layer.own(normed(layer.own_norm, x)), [text], 3)
            queries, x = self._listen(layer, x, [text], own)
            if heads := [head for one, head in self._alignment_heads if one == number]:
                keys = self._sound_keys[number, text.slot, heads]
                scores.append(((queries[0][heads] * scale) @ (keys * scale).transpose(-1, -2)).float())
            x = self._heard(layer, number, x, [text], queries)
        return self.logits(x), torch.cat(scores)

    def spread(self, slot: int, beams: int, length: int) -> None:
        """Copy the first `length` tokens of a slot's first text to its other beams."""
        first = slot * self.beams
        for cache in (self._keys, self._values):
            cache[:, first + 1 : first + beams, :, :length] = cache[:, first : first + 1, :, :length]

    def follow(self, moves: Sequence[Move]) -> None:
        """Continue beams from other beams of their slots."""
        for move in moves:
            first = move.slot * self.beams
            rows = torch.tensor(move.sources, device=self._keys.device) + first
            for cache in (self._keys, self._values):
                cache[:, first : first + len(rows), :, : move.length] = cache[:, rows, :, : move.length]

    def step(self, rows: Sequence[TextRow]) -> Step:
        """Continue texts by their newest tokens. The rows of a slot must be adjacent."""
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
        ruled = self.rules.apply(logits, torch.tensor(last, device=device), torch.tensor(lowest, device=device))
        return Step(ruled, range(len(rows)))

    def logits(self, x: Tensor, tokens: Sequence[int] | None = None) -> Tensor:
        """Return the logits for decoder states of shape (rows, width), as float32 of shape (rows, vocabulary).

        With `tokens`, return only the logits of these tokens, in their order.
        """
        x = normed(self._norm, x)
        if tokens is not None:
            return linear(x, self._embedding[list(tokens)]).float()
        if x.device.type == "cpu" and 1 < len(x) <= _SKINNY_ROWS:
            return (self._embedding @ x.t()).t().contiguous().float()
        return linear(x, self._embedding).float()

    def _embedded(self, texts: Sequence[Text]) -> Tensor:
        """Return the embedded tokens of texts, one text after another, as the decoder's input."""
        tokens = torch.tensor([token for text in texts for token in text.tokens], device=self._keys.device)
        positions = torch.cat([self._positions[: len(text.tokens)] for text in texts])
        return (self._embedding[tokens] + positions).to(self.dtype)

    def _apart(self, x: Tensor, texts: Sequence[Text], parts: int) -> list[list[Tensor]]:
        """Split the joined results of several layers by text, each as (heads, tokens, size)."""
        split = [part.unflatten(-1, (self._heads, self._size)).transpose(0, 1) for part in x.chunk(parts, -1)]
        lengths = [len(text.tokens) for text in texts]
        return [list(own) for own in zip(*(part.split(lengths, dim=1) for part in split), strict=True)]

    def _listen(
        self, layer: Layer, x: Tensor, texts: Sequence[Text], own: Sequence[Sequence[Tensor]]
    ) -> tuple[list[Tensor], Tensor]:
        """Self-attention of texts; return their queries for the audio, (heads, tokens, size), and the new state."""
        heard = [
            scaled_dot_product_attention(query[None], key[None], value[None], is_causal=query.shape[1] > 1)[0]
            for query, key, value in own
        ]
        x = x + layer.own_out(_joined(heard))
        asked = self._apart(layer.query(normed(layer.cross_norm, x)), texts, 1)
        return [query for [query] in asked], x

    def _heard(self, layer: Layer, number: int, x: Tensor, texts: Sequence[Text], queries: Sequence[Tensor]) -> Tensor:
        """Cross-attention of texts to the audio of their slots; return the new state."""
        heard = []
        for text, query in zip(texts, queries, strict=True):
            keys = self._sound_keys[number, text.slot, :, text.part]
            values = self._sound_values[number, text.slot, :, text.part]
            heard.append(scaled_dot_product_attention(query[None], keys[None], values[None])[0])
        x = x + layer.cross_out(_joined(heard))
        return x + layer.mlp(x)


def _joined(heard: Sequence[Tensor]) -> Tensor:
    """Concatenate the heads' results for each text, (heads, tokens, size), to (tokens, width)."""
    return torch.cat([one.transpose(0, 1).flatten(1) for one in heard])


def _spans(rows: Sequence[TextRow]) -> Iterator[tuple[slice, int, int]]:
    """Yield for each slot: its rows, its number, and the length of its texts."""
    first = 0
    for slot, texts in groupby(rows, key=lambda row: row.slot):
        found = list(texts)
        yield slice(first, first + len(found)), slot, found[0].position + 1
        first += len(found)
