"""Counts of the database's content."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import ChunkRow, RecordingRow, TranscriptRow


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts of recordings and chunks by state."""

    recordings: int
    #: Recordings whose last attempt failed.
    failed: int
    #: Recordings that are indexed for search, including those without words.
    embedded: int
    published: int
    chunks: int


def overview(engine: Engine) -> Overview:
    """Count everything."""
    statement = select(
        # count() of a column skips nulls.
        *(
            select(func.count(column)).scalar_subquery()
            for column in (
                RecordingRow.uuid,
                RecordingRow.failed_at,
                RecordingRow.embedded_with,
                TranscriptRow.recording,
                ChunkRow.id,
            )
        )
    )
    with transaction(engine) as connection:
        return Overview(*connection.execute(statement).one())
