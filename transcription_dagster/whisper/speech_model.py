"""The interface between the passes over a recording and a loaded model of any engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from transcription_dagster.whisper.decoding.loop import Vocabulary
from transcription_dagster.whisper.decoding.requests import Align, Decode, Detect, Requests, Result


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
