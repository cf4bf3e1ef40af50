"""A run worker's request to a GPU executor to diarize a recording, as stored in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transcription_dagster.model import SpeakerLimits, recording_id
from transcription_dagster.pool.inference_client import InferenceRequest, request_key
from transcription_dagster.pool.names import SPEAKERS_TASK


@dataclass(frozen=True, slots=True)
class SpeakersRequest:
    """A recording to diarize.

    The answer holds `turns` (start, end, label), `voices` (the embedding of each label), `model`, and `skipped`: the
    reason if there was no diarization, or None.
    """

    recording: str
    #: Key of the normalised audio in the store.
    audio_key: str
    #: SHA-256 of the original audio: different audio is a different request.
    audio_sha256: str
    #: Length of the audio in seconds.
    seconds: float
    limits: SpeakerLimits
    #: Whether to return the speakers' embeddings, which are personal data.
    voices: bool = False

    def for_queue(self, *, run_id: str, queue: str) -> InferenceRequest:
        """Return the queue's form of the request; retries of the run `run_id` share it."""
        content = asdict(self)
        key = request_key(run_id=run_id, task=SPEAKERS_TASK, **content)
        return InferenceRequest(key, SPEAKERS_TASK, self.recording, run_id, queue, content)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SpeakersRequest:
        """Read what `for_queue` wrote."""
        return cls(
            recording=recording_id(content["recording"]),
            audio_key=content["audio_key"],
            audio_sha256=content["audio_sha256"],
            seconds=content["seconds"],
            limits=SpeakerLimits(**content["limits"]),
            voices=content["voices"],
        )
