"""A run worker's request to a GPU executor to transcribe a recording, as stored in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transcription_dagster.model import SpeechOptions, recording_id
from transcription_dagster.pool.inference_client import InferenceRequest, request_key
from transcription_dagster.pool.names import TRANSCRIBE_TASK


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """A recording to transcribe, with its options."""

    recording: str
    #: Key of the normalised audio in the store.
    audio_key: str
    #: SHA-256 of the original audio: different audio is a different request.
    audio_sha256: str
    #: Total length of the audio in seconds, summed over channels.
    seconds: float
    options: SpeechOptions

    def time_limit(self, *, factor: float, floor_seconds: float) -> float:
        """Return the wall-clock limit of one attempt in seconds."""
        return max(floor_seconds, factor * self.seconds)

    def for_queue(self, *, run_id: str, queue: str) -> InferenceRequest:
        """Return the queue's form of the request; retries of the run `run_id` share it."""
        content = asdict(self)
        return InferenceRequest(
            key=request_key(run_id=run_id, **content),
            task=TRANSCRIBE_TASK,
            recording=self.recording,
            run_id=run_id,
            queue=queue,
            request=content,
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TranscriptionRequest:
        """Read what `for_queue` wrote."""
        options = dict(content["options"])
        options["temperatures"] = tuple(options["temperatures"])
        # Requests of earlier releases have no list of languages.
        options["languages"] = tuple(options.get("languages", ()))
        return cls(
            recording=recording_id(content["recording"]),
            audio_key=content["audio_key"],
            audio_sha256=content["audio_sha256"],
            seconds=content["seconds"],
            options=SpeechOptions(**options),
        )
