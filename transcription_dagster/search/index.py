"""Write the search index of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, delete, func, insert, update

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import ChunkRow, RecordingRow
from transcription_dagster.errors import UnknownRecording
from transcription_dagster.model import recording_id
from transcription_dagster.search import embedding_models
from transcription_dagster.search.embedding_models import EmbeddingModel


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """A chunk of a recording's text and its embedding; times in seconds."""

    text: str
    start: float
    end: float
    embedding: Sequence[float]
    #: Language of most of it; None for the recording's.
    language: str | None = None
    speakers: Sequence[str] = ()


def replace_chunks(
    engine: Engine, uuid: str, model: EmbeddingModel, chunks: Sequence[EmbeddedChunk], *, language: str | None = None
) -> None:
    """Replace the index of a recording by `chunks`, in order; no chunks mean that nothing was said.

    `language` decides how words are stemmed in chunks that do not know theirs; None: the recording's own, else no
    stemming. Raises `UnknownRecording`
    if it is not registered, `DatabaseRefused` if a vector has not the model's dimensions.
    """
    uuid = recording_id(uuid)
    with transaction(engine) as connection:
        model_id = embedding_models.ensure(connection, model)
        described = (
            update(RecordingRow)
            .where(RecordingRow.uuid == uuid)
            .values(embedded_with=model_id)
            .returning(RecordingRow.language, func.coalesce(RecordingRow.modified, RecordingRow.created_at))
        )
        row = connection.execute(described).one_or_none()
        if row is None:
            raise UnknownRecording(f"recording {uuid} is not registered, so its text cannot be indexed")
        registered_language, recorded_at = row
        shared = {
            "recording": uuid,
            "model_id": model_id,
            "language": language or registered_language or "",
            "recorded_at": recorded_at,
        }
        connection.execute(delete(ChunkRow).where(ChunkRow.recording == uuid))
        if chunks:
            connection.execute(insert(ChunkRow), [shared | _values(*numbered) for numbered in enumerate(chunks)])


def _values(position: int, chunk: EmbeddedChunk) -> dict[str, object]:
    return {
        "position": position,
        "text": chunk.text,
        "start": chunk.start,
        "end": chunk.end,
        "speakers": list(chunk.speakers),
        "embedding": chunk.embedding,
        **({} if chunk.language is None else {"language": chunk.language}),
    }
