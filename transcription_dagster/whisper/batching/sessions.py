"""The recordings that share a device, and their state on it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from transcription_dagster.whisper.batching.decoder_slots import TextRow
from transcription_dagster.whisper.batching.device_use import DeviceUse
from transcription_dagster.whisper.batching.window_texts import WindowText
from transcription_dagster.whisper.decoding.requests import Decode, Window


@dataclass(frozen=True, slots=True)
class Prompt:
    """The result of running the decoder over a prompt, before any token is sampled."""

    tokens: list[int]
    #: The decoder's logits at the last token of the prompt, shape (1, vocabulary).
    logits: Tensor
    no_speech_probability: float


@dataclass(slots=True, eq=False)
class Hold:
    """A window that occupies a slot."""

    slot: int
    window: Window
    #: Whether its encoded audio is in the slot.
    encoded: bool = False
    prompt: Prompt | None = None


@dataclass(frozen=True, slots=True)
class Decoding:
    """A decoding in progress: one text or several beams."""

    request: Decode
    hold: Hold
    prompt: Prompt
    text: WindowText

    def rows(self) -> list[TextRow]:
        return self.text.rows(self.hold.slot)


@dataclass(slots=True, eq=False)
class Session:
    """One pass over a recording and its state on the device. A session has one request at a time."""

    use: DeviceUse
    #: Samples tokens at temperatures above 0. A fixed seed keeps results independent of other recordings on the device.
    random: torch.Generator
    #: State of the random generator when the current request arrived.
    random_state: Tensor
    #: Holds the result of the current request.
    answer: Future[Any] = field(default_factory=Future)
    hold: Hold | None = None
    decoding: Decoding | None = None
