"""Requests of a run's steps to the GPU executors: transcribe, diarize or embed a recording."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from transcription_dagster.model import Cue, SpeakerLimits, SpeechOptions, recording_id

#: Tasks of an executor, each with the `key` of a row in `inference_requests`.
TRANSCRIBE_TASK: Final = "transcribe"
EMBED_TASK: Final = "embed"
SPEAKERS_TASK: Final = "speakers"


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """A request to a GPU executor. Two requests with the same key are the same request."""

    key: str
    #: Name of the executor's task.
    task: str
    recording: str
    #: The run whose retries share the request: the retried run, or the run itself.
    run_id: str
    queue: str
    #: Arguments of the task, as JSON values.
    request: Mapping[str, Any]


def request_key(**parts: object) -> str:
    """Return the key of a request: the SHA-256 of its parts as canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


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
