"""A run worker's request to a GPU executor to embed a recording, as stored in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transcription_dagster.model import Cue, recording_id
from transcription_dagster.pool.inference_client import InferenceRequest, request_key
from transcription_dagster.pool.names import EMBED_TASK


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
