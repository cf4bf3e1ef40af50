"""The embedding models in the database, each with its own vector index.

Vectors of different models cannot be compared and may differ in dimensions. Each model therefore has a partial index
over its own chunks, and after a change of model the chunks move to the new one, recording by recording.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, exists, func, select, text
from sqlalchemy.dialects.postgresql import insert

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import SCHEMA, ChunkRow, EmbeddingModelRow, RecordingRow


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """An embedding model with a number of dimensions; other dimensions make another model."""

    name: str
    #: Components of its vectors; an index over `halfvec` allows at most 4,000.
    dimensions: int


def find(connection: Connection, model: EmbeddingModel) -> int | None:
    """Return the key of a model; None if the database has no embeddings by it.

    The model cannot be retired before the transaction ends.
    """
    statement = select(EmbeddingModelRow.id).where(
        EmbeddingModelRow.name == model.name, EmbeddingModelRow.dimensions == model.dimensions
    )
    return connection.execute(statement.with_for_update(key_share=True, read=True)).scalar_one_or_none()


def ensure(connection: Connection, model: EmbeddingModel) -> int:
    """Return the key of a model, creating its index if it is new.

    Call this before the transaction writes chunks: creating an index waits for other writers.
    """
    model_id = find(connection, model)
    if model_id is not None:
        return model_id
    row = insert(EmbeddingModelRow).values(name=model.name, dimensions=model.dimensions)
    made = row.on_conflict_do_nothing().returning(EmbeddingModelRow.id)
    model_id = connection.execute(made).scalar_one_or_none() or find(connection, model)
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


def in_use(engine: Engine) -> dict[EmbeddingModel, int]:
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
