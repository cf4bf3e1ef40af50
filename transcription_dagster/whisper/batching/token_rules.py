"""Which tokens may come next in a window's text, for many texts at once.

The rules are `SuppressTokens`, `SuppressBlank` and `ApplyTimestampRules` of `whisper.decoding`. Those read the whole
text at every step; here each text carries the two numbers that the rules need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor
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
    """Logits under the rules, shape (rows, vocabulary), and the likeliest token of each row."""

    #: -inf for tokens that are ruled out, except those that only `timestamp_only` rules out.
    logits: Tensor
    #: Whether text is ruled out too, shape (rows,): all timestamps together are likelier than any text token.
    timestamp_only: Tensor
    #: Logarithm of the sum of exp over the allowed tokens, shape (rows,).
    total: Tensor
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
        text, stamps = logits[:, : self.timestamps], logits[:, self.timestamps :]
        stamps.masked_fill_(self._timestamps < lowest[:, None], -torch.inf)
        text_sum, stamp_sum = text.logsumexp(-1), stamps.logsumexp(-1)
        (best_text, word), (best_stamp, stamp) = text.max(-1), stamps.max(-1)
        only = stamp_sum > best_text
        total = torch.where(only, stamp_sum, torch.logaddexp(text_sum, stamp_sum))
        stamped = only | (best_stamp > best_text)
        best = torch.where(stamped, stamp + self.timestamps, word)
        return Ruled(logits, only, total, best, torch.where(stamped, best_stamp, best_text) - total)

    def allowed(self, ruled: Ruled, rows: slice) -> Tensor:
        """Return the logits of some rows with every token marked that is ruled out."""
        logits = ruled.logits[rows].clone()
        logits[:, : self.timestamps].masked_fill_(ruled.timestamp_only[rows][:, None], -torch.inf)
        return logits


def _suppressed(tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that are never sampled (`DecodingOptions(suppress_tokens="-1")`)."""
    found: set[int | None] = {
        *tokenizer.non_speech_tokens,
        tokenizer.transcribe,
        tokenizer.translate,
        tokenizer.sot,
        tokenizer.sot_prev,
        tokenizer.sot_lm,
        tokenizer.no_speech,
        tokenizer.no_timestamps,
    }
    return sorted(token for token in found if token is not None)


def states(found: Sequence[TextState]) -> tuple[list[int], list[int]]:
    """Return the fields of the states as two lists, for `TokenRules.apply`."""
    return [state.last for state in found], [state.lowest for state in found]
