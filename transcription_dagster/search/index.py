"""The search index: the chunks of recordings, and the embedding models of their vectors, each with its own index.

Vectors of different models cannot be compared and may differ in dimensions. Each model therefore has a partial index
over its own chunks, and after a change of model the chunks move to the new one, recording by recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import SCHEMA, ChunkRow, EmbeddingModelRow, RecordingRow
from transcription_dagster.errors import UnknownRecording
from transcription_dagster.model import recording_id


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """An embedding model with a number of dimensions; other dimensions make another model."""

    name: str
    #: Components of its vectors; an index over `halfvec` allows at most 4,000.
    dimensions: int


def find_model(connection: Connection, model: EmbeddingModel) -> int | None:
    """Return the key of a model; None if the database has no embeddings by it.

    The model cannot be retired before the transaction ends.
    """
    statement = select(EmbeddingModelRow.id).where(
        EmbeddingModelRow.name == model.name, EmbeddingModelRow.dimensions == model.dimensions
    )
    return connection.execute(statement.with_for_update(key_share=True, read=True)).scalar_one_or_none()


def _ensure_model(connection: Connection, model: EmbeddingModel) -> int:
    """Return the key of a model, creating its index if it is new.

    Call this before the transaction writes chunks: creating an index waits for other writers.
    """
    model_id = find_model(connection, model)
    if model_id is not None:
        return model_id
    row = insert(EmbeddingModelRow).values(name=model.name, dimensions=model.dimensions)
    insertion = row.on_conflict_do_nothing().returning(EmbeddingModelRow.id)
    model_id = connection.execute(insertion).scalar_one_or_none() or find_model(connection, model)
    if model_id is None:
        raise AssertionError(f"{model} was neither inserted nor found")
    connection.execute(
        text(
            f"CREATE INDEX IF NOT EXISTS {_index(model_id)} ON {SCHEMA}.{ChunkRow.__tablename__} "
            f"USING hnsw ((embedding::halfvec({int(model.dimensions)})) halfvec_cosine_ops) "
            f"WHERE model_id = {int(model_id)}"
        )
    )
    return model_id


def models_in_use(engine: Engine) -> dict[EmbeddingModel, int]:
    """Return how many recordings are embedded with each model."""
    statement = (
        select(EmbeddingModelRow.name, EmbeddingModelRow.dimensions, func.count())
        .join(RecordingRow, RecordingRow.embedded_with == EmbeddingModelRow.id)
        .group_by(EmbeddingModelRow.id)
        .order_by(func.count().desc(), EmbeddingModelRow.name)
    )
    with transaction(engine) as connection:
        return {EmbeddingModel(name, dimensions): count for name, dimensions, count in connection.execute(statement)}


def retire_unused(engine: Engine) -> list[EmbeddingModel]:
    """Drop the models that no recording uses any more, and their indexes; return them."""
    used = exists().where(RecordingRow.embedded_with == EmbeddingModelRow.id)
    statement = delete(EmbeddingModelRow).where(~used).returning(EmbeddingModelRow.__table__)
    with transaction(engine) as connection:
        retired = connection.execute(statement).all()
        for row in retired:
            connection.execute(text(f"DROP INDEX IF EXISTS {SCHEMA}.{_index(row.id)}"))
    return [EmbeddingModel(row.name, row.dimensions) for row in retired]


def _index(model_id: int) -> str:
    return f"{ChunkRow.__tablename__}_embedding_{int(model_id)}"


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
    """Replace the index of a recording by `chunks`, in order; no chunks mean that it contains no speech.

    `language` selects the stemming of chunks without a language; None: the recording's language, or no stemming. Raises
    `UnknownRecording` if it is not registered, `DatabaseRefused` if a vector has other dimensions than the model.
    """
    uuid = recording_id(uuid)
    with transaction(engine) as connection:
        model_id = _ensure_model(connection, model)
        statement = (
            update(RecordingRow)
            .where(RecordingRow.uuid == uuid)
            .values(embedded_with=model_id)
            .returning(RecordingRow.language, func.coalesce(RecordingRow.modified, RecordingRow.created_at))
        )
        row = connection.execute(statement).one_or_none()
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
