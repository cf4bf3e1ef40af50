"""Recordings that still need work, in order of registration."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Engine, exists, select

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.recordings import Recording, from_row
from transcription_dagster.database.tables import RecordingRow, TranscriptRow

#: Version of assets that no run produced, such as an imported transcript; never stale.
IMPORTED = "imported"


def without_embeddings(engine: Engine) -> list[Recording]:
    """Return the recordings without embeddings, which search cannot find."""
    return _recordings(engine, RecordingRow.embedded_with.is_(None))


def failed(engine: Engine) -> list[Recording]:
    """Return the recordings whose last attempt failed with the current source."""
    return _recordings(engine, RecordingRow.failed_at.is_not(None))


def unpublished(engine: Engine) -> list[Recording]:
    """Return the unpublished recordings that have not failed."""
    published = exists().where(TranscriptRow.recording == RecordingRow.uuid)
    return _recordings(engine, ~published & RecordingRow.failed_at.is_(None))


def stale(engine: Engine, versions: Mapping[str, str]) -> list[tuple[Recording, frozenset[str]]]:
    """Return the published recordings that have an asset with a code version other than in `versions`.

    Each comes with the names of those assets. `versions` maps asset names to current code versions.
    """
    current = TranscriptRow.versions.contains(dict(versions))
    statement = (
        select(RecordingRow.__table__, TranscriptRow.versions)
        .join(TranscriptRow, TranscriptRow.recording == RecordingRow.uuid)
        .where(~current)
        .order_by(RecordingRow.created_at, RecordingRow.uuid)
    )
    with transaction(engine) as connection:
        rows = connection.execute(statement).mappings().all()
    found = ((from_row(row), _outdated(row["versions"], versions)) for row in rows)
    return [(recording, assets) for recording, assets in found if assets]


def _outdated(published: Mapping[str, str], present: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name for name, version in present.items() if published.get(name) not in (version, IMPORTED))


def _recordings(engine: Engine, condition: ColumnElement[bool]) -> list[Recording]:
    statement = select(RecordingRow.__table__).where(condition).order_by(RecordingRow.created_at, RecordingRow.uuid)
    with transaction(engine) as connection:
        return [from_row(row) for row in connection.execute(statement).mappings()]
