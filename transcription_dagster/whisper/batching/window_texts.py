"""The text of a window while it is being decoded: one text, greedy or sampled, or several beams.

The results equal those of `GreedyDecoder` and of `BeamSearchDecoder` with `MaximumLikelihoodRanker` in
`whisper.decoding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch.distributions import Categorical
from whisper.utils import compression_ratio

from transcription_dagster.whisper.batching.decoder_slots import TextRow
from transcription_dagster.whisper.batching.token_rules import Ruled, TextState, TokenRules
from transcription_dagster.whisper.decoding.requests import Decode, Decoded


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop a text that does not end by itself."""

    #: Tokens, the prompt included.
    length: int
    #: Tokens generated.
    sampled: int


class WindowText(Protocol):
    """A decoding in progress."""

    #: Number of texts in its slot.
    beams: int

    def rows(self, slot: int) -> list[TextRow]:
        """Return the rows for the next step of the decoder."""
        ...

    def choose(self, ruled: Ruled, first: int, chosen: Choices) -> Sequence[int]:
        """Add the next token of each text, from the rows of `ruled` starting at `first`.

        Returns, for each text, the beam that it continues.
        """
        ...

    @property
    def complete(self) -> bool: ...

    def best(self) -> tuple[list[int], float]:
        """Return the tokens of the best text, without the end-of-text token, and their total log probability."""
        ...


@dataclass(frozen=True, slots=True)
class Choices:
    """The likeliest token of each row, copied to the host."""

    tokens: Sequence[int]
    log_probabilities: np.ndarray

    @staticmethod
    def of(ruled: Ruled) -> Choices:
        return Choices(ruled.best.tolist(), ruled.log_probability.cpu().numpy())


def new_text(request: Decode, prompt: int, rules: TokenRules, limits: Limits, random: torch.Generator) -> WindowText:
    """Return the empty text of a request whose prompt has `prompt` tokens."""
    if request.temperature > 0:
        return SingleText(rules, prompt, limits, request.temperature, random)
    if request.beam_size is None:
        return SingleText(rules, prompt, limits)
    return Beams(rules, prompt, limits, request.beam_size)


def decoded(text: WindowText, request: Decode, no_speech_probability: float) -> Decoded:
    """Return a complete text as the answer to its request."""
    tokens, log_probability = text.best()
    return Decoded(
        tuple(tokens),
        log_probability / (len(tokens) + 1),
        no_speech_probability,
        compression_ratio(request.tokenizer.decode(tokens).strip()),
        request.temperature,
    )


class SingleText:
    """Greedy decoding, or sampling if the temperature is above 0."""

    beams = 1

    def __init__(
        self,
        rules: TokenRules,
        prompt: int,
        limits: Limits,
        temperature: float = 0.0,
        random: torch.Generator | None = None,
    ) -> None:
        self._rules, self._prompt, self._limits = rules, prompt, limits
        self._temperature, self._random = temperature, random
        self._tokens: list[int] = []
        self._state = rules.start
        #: float32, because Whisper sums in float32.
        self._log_probability = np.float32(0)

    def rows(self, slot: int) -> list[TextRow]:
        return [TextRow(slot, 0, self._tokens[-1], self._prompt + len(self._tokens) - 1, self._state)]

    def choose(self, ruled: Ruled, first: int, chosen: Choices) -> Sequence[int]:
        if self._random is None:
            token, log_probability = chosen.tokens[first], chosen.log_probabilities[first]
        else:
            token, log_probability = self._draw(ruled, first)
        self._tokens.append(token)
        self._state = self._rules.after(self._state, token)
        self._log_probability = np.float32(self._log_probability + log_probability)
        return [0]

    def _draw(self, ruled: Ruled, row: int) -> tuple[int, np.float32]:
        probabilities = Categorical(logits=ruled.logits[row : row + 1] / self._temperature).probs
        token = int(torch.multinomial(probabilities, 1, True, generator=self._random))
        return token, np.float32(ruled.log_probabilities[row, token].item())

    @property
    def complete(self) -> bool:
        return self._tokens[-1] == self._rules.eot or _is_full(self._prompt, len(self._tokens), self._limits)

    def best(self) -> tuple[list[int], float]:
        return _up_to(self._tokens, self._rules.eot), float(self._log_probability)


@dataclass(frozen=True, slots=True)
class _Beam:
    """A text of a beam search and its log probability."""

    tokens: tuple[int, ...]
    state: TextState
    #: float32, because Whisper sums in float32.
    log_probability: np.float32


@dataclass(slots=True)
class _Candidates:
    """Distinct continuations of beams, with their log probability and the beam they continue."""

    scores: dict[tuple[int, ...], np.float32] = field(default_factory=dict)
    sources: dict[tuple[int, ...], int] = field(default_factory=dict)

    def best_first(self) -> list[tuple[int, ...]]:
        return sorted(self.scores, key=self.scores.__getitem__, reverse=True)


class Beams:
    """Beam search: the likeliest texts, until as many have ended."""

    def __init__(self, rules: TokenRules, prompt: int, limits: Limits, beams: int) -> None:
        self.beams = beams
        self._rules, self._prompt, self._limits = rules, prompt, limits
        self._texts = [_Beam((), rules.start, np.float32(0))] * beams
        self._ended: dict[tuple[int, ...], np.float32] = {}

    def rows(self, slot: int) -> list[TextRow]:
        return [
            TextRow(slot, number, text.tokens[-1], self._prompt + len(text.tokens) - 1, text.state)
            for number, text in enumerate(self._texts)
        ]

    def choose(self, ruled: Ruled, first: int, chosen: Choices) -> Sequence[int]:
        candidates = self._continuations(ruled, first)
        texts: list[_Beam] = []
        sources: list[int] = []
        ended: list[tuple[int, ...]] = []
        for tokens in candidates.best_first():
            if tokens[-1] == self._rules.eot:
                ended.append(tokens)
                continue
            source = candidates.sources[tokens]
            state = self._rules.after(self._texts[source].state, tokens[-1])
            texts.append(_Beam(tokens, state, candidates.scores[tokens]))
            sources.append(source)
            if len(texts) == self.beams:
                break
        for tokens in ended[: self.beams - len(self._ended)]:
            self._ended[tokens] = candidates.scores[tokens]
        self._texts = texts
        return sources

    def _continuations(self, ruled: Ruled, first: int) -> _Candidates:
        """Return for each text one continuation more than there are beams, since one of them may end the text."""
        likeliest = ruled.log_probabilities[first : first + self.beams].topk(self.beams + 1)
        candidates = _Candidates()
        values, tokens = likeliest.values.cpu().numpy(), likeliest.indices.tolist()
        for number, text in enumerate(self._texts):
            for token, log_probability in zip(tokens[number], values[number], strict=True):
                continued = (*text.tokens, token)
                candidates.scores[continued] = text.log_probability + log_probability
                candidates.sources[continued] = number
        return candidates

    @property
    def complete(self) -> bool:
        return len(self._ended) >= self.beams or _is_full(self._prompt, len(self._texts[0].tokens), self._limits)

    def best(self) -> tuple[list[int], float]:
        texts = dict(self._ended)
        scores = np.array([text.log_probability for text in self._texts])
        for number in np.argsort(scores)[::-1]:
            if len(texts) >= self.beams:
                break
            texts[(*self._texts[number].tokens, self._rules.eot)] = self._texts[number].log_probability
        candidates = [(_up_to(tokens, self._rules.eot), float(score)) for tokens, score in texts.items()]
        # Every text begins with a timestamp, so none is empty.
        return max(candidates, key=lambda text: text[1] / len(text[0]))


def _is_full(prompt: int, sampled: int, limits: Limits) -> bool:
    return prompt + sampled > limits.length or sampled == limits.sampled


def _up_to(tokens: Sequence[int], end: int) -> list[int]:
    sampled = list(tokens)
    return sampled[: sampled.index(end)] if end in sampled else sampled
