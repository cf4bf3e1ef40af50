"""Published recordings: texts, provenance and insights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import Base, InsightsRow, RecordingRow, TranscriptRow
from transcription_dagster.errors import UnknownRecording
from transcription_dagster.model import recording_id


@dataclass(frozen=True, slots=True)
class PublishedInsights:
    """An analyser's findings; `document` is the content of `insights.json`."""

    analyser: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Warned:
    """A finding of a check in a recording."""

    kind: str
    #: Seconds from the start of the recording; None if it concerns the whole recording.
    place: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Publication:
    """One published recording."""

    recording: str
    text: str
    refined_text: str
    language: str
    #: The speech model's name.
    model: str
    #: Number of words in the transcript.
    words: int
    #: Length of the recording in seconds.
    duration: float
    #: Asset name -> the code version that produced the published value.
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: File name -> hexadecimal SHA-256.
    sha256s: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    speakers: tuple[str, ...] = ()
    warnings: tuple[Warned, ...] = ()
    insights: PublishedInsights | None = None


def publish(engine: Engine, publication: Publication) -> None:
    """Write the publication and clear the recording's failure, in one transaction.

    Publishing the same values again changes nothing, not even timestamps. Raises `UnknownRecording` if the recording is
    not registered.
    """
    recording = recording_id(publication.recording)
    with transaction(engine) as connection:
        # The lock orders concurrent publications of a recording and prevents `forget` in between.
        registered = select(RecordingRow.failed_at).where(RecordingRow.uuid == recording).with_for_update()
        row = connection.execute(registered).one_or_none()
        if row is None:
            raise UnknownRecording(f"recording {recording} is not registered, so it cannot be published")
        if row.failed_at is not None:
            success = update(RecordingRow).where(RecordingRow.uuid == recording).values(failed_at=None, error=None)
            connection.execute(success)
        _write_transcript(connection, publication)
        _write_insights(connection, recording, publication.insights)


def published_with(asset: str, version: str) -> Select[Any]:
    """Select the UUIDs of the recordings whose value of an asset has a code version that contains `version`."""
    made_by = TranscriptRow.versions[asset].astext
    return select(TranscriptRow.recording).where(made_by.contains(version, autoescape=True))


def _write_transcript(connection: Connection, publication: Publication) -> None:
    names = ("text", "refined_text", "language", "model", "words", "duration")
    values = {name: getattr(publication, name) for name in names}
    values |= {
        "versions": dict(publication.versions),
        "sha256s": dict(publication.sha256s),
        "speakers": list(publication.speakers),
        "warnings": [asdict(warning) for warning in publication.warnings],
    }
    _upsert(connection, TranscriptRow, publication.recording, values, touch="published_at")


def _write_insights(connection: Connection, recording: str, insights: PublishedInsights | None) -> None:
    if insights is None:
        connection.execute(delete(InsightsRow).where(InsightsRow.recording == recording))
        return
    values = {"analyser": insights.analyser, "document": dict(insights.document)}
    _upsert(connection, InsightsRow, recording, values, touch="updated_at")


def _upsert(connection: Connection, table: type[Base], recording: str, values: dict[str, Any], *, touch: str) -> None:
    """Write the recording's row of `table`; set `touch` to now only if a value changes."""
    statement = insert(table).values(recording=recording, **values)
    present, new = table.__table__.c, statement.excluded
    changed = tuple_(*(present[name] for name in values)).is_distinct_from(tuple_(*(new[name] for name in values)))
    assignments = {name: new[name] for name in values} | {touch: func.now()}
    connection.execute(statement.on_conflict_do_update(index_elements=["recording"], set_=assignments, where=changed))
