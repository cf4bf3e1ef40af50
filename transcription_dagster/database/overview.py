"""How much the database holds."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import ChunkRow, RecordingRow, TranscriptRow


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts of what is there."""

    recordings: int
    #: Recordings whose last attempt failed.
    failed: int
    #: Recordings that search can find, or that were found to hold no words.
    embedded: int
    published: int
    chunks: int


def overview(engine: Engine) -> Overview:
    """Count everything."""
    statement = select(
        # count() of a column leaves out the rows where it is null.
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
