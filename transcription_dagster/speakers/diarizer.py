"""The interface of diarization: sound in, turns out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from transcription_dagster.model import SpeakerLimits, SpeakerTurn


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who speaks when, and each speaker's voice."""

    #: In order of their start; labels are `spk_0`, `spk_1`, … in order of first appearance.
    turns: tuple[SpeakerTurn, ...] = ()
    #: Each label's voice embedding, of length 1 and shape (dimensions,).
    voices: Mapping[str, np.ndarray] = field(default_factory=dict)

    def to_json(self, *, voices: bool) -> dict[str, Any]:
        """Return the turns as JSON values, with the embeddings if `voices` is true."""
        kept = {label: [round(float(value), 6) for value in voice] for label, voice in self.voices.items()}
        return {
            "turns": [[turn.start, turn.end, turn.speaker] for turn in self.turns],
            "voices": kept if voices else {},
        }


class Diarizer(Protocol):
    """A diarization method."""

    @property
    def model(self) -> str:
        """Name of the models; voices of different models are not comparable."""
        ...

    def diarize(
        self,
        blocks: Iterable[np.ndarray],
        limits: SpeakerLimits,
        *,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> Diarization:
        """Return the turns of a recording, given as float32 arrays of shape (samples,) in [-1, 1], 16 kHz mono.

        `on_progress` gets the seconds of sound done. Raises `TranscriptionAborted` once `should_stop` returns true.
        """
        ...
