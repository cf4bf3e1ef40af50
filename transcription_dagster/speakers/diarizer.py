"""The interface of a diarizer: sound in, turns and voices out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from transcription_dagster.model import SpeakerLimits, SpeakerTurn

#: Called before each step with the seconds of sound done so far; raises an error to stop the work.
Report = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who speaks when, and each speaker's voice."""

    #: In order of their start; labels are `spk_0`, `spk_1`, … in order of first appearance.
    turns: tuple[SpeakerTurn, ...] = ()
    #: Each label's voice embedding, of length 1 and shape (dimensions,).
    voices: Mapping[str, np.ndarray] = field(default_factory=dict)

    def to_json(self, *, voices: bool) -> dict[str, Any]:
        """Return the turns as JSON values, with the embeddings if `voices` is true."""
        vectors = {label: [round(float(value), 6) for value in voice] for label, voice in self.voices.items()}
        return {
            "turns": [[turn.start, turn.end, turn.speaker] for turn in self.turns],
            "voices": vectors if voices else {},
        }


class Diarizer(Protocol):
    """A diarization method."""

    @property
    def model(self) -> str:
        """Name of the models; voices of different models are not comparable."""
        ...

    def diarize(self, blocks: Iterable[np.ndarray], limits: SpeakerLimits, report: Report) -> Diarization:
        """Return the turns of a recording, given as float32 arrays of shape (samples,) in [-1, 1], 16 kHz mono."""
        ...
