"""Which tokens may come next in a window's text, for many texts at once.

The rules are `SuppressTokens`, `SuppressBlank` and `ApplyTimestampRules` of `whisper.decoding`. Those read the whole
text at every step; here each text carries the two numbers that the rules need. The arithmetic is Whisper's, operation
by operation, so that log probabilities have the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from whisper.audio import CHUNK_LENGTH
from whisper.model import ModelDimensions
from whisper.tokenizer import Tokenizer

#: Latest first timestamp of a window, in seconds.
_LATEST_START: Final = 1.0

#: The kind of a text's last token. Timestamps come in pairs: one ends a segment, the next one begins another.
FIRST, TEXT, END, START = range(4)


class TextState(NamedTuple):
    """What the rules need to know about the tokens so far. A tuple, because each text gets a new one at every step."""

    #: FIRST: no token yet; TEXT; END: a timestamp after text; START: a timestamp after a timestamp or at the very
    #: start.
    last: int
    #: The lowest timestamp that may come next.
    lowest: int


@dataclass(frozen=True, slots=True)
class Ruled:
    """Logits under the rules and their log probabilities, and the likeliest token of each row.

    Both have the shape (rows, vocabulary), with -inf for tokens that are ruled out.
    """

    logits: Tensor
    log_probabilities: Tensor
    #: The likeliest token of each row and its log probability, shape (rows,).
    best: Tensor
    log_probability: Tensor


class TokenRules:
    """The rules of one vocabulary; they are the same for all languages."""

    def __init__(self, tokenizer: Tokenizer, dims: ModelDimensions, device: torch.device) -> None:
        self.eot, self.timestamps = tokenizer.eot, tokenizer.timestamp_begin
        blank = [*tokenizer.encode(" "), tokenizer.eot]
        latest = self.timestamps + round(_LATEST_START * dims.n_audio_ctx / CHUNK_LENGTH)
        masks = torch.zeros((4, dims.n_vocab), device=device)
        masks[:, _suppressed(tokenizer)] = -torch.inf
        masks[FIRST, : self.timestamps] = -torch.inf
        masks[FIRST, blank] = -torch.inf
        masks[FIRST, latest + 1 :] = -torch.inf
        masks[END, : self.eot] = -torch.inf
        masks[START, self.timestamps :] = -torch.inf
        self._masks = masks
        self._timestamps = torch.arange(self.timestamps, dims.n_vocab, device=device)
        self.start = TextState(FIRST, self.timestamps)

    def after(self, state: TextState, token: int) -> TextState:
        """Return the state of a text after a token is added."""
        if token < self.timestamps:
            return TextState(TEXT, state.lowest + (state.last == END))
        # Segments have a duration: the timestamp that ends one is later than the one that begins it.
        return TextState(END, token) if state.last == TEXT else TextState(START, token + 1)

    def apply(self, logits: Tensor, last: Tensor, lowest: Tensor) -> Ruled:
        """Rule out tokens of `logits`, float32 of shape (rows, vocabulary), in place.

        `last` and `lowest` hold the fields of each row's `TextState`, shape (rows,).
        """
        logits += self._masks[last]
        logits[:, self.timestamps :].masked_fill_(self._timestamps < lowest[:, None], -torch.inf)
        # Rule out text where all timestamps together are likelier than any text token.
        before = log_softmax(logits, dim=-1)
        text, timestamps = before[:, : self.timestamps], before[:, self.timestamps :]
        timestamp_only = timestamps.logsumexp(-1) > text.amax(-1)
        logits[:, : self.timestamps].masked_fill_(timestamp_only[:, None], -torch.inf)
        log_probabilities = log_softmax(logits, dim=-1)
        best = logits.argmax(-1)
        return Ruled(logits, log_probabilities, best, log_probabilities.gather(1, best[:, None])[:, 0])


def _suppressed(tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that are never sampled (`DecodingOptions(suppress_tokens="-1")`)."""
    suppressed: set[int | None] = {
        *tokenizer.non_speech_tokens,
        tokenizer.transcribe,
        tokenizer.translate,
        tokenizer.sot,
        tokenizer.sot_prev,
        tokenizer.sot_lm,
        tokenizer.no_speech,
        tokenizer.no_timestamps,
    }
    return sorted(token for token in suppressed if token is not None)


def states(rows: Sequence[TextState]) -> tuple[list[int], list[int]]:
    """Return the fields of the states as two lists, for `TokenRules.apply`."""
    return [state.last for state in rows], [state.lowest for state in rows]
