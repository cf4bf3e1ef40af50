"""The recordings that still need work, in the order in which they were registered."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Engine, exists, select

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.recordings import Recording, from_row
from transcription_dagster.database.tables import RecordingRow, TranscriptRow

#: Stands for the version of an asset that no run made, such as an imported transcript. It is never out of date.
IMPORTED = "imported"


def without_embeddings(engine: Engine) -> list[Recording]:
    """Return the recordings that search cannot find, because they were never embedded."""
    return _recordings(engine, RecordingRow.embedded_with.is_(None))


def failed(engine: Engine) -> list[Recording]:
    """Return the recordings whose last attempt failed, for the source as it is now."""
    return _recordings(engine, RecordingRow.failed_at.is_not(None))


def missing(engine: Engine) -> list[Recording]:
    """Return the recordings of which nothing is published and which have not failed."""
    published = exists().where(TranscriptRow.recording == RecordingRow.uuid)
    return _recordings(engine, ~published & RecordingRow.failed_at.is_(None))


def stale(engine: Engine, versions: Mapping[str, str]) -> list[tuple[Recording, frozenset[str]]]:
    """Return the published recordings that another version of an asset made than the one in `versions`.

    With each come the names of those assets. `versions` maps an asset's name to its present code version.
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
