"""Requests of the decoding loop to a model, their answers, and the interface of the models that answer them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Protocol, TypeVar

import numpy as np
from torch import Tensor
from whisper.audio import FRAMES_PER_SECOND
from whisper.tokenizer import Tokenizer, get_tokenizer


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """30 seconds of a spectrogram. All requests about the same window carry the same object."""

    #: Index of its first frame in the spectrogram.
    start: int
    #: How many of its frames are audio; the rest is padding.
    frames: int
    #: Log-mel spectrogram of shape (mels, 3000).
    mel: Tensor

    @property
    def stop(self) -> int:
        return self.start + self.frames

    @property
    def seconds(self) -> float:
        return self.frames / FRAMES_PER_SECOND

    @property
    def start_seconds(self) -> float:
        return self.start / FRAMES_PER_SECOND


@dataclass(frozen=True, slots=True)
class Decode:
    """Decode a window. The answer is a `Decoded`."""

    window: Window
    tokenizer: Tokenizer
    #: The text before the window; the decoder uses as much of its end as the model has room for.
    prompt: tuple[int, ...]
    #: 0 takes the likeliest token each time; above 0 tokens are sampled.
    temperature: float
    #: Width of the beam search; None: greedy. Ignored above temperature 0.
    beam_size: int | None

    def prompt_tokens(self, context: int) -> list[int]:
        """Return the tokens that the decoder starts from: the end of the preceding text, then language and task.

        The preceding text and the token that marks it take at most half of the decoder's `context`, in tokens.
        """
        before = self.prompt[-(context // 2 - 1) :]
        return [*([self.tokenizer.sot_prev, *before] if before else []), *self.tokenizer.sot_sequence]


@dataclass(frozen=True, slots=True)
class Align:
    """Align the text of a window with its audio. The answer is a list of `AlignedWord`."""

    window: Window
    tokenizer: Tokenizer
    #: At least one token, without timestamps.
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Detect:
    """Detect the languages of parts of a window, each from its own frames of the window's encoding.

    The answer is a list with a mapping for each part, from Whisper's language codes to probabilities.
    """

    window: Window
    #: First and last frame (exclusive) of each part, counted from the window's start.
    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The tokens of a window, with timestamps, without the end-of-text token."""

    tokens: tuple[int, ...]
    average_log_probability: float
    no_speech_probability: float
    #: Length of the text divided by its compressed length; high if the text repeats itself.
    compression_ratio: float
    temperature: float


@dataclass(frozen=True, slots=True)
class AlignedWord:
    """A word with its times in seconds from the start of the window."""

    #: With its leading space, if any.
    text: str
    tokens: tuple[int, ...]
    start: float
    end: float
    probability: float


def aligned_words(
    tokenizer: Tokenizer, tokens: Sequence[int], starts: Sequence[float], probabilities: Sequence[float]
) -> list[AlignedWord]:
    """Return the words of a text, from the probability of each of its tokens and the start of each in seconds.

    `starts` also holds the start of the end-of-text token, at which the last word ends.
    """
    words, word_tokens = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    bounds = pairwise(accumulate((len(part) for part in word_tokens[:-1]), initial=0))
    # The last word is the end-of-text token, and has no bounds.
    return [
        AlignedWord(word, tuple(part), starts[first], starts[stop], float(np.mean(probabilities[first:stop])))
        for word, part, (first, stop) in zip(words, word_tokens, bounds, strict=False)
    ]


Result = TypeVar("Result")

#: A computation that yields requests, receives their answers, and returns a result.
Requests = Generator[Decode | Align | Detect, Any, Result]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Which of Whisper's vocabularies a model uses."""

    multilingual: bool
    languages: int

    def tokenizer(self, language: str) -> Tokenizer:
        return get_tokenizer(self.multilingual, num_languages=self.languages, language=language, task="transcribe")


def run_requests(requests: Requests[Result], answer: Callable[[Decode | Align | Detect], object]) -> Result:
    """Run a computation to its end, answering its requests in turn."""
    reply: object = None
    while True:
        try:
            request = requests.send(reply)
        except StopIteration as end:
            return end.value
        reply = answer(request)


class SpeechModel(Protocol):
    """A recording's access to a Whisper model; answers the requests of the decoding loop."""

    vocabulary: Vocabulary
    #: Mel bands of the spectrograms that the model reads.
    mels: int
    #: Engine and precision, stored in the transcript.
    options_used: dict[str, Any]

    def run(
        self, requests: Requests[Result], before_each: Callable[[Decode | Align | Detect], None] = ..., /
    ) -> Result:
        """Run a computation to its end; call `before_each` with every request before it is answered.

        Raises what `before_each` raises, `TranscriptionAborted`, `TimeLimitExceeded`, `OutOfMemory`, `DeviceBroken`.
        """
        ...
