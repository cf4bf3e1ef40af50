"""The archive as a list, newest first, and as counts: recordings and their status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Engine, Select, func, literal_column, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.publications import Warned
from transcription_dagster.database.tables import ChunkRow, RecordingRow, TranscriptRow
from transcription_dagster.model import recording_id
from transcription_dagster.urls import path_in

#: Length of the text excerpts in a list, in characters.
_OPENING = 200


class RecordingStatus(StrEnum):
    """The status of a recording."""

    PUBLISHED = "published"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class ListedRecording:
    """A recording in the list; results are None until it is published."""

    uuid: str
    source: str
    title: str | None
    #: Modification time of the source, or the time of registration if that is unknown.
    recorded_at: datetime
    #: The reason of the last failed attempt.
    error: str | None
    failed_at: datetime | None
    #: The transcript's language, or the source's before transcription.
    language: str | None
    #: Length in seconds.
    duration: float | None
    words: int | None
    published_at: datetime | None
    speakers: tuple[str, ...]
    #: Findings of the checks.
    warnings: tuple[Warned, ...]
    #: The beginning of the text.
    opening: str | None

    @property
    def file_name(self) -> str:
        """The last part of the source's URL."""
        return path_in(self.source).rstrip("/").rpartition("/")[2] or self.source

    @property
    def status(self) -> RecordingStatus:
        """The status. A recording that was published and then failed counts as failed."""
        if self.failed_at is not None:
            return RecordingStatus.FAILED
        return RecordingStatus.WAITING if self.published_at is None else RecordingStatus.PUBLISHED

    @property
    def place(self) -> ListPlace:
        """The recording's position in the list."""
        return ListPlace(self.recorded_at, self.uuid)


@dataclass(frozen=True, slots=True)
class ListPlace:
    """A position in the list, newest first; the next page begins after it."""

    recorded_at: datetime
    uuid: str


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on recordings; None: no condition. `since` is inclusive, `until` is exclusive."""

    language: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    status: RecordingStatus | None = None
    speaker: str | None = None
    #: Only recordings with findings of checks.
    warned: bool = False


_OF_RECORDING = (TranscriptRow, TranscriptRow.recording == RecordingRow.uuid)
_RECORDED_AT = func.coalesce(RecordingRow.modified, RecordingRow.created_at)


def list_recordings(
    engine: Engine, filters: Filters | None = None, *, after: ListPlace | None = None, limit: int = 50
) -> list[ListedRecording]:
    """Return the next `limit` recordings of the archive, newest first."""
    conditions = _conditions(filters or Filters())
    if after is not None:
        conditions.append(tuple_(_RECORDED_AT, RecordingRow.uuid) < (after.recorded_at, recording_id(after.uuid)))
    statement = _listed().where(*conditions).order_by(_RECORDED_AT.desc(), RecordingRow.uuid.desc()).limit(limit)
    with transaction(engine) as connection:
        return [_recording(row) for row in connection.execute(statement)]


def listed_recording(engine: Engine, uuid: str) -> ListedRecording | None:
    """Return one recording as listed; None if it is not registered."""
    with transaction(engine) as connection:
        row = connection.execute(_listed().where(RecordingRow.uuid == recording_id(uuid))).one_or_none()
    return None if row is None else _recording(row)


def languages(engine: Engine) -> list[str]:
    """Return the languages of all publications, each once."""
    with transaction(engine) as connection:
        return distinct_values(connection, TranscriptRow.language)


def titles(engine: Engine, uuids: Iterable[str]) -> dict[str, str]:
    """Return the titles of recordings by UUID; recordings without one are left out."""
    keys = [recording_id(uuid) for uuid in uuids]
    statement = select(RecordingRow.uuid, RecordingRow.title).where(RecordingRow.uuid.in_(keys))
    with transaction(engine) as connection:
        return {row.uuid: row.title for row in connection.execute(statement) if row.title}


def with_state(filters: Filters) -> Select[Any] | None:
    """Return the UUIDs of recordings with this status, speaker and warnings; None if there is no such condition.

    For search, which stores dates and languages with the chunks. It stores their speakers as well, but without an index
    that finds a rare one.
    """
    state = Filters(status=filters.status, speaker=filters.speaker, warned=filters.warned)
    if state == Filters():
        return None
    return select(RecordingRow.uuid).join(*_OF_RECORDING, isouter=True).where(*_conditions(state))


def distinct_values(connection: Connection, column: InstrumentedAttribute[str]) -> list[str]:
    """Return each value of an indexed column once.

    Each costs one look-up in the index; DISTINCT would read the whole index.
    """
    values = select(func.min(column).label("value")).cte("values", recursive=True)
    following = select(func.min(column)).where(column > values.c.value).scalar_subquery()
    values = values.union_all(select(following).where(values.c.value.is_not(None)))
    return list(connection.scalars(select(values.c.value).where(values.c.value.is_not(None))))


def _recording(row: Sequence[Any]) -> ListedRecording:
    *values, speakers, warnings, opening = row
    warned = tuple(Warned(**warning) for warning in warnings or ())
    return ListedRecording(*values, speakers=tuple(speakers or ()), warnings=warned, opening=opening)


def _listed() -> Select[Any]:
    return select(
        RecordingRow.uuid,
        RecordingRow.source,
        RecordingRow.title,
        _RECORDED_AT,
        RecordingRow.error,
        RecordingRow.failed_at,
        func.coalesce(TranscriptRow.language, RecordingRow.language),
        TranscriptRow.duration,
        TranscriptRow.words,
        TranscriptRow.published_at,
        TranscriptRow.speakers,
        TranscriptRow.warnings,
        func.left(TranscriptRow.refined_text, _OPENING),
    ).join(*_OF_RECORDING, isouter=True)


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if filters.language is not None:
        conditions.append(TranscriptRow.language == filters.language)
    if filters.speaker is not None:
        conditions.append(TranscriptRow.speakers.contains([filters.speaker]))
    if filters.warned:
        conditions.append(literal_column("warnings <> '[]'::jsonb", Boolean()))
    if filters.since is not None:
        conditions.append(filters.since <= _RECORDED_AT)
    if filters.until is not None:
        conditions.append(filters.until > _RECORDED_AT)
    match filters.status:
        case RecordingStatus.FAILED:
            conditions.append(RecordingRow.failed_at.is_not(None))
        case RecordingStatus.PUBLISHED:
            conditions += [RecordingRow.failed_at.is_(None), TranscriptRow.recording.is_not(None)]
        case RecordingStatus.WAITING:
            conditions += [RecordingRow.failed_at.is_(None), TranscriptRow.recording.is_(None)]
        case None:
            pass
    return conditions


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
    """Return the counts."""
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
