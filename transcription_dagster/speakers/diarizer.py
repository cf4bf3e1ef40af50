"""What tells the speakers of a recording apart: sound in, turns out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from transcription_dagster.model import SpeakerLimits, SpeakerTurn


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who speaks when, and how each speaker sounds."""

    #: In order of their start; the labels are `spk_0`, `spk_1`, … in the order in which the speakers are first heard.
    turns: tuple[SpeakerTurn, ...] = ()
    #: For each label the voice's embedding, of length 1 and shape (dimensions,).
    voices: Mapping[str, np.ndarray] = field(default_factory=dict)

    def to_json(self, *, voices: bool) -> dict[str, Any]:
        """The turns as JSON values, and the embeddings if `voices` says so."""
        kept = {label: [round(float(value), 6) for value in voice] for label, voice in self.voices.items()}
        return {
            "turns": [[turn.start, turn.end, turn.speaker] for turn in self.turns],
            "voices": kept if voices else {},
        }


class Diarizer(Protocol):
    """A way to tell speakers apart."""

    @property
    def model(self) -> str:
        """Name of what does it; voices of different models cannot be compared."""
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

        `on_progress` gets the seconds of sound that are done. Raises `TranscriptionAborted` after `should_stop` said
        so.
        """
        ...
