"""What a run worker asks a GPU executor to transcribe, as it crosses the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transcription_dagster.model import SpeechOptions, recording_id
from transcription_dagster.pool.inference_client import InferenceRequest, request_key
from transcription_dagster.pool.names import TRANSCRIBE_TASK


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """One recording to transcribe, and how."""

    recording: str
    #: Where the normalised audio lies in the store.
    audio_key: str
    #: SHA-256 of the original audio: other audio is other work.
    audio_sha256: str
    #: Length of the audio in seconds.
    seconds: float
    options: SpeechOptions

    def time_limit(self, *, factor: float, floor_seconds: float) -> float:
        """Seconds that an attempt may take on the wall clock."""
        return max(floor_seconds, factor * self.seconds)

    def for_queue(self, *, run_id: str, queue: str) -> InferenceRequest:
        """The request as it is queued for the run `run_id`, which its retries share."""
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
        """The request as `for_queue` wrote it."""
        options = dict(content["options"])
        options["temperatures"] = tuple(options["temperatures"])
        return cls(
            recording=recording_id(content["recording"]),
            audio_key=content["audio_key"],
            audio_sha256=content["audio_sha256"],
            seconds=content["seconds"],
            options=SpeechOptions(**options),
        )
