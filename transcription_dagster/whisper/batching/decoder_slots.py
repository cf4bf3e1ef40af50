"""Whisper's text decoder over windows of many recordings, using the weights of a loaded model.

A slot holds one window: the cached keys and values of its audio and of the texts decoded from it, one text or one per
beam. All caches are allocated once. The operations and their shapes are those of `whisper.model`, so that a window
which is alone, without beams, gets bit-identical results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import LayerNorm, Linear
from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention
from whisper.model import ResidualAttentionBlock, Whisper

from transcription_dagster.whisper.batching.token_rules import Ruled, TextState, TokenRules, states

#: Up to this many rows, MKL multiplies faster with the vocabulary matrix on the left. The last bits differ.
_SKINNY_ROWS = 12
#: A processor multiplies rows in blocks of this many. Leaving out whole blocks does not change the bits of the others,
#: as long as one block remains.
_BLOCK_ROWS = 8


class _Linear:
    """Linear layers joined into one. The layers keep views of the joined matrix, so nothing is stored twice."""

    def __init__(self, *layers: Linear) -> None:
        with torch.no_grad():
            self.weight = torch.cat([layer.weight for layer in layers]).detach()
            # The key projection of an attention has no bias.
            self.bias = None if len(layers) == 1 and layers[0].bias is None else _joined_biases(layers)
            first = 0
            for layer in layers:
                size = len(layer.weight)
                layer.weight.data = self.weight[first : first + size]
                if layer.bias is not None and self.bias is not None:
                    layer.bias.data = self.bias[first : first + size]
                first += size

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def _joined_biases(layers: Sequence[Linear]) -> Tensor:
    biases = [layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias for layer in layers]
    return torch.cat(biases).detach()


class Layer:
    """One block of the decoder."""

    def __init__(self, block: ResidualAttentionBlock) -> None:
        attention, cross = block.attn, block.cross_attn
        if cross is None:
            raise ValueError("a block without cross-attention is not one of a decoder")
        self.self_norm: LayerNorm = block.attn_ln
        self.cross_norm: LayerNorm = block.cross_attn_ln  # type: ignore[assignment]  # there, as the attention is
        self.mlp_norm: LayerNorm = block.mlp_ln
        self.qkv, self.self_out = _Linear(attention.query, attention.key, attention.value), _Linear(attention.out)
        self.cross_query = _Linear(cross.query)
        self.cross_key, self.cross_value = _Linear(cross.key), _Linear(cross.value)
        self.cross_out = _Linear(cross.out)
        first, _, second = block.mlp
        self.mlp_in, self.mlp_out = _Linear(first), _Linear(second)  # type: ignore[arg-type]  # it says Module

    def mlp(self, x: Tensor) -> Tensor:
        return self.mlp_out(gelu(self.mlp_in(normed(self.mlp_norm, x))))


def normed(norm: LayerNorm, x: Tensor) -> Tensor:
    """Normalise in float32, as Whisper does."""
    normalised = layer_norm(x.float(), norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return normalised.to(x.dtype)


class DecoderWeights:
    """A decoder's weights, in the type of its embeddings."""

    def __init__(self, model: Whisper) -> None:
        self.dims = model.dims
        self.embedding = model.decoder.token_embedding.weight.detach()
        self.positions = model.decoder.positional_embedding.detach()
        self.norm = model.decoder.ln
        self.layers = [Layer(block) for block in model.decoder.blocks]
        #: Layer and head of each alignment head, ordered by layer.
        self.alignment_heads: list[tuple[int, int]] = [
            (layer, head)
            for layer, head in model.alignment_heads.indices().T.tolist()  # type: ignore[operator]
        ]


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
    """Continues each beam of a slot from the first `length` tokens of the beam in `sources`."""

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
        self._length, self._audio_length = dims.n_text_ctx, dims.n_audio_ctx
        #: Cached keys and values: of the texts, shape (layers, slots x beams, heads, tokens, size), and of the audio,
        #: shape (layers, slots, heads, positions, size).
        self._keys, self._values = (self._empty_cache(count * beams, self._length) for _ in range(2))
        self._audio_keys, self._audio_values = (self._empty_cache(count, self._audio_length) for _ in range(2))

    def _empty_cache(self, rows: int, length: int) -> Tensor:
        shape = (len(self._layers), rows, self._heads, length, self._size)
        return self._embedding.new_zeros(shape)

    @property
    def dtype(self) -> torch.dtype:
        return self._embedding.dtype

    @property
    def bytes(self) -> int:
        """Return the memory taken by the caches."""
        caches = (self._keys, self._values, self._audio_keys, self._audio_values)
        return sum(cache.numel() * cache.element_size() for cache in caches)

    def widen(self, beams: int) -> None:
        """Make room for more beams; existing texts are kept."""
        wide = [self._empty_cache(self.count * beams, self._length) for _ in range(2)]
        for new, old in zip(wide, (self._keys, self._values), strict=True):
            new.unflatten(1, (self.count, beams))[:, :, : self.beams] = old.unflatten(1, (self.count, self.beams))
        self._keys, self._values = wide
        self.beams = beams

    def put_window(self, slot: int, features: Tensor) -> None:
        """Put an encoded window, shape (positions, width), into a slot."""
        for number, layer in enumerate(self._layers):
            for cache, projection in ((self._audio_keys, layer.cross_key), (self._audio_values, layer.cross_value)):
                cache[number, slot] = projection(features).unflatten(-1, (self._heads, self._size)).transpose(0, 1)

    def read(self, texts: Sequence[Text]) -> Sequence[Tensor]:
        """Read prompts, each as its slot's first text; return the decoder's states at the tokens, (tokens, width) each.

        Of several prompts for one slot, the last one is kept.
        """
        x = self._embedded(texts)
        for number, layer in enumerate(self._layers):
            attended: list[Tensor] = []
            for text, (query, key, value) in zip(texts, self._self_qkv(layer, x, texts), strict=True):
                row, length = text.slot * self.beams, len(text.tokens)
                self._keys[number, row, :, :length], self._values[number, row, :, :length] = key, value
                causal = length > 1
                attended += scaled_dot_product_attention(query[None], key[None], value[None], is_causal=causal)
            x = x + layer.self_out(_joined(attended))
            attended = []
            for text, query in zip(texts, self._cross_queries(layer, x, texts), strict=True):
                keys = self._audio_keys[number, text.slot, :, text.part]
                values = self._audio_values[number, text.slot, :, text.part]
                attended += scaled_dot_product_attention(query[None], keys[None], values[None])
            x = x + layer.cross_out(_joined(attended))
            x = x + layer.mlp(x)
        return x.split([len(text.tokens) for text in texts])

    def align(self, text: Text) -> tuple[Tensor, Tensor]:
        """Run a whole text against the audio of its slot, without changing the slot's own texts.

        Returns the logits, shape (tokens, vocabulary), and the scores of the alignment heads before softmax, shape
        (heads, tokens, positions), both float32. Like Whisper, computes the attention step by step, because the fused
        operation does not return the scores.
        """
        scores: list[Tensor] = []
        x = self._embedded([text])
        later = x.new_full((len(x), len(x)), -torch.inf).triu_(1)
        for number, layer in enumerate(self._layers):
            [(query, key, value)] = self._self_qkv(layer, x, [text])
            x = x + layer.self_out(_joined([_attention(query, key, value, later)[0]]))
            [query] = self._cross_queries(layer, x, [text])
            keys, values = self._audio_keys[number, text.slot], self._audio_values[number, text.slot]
            attended, scored = _attention(query, keys, values)
            x = x + layer.cross_out(_joined([attended]))
            x = x + layer.mlp(x)
            scores.append(scored[[head for one, head in self._alignment_heads if one == number]])
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
        attended = x.new_empty((len(rows), self._heads, self._size))
        for number, layer in enumerate(self._layers):
            query, key, value = layer.qkv(normed(layer.self_norm, x)).view(-1, 3, self._heads, self._size).unbind(1)
            keys, values = self._keys[number], self._values[number]
            keys.index_put_((places[:, None], heads, positions[:, None]), key)
            values.index_put_((places[:, None], heads, positions[:, None]), value)
            for part, slot, length in spans:
                texts = slice(slot * self.beams, slot * self.beams + part.stop - part.start)
                known = keys[texts, :, :length], values[texts, :, :length]
                attended[part] = scaled_dot_product_attention(query[part, :, None], *known)[:, :, 0]
            x = x + layer.self_out(attended.flatten(1))
            query = layer.cross_query(normed(layer.cross_norm, x)).view(-1, self._heads, self._size)
            for part, slot, _ in spans:
                sound = self._audio_keys[number, slot : slot + 1], self._audio_values[number, slot : slot + 1]
                attended[part] = scaled_dot_product_attention(query[part].transpose(0, 1)[None], *sound)[0].transpose(
                    0, 1
                )
            x = x + layer.cross_out(attended.flatten(1))
            x = x + layer.mlp(x)
        last, lowest = states([row.state for row in rows])
        logits = self._logits_of_step(x)
        ruled = self.rules.apply(logits, torch.tensor(last, device=device), torch.tensor(lowest, device=device))
        return Step(ruled, range(len(rows)))

    def logits(self, x: Tensor, tokens: Sequence[int] | None = None) -> Tensor:
        """Return the logits for decoder states of shape (rows, width), as float32 of shape (rows, vocabulary).

        With `tokens`, return only the logits of these tokens, in their order.
        """
        embedding = self._embedding if tokens is None else self._embedding[list(tokens)]
        return linear(normed(self._norm, x), embedding).float()

    def prompt_logits(self, x: Tensor) -> Tensor:
        """Return the logits at the last tokens of a prompt: all of a short one, eight or more of a long one.

        They have the bits of the logits at all tokens, as Whisper computes them, at a tenth of the cost.
        """
        return self.logits(x[max(0, len(x) - _BLOCK_ROWS) // _BLOCK_ROWS * _BLOCK_ROWS :])

    def _logits_of_step(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and 1 < len(x) <= _SKINNY_ROWS:
            return (self._embedding @ normed(self._norm, x).t()).t().contiguous().float()
        return self.logits(x)

    def _embedded(self, texts: Sequence[Text]) -> Tensor:
        """Return the embedded tokens of texts, one text after another, as the decoder's input."""
        tokens = torch.tensor([token for text in texts for token in text.tokens], device=self._keys.device)
        positions = torch.cat([self._positions[: len(text.tokens)] for text in texts])
        return (self._embedding[tokens] + positions).to(self.dtype)

    def _self_qkv(self, layer: Layer, x: Tensor, texts: Sequence[Text]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield each text's queries, keys and values of the self-attention, each as (heads, tokens, size)."""
        projected = layer.qkv(normed(layer.self_norm, x)).unflatten(-1, (3, self._heads, self._size))
        for part in projected.split([len(text.tokens) for text in texts]):
            query, key, value = part.transpose(0, 2).unbind(1)
            yield query, key, value

    def _cross_queries(self, layer: Layer, x: Tensor, texts: Sequence[Text]) -> Iterator[Tensor]:
        """Yield each text's queries of the cross-attention, as (heads, tokens, size)."""
        projected = layer.cross_query(normed(layer.cross_norm, x)).unflatten(-1, (self._heads, self._size))
        for part in projected.split([len(text.tokens) for text in texts]):
            yield part.transpose(0, 1)


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the result of an attention, (heads, tokens, size), and its scores before softmax, as float32."""
    scale = query.shape[-1] ** -0.25
    scores = (query * scale) @ (key * scale).transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    scores = scores.float()
    return scores.softmax(-1).to(query.dtype) @ value, scores


def _joined(attended: Sequence[Tensor]) -> Tensor:
    """Concatenate the heads' results for each text, (heads, tokens, size), to (tokens, width)."""
    return torch.cat([one.transpose(0, 1).flatten(1) for one in attended])


def _spans(rows: Sequence[TextRow]) -> Iterator[tuple[slice, int, int]]:
    """Yield for each slot: its rows, its number, and the length of its texts."""
    first = 0
    for slot, texts in groupby(rows, key=lambda row: row.slot):
        texts_of_slot = list(texts)
        yield slice(first, first + len(texts_of_slot)), slot, texts_of_slot[0].position + 1
        first += len(texts_of_slot)
