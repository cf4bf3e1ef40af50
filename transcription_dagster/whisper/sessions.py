"""The recordings that share a device, and what each has there."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from transcription_dagster.whisper.decoder_slots import Row
from transcription_dagster.whisper.device_use import DeviceUse
from transcription_dagster.whisper.requests import Align, Decode, Detect, Window
from transcription_dagster.whisper.window_texts import WindowText

Request = TypeVar("Request", bound=Decode | Align | Detect)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What was read before anything is sampled."""

    tokens: list[int]
    #: The decoder's logits at its end, shape (1, vocabulary).
    logits: Tensor
    no_speech_probability: float


@dataclass(slots=True, eq=False)
class Hold:
    """A window in a slot."""

    slot: int
    window: Window
    #: Whether its sound is in the slot.
    heard: bool = False
    prompt: Prompt | None = None


@dataclass(frozen=True, slots=True)
class Decoding:
    """A text, or several beams, on their way to an answer."""

    request: Decode
    hold: Hold
    prompt: Prompt
    text: WindowText

    def rows(self) -> list[Row]:
        return self.text.rows(self.hold.slot)


@dataclass(slots=True, eq=False)
class Session:
    """One pass over a recording, and what it has on the device. It has one request at a time."""

    use: DeviceUse
    #: Draws the tokens above temperature 0. A fixed seed makes results independent of other recordings on the device.
    random: torch.Generator
    #: Its state when the current request came.
    random_state: Tensor
    #: Holds the result of the current request.
    answer: Future[Any] = field(default_factory=Future)
    hold: Hold | None = None
    decoding: Decoding | None = None


@dataclass(frozen=True, slots=True)
class Placed(Generic[Request]):
    """A request whose window has a slot."""

    session: Session
    hold: Hold
    request: Request
