"""The decoding loop's requests to the model, and the model's answers."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor
from whisper.audio import FRAMES_PER_SECOND
from whisper.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """30 seconds of a spectrogram. Every request about the same window carries the same object."""

    #: The spectrogram's frame at which it begins.
    start: int
    #: How many of its frames are audio; padding follows.
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
    #: The text before the window; the decoder keeps as much of its end as the model has room for.
    prompt: tuple[int, ...]
    #: 0 takes the likeliest tokens, anything above samples.
    temperature: float
    #: Beams to search with; None: greedy. Ignored above temperature 0.
    beam_size: int | None


@dataclass(frozen=True, slots=True)
class Align:
    """Align the text of a window with its sound. The answer is a list of `AlignedWord`."""

    window: Window
    tokenizer: Tokenizer
    #: At least one; no timestamps.
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Detect:
    """Detect the languages of parts of a window, each from its own frames of the window's encoding.

    The answer is a list: for each part, how likely each language is, by Whisper's codes.
    """

    window: Window
    #: First and last frame of each part, the last not included, counted from the window's start.
    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The tokens of a window, timestamps included, without the end of text."""

    tokens: tuple[int, ...]
    average_log_probability: float
    no_speech_probability: float
    #: Length of the text over its compressed length: high where the text repeats itself.
    compression_ratio: float
    temperature: float


@dataclass(frozen=True, slots=True)
class AlignedWord:
    """A word with its times in seconds from the start of the window."""

    #: With the space before it, if it has one.
    text: str
    tokens: tuple[int, ...]
    start: float
    end: float
    probability: float


Result = TypeVar("Result")

#: A computation that yields requests, is sent their answers, and returns a result.
Requests = Generator[Decode | Align | Detect, Any, Result]
