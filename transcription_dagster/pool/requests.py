"""Requests of run workers to GPU executors, as stored in the queue: transcribe, diarize or embed a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transcription_dagster.model import Cue, SpeakerLimits, SpeechOptions, recording_id
from transcription_dagster.pool.inference_client import InferenceRequest, request_key
from transcription_dagster.pool.names import EMBED_TASK, SPEAKERS_TASK, TRANSCRIBE_TASK


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


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """The captions of one recording, to be split into chunks and embedded; the answer holds chunks and vectors."""

    recording: str
    #: The embedding model's name.
    model: str
    cues: tuple[Cue, ...]

    def for_queue(self, *, run_id: str, queue: str) -> InferenceRequest:
        """Return the queue's form of the request; retries of the run `run_id` share it."""
        content = asdict(self)
        key = request_key(run_id=run_id, task=EMBED_TASK, **content)
        return InferenceRequest(key, EMBED_TASK, self.recording, run_id, queue, content)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> EmbeddingRequest:
        """Read what `for_queue` wrote."""
        cues = tuple(
            Cue(cue["start_ms"], cue["end_ms"], tuple(cue["lines"]), speakers=tuple(cue["speakers"]))
            for cue in content["cues"]
        )
        return cls(recording_id(content["recording"]), content["model"], cues)
