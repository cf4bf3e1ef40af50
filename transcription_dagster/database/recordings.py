"""Recordings: the registered ones with their sources and metadata, those that need work, and the forgotten ones.

Nothing may be written about a forgotten recording until it is registered again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    any_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID, Insert, insert

from transcription_dagster.database.claude_tables import ClaudeAnswerRow
from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import SCHEMA, ForgottenRow, RecordingRow, TranscriptRow
from transcription_dagster.database.vocabulary import term_from_json
from transcription_dagster.errors import RecordingForgotten
from transcription_dagster.model import ChannelMode, Term, recording_id
from transcription_dagster.urls import shown_url, without_secrets


def forgotten(engine: Engine, uuids: Iterable[str]) -> set[str]:
    """Return those of `uuids` that were forgotten."""
    keys = [recording_id(uuid) for uuid in uuids]
    with transaction(engine) as connection:
        return set(connection.scalars(select(ForgottenRow.uuid).where(ForgottenRow.uuid.in_(keys))))


def check_not_forgotten(engine: Engine, uuid: str) -> None:
    """Raise `RecordingForgotten` if the recording was forgotten."""
    with transaction(engine) as connection:
        refuse_forgotten(connection, uuid)


def refuse_forgotten(connection: Connection, uuid: str) -> None:
    """Raise `RecordingForgotten` if the recording was forgotten, else prevent that until the transaction ends.

    Every transaction that writes a recording's text calls this or `refuse_forgotten_by_driver`.
    """
    if is_forgotten(connection, uuid):
        raise _error(uuid)


def refuse_forgotten_by_driver(connection: psycopg.Connection[Any], uuid: str) -> None:
    """Like `refuse_forgotten`, for a psycopg connection inside a transaction."""
    key = recording_id(uuid)
    connection.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", (key,))
    result = connection.execute(f"SELECT 1 FROM {SCHEMA}.forgotten_recordings WHERE uuid = %s", (key,))  # noqa: S608  constant
    if result.fetchone() is not None:
        raise _error(uuid)


def is_forgotten(connection: Connection, uuid: str) -> bool:
    """Return whether the recording was forgotten; if not, prevent that until the transaction ends."""
    _lock(connection, uuid, "pg_advisory_xact_lock_shared")
    statement = select(ForgottenRow.uuid).where(ForgottenRow.uuid == recording_id(uuid))
    return connection.execute(statement).first() is not None


def lock_for_forgetting(connection: Connection, uuid: str) -> None:
    """Wait for transactions that write about the recording, and block later ones until this transaction ends."""
    _lock(connection, uuid, "pg_advisory_xact_lock")


def _lock(connection: Connection, uuid: str, function: str) -> None:
    connection.execute(text(f"SELECT {function}(hashtextextended(:uuid, 0))"), {"uuid": recording_id(uuid)})


def _error(uuid: str) -> RecordingForgotten:
    return RecordingForgotten(f"recording {uuid} was forgotten; register it again to process it")


#: Matches URLs that `shown_url` may shorten, as a Postgres regular expression.
_SUSPECT = r"://[^\s]*[@?#]"


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as its source describes it; None or an empty vocabulary means unknown."""

    uuid: str
    #: URI of the audio.
    source: str
    title: str | None = None
    language: str | None = None
    #: The recording's own terms.
    vocabulary: tuple[Term, ...] = ()
    #: Number of speakers, in the form of the setting `speakers`.
    speakers: str | None = None
    #: Names of the speakers, by channel or in order of first appearance.
    speaker_names: tuple[str, ...] = ()
    #: Channel mode.
    channels: ChannelMode | None = None
    #: The candidate languages if `language` is None; empty: any.
    languages: tuple[str, ...] = ()
    etag: str | None = None
    #: Bytes.
    size: int | None = None
    modified: datetime | None = None


def register(engine: Engine, recordings: Iterable[Recording]) -> None:
    """Do `register_in` in a transaction of its own. Without recordings, the database is not used."""
    if listed := list(recordings):
        with transaction(engine) as connection:
            register_in(connection, listed)


def register_in(connection: Connection, recordings: Iterable[Recording]) -> None:
    """Insert or update recordings; of two with the same UUID the last one counts.

    Unknown fields keep their old values, except that a new source URI replaces everything known about the old one. A
    changed etag clears the failure of the old content. Unchanged recordings are not touched. A forgotten recording
    becomes an ordinary one again. Only the part of a source URL that `shown_url` returns is written
    (`sources/addresses.py` keeps the rest).

    Raises `InvalidRecordingId` for the first invalid UUID, before anything is written.
    """
    described = {
        recording_id(recording.uuid): {**asdict(recording), "source": shown_url(recording.source)}
        for recording in recordings
    }
    # A fixed order prevents deadlocks between processes that register the same recordings.
    rows = [described[key] for key in sorted(described)]
    connection.execute(_UPSERT, rows)
    connection.execute(delete(ForgottenRow).where(ForgottenRow.uuid == any_(_uuids(described))))


def find_recording(engine: Engine, uuid: str) -> Recording | None:
    """Return a registered recording, or None."""
    statement = select(RecordingRow).where(RecordingRow.uuid == recording_id(uuid))
    with transaction(engine) as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else from_row(row._mapping)  # noqa: SLF001  documented by SQLAlchemy


@dataclass(frozen=True, slots=True)
class RegisteredSource:
    """The source with which a recording is registered."""

    #: As `shown_url` returns it.
    source: str
    etag: str | None
    modified: datetime | None
    #: Time of the last change of the registration.
    registered: datetime


def registered_sources(engine: Engine, uuids: Iterable[str]) -> dict[str, RegisteredSource]:
    """Return the sources of the registered recordings among `uuids`."""
    columns = (RecordingRow.source, RecordingRow.etag, RecordingRow.modified, RecordingRow.updated_at)
    statement = select(RecordingRow.uuid, *columns).where(RecordingRow.uuid == any_(_uuids(uuids)))
    with transaction(engine) as connection:
        return {uuid: RegisteredSource(*values) for uuid, *values in connection.execute(statement)}


def record_etags(engine: Engine, etags: Mapping[str, str]) -> None:
    """Record the source versions for which runs were requested; unregistered recordings are skipped.

    Unlike `register`, this keeps a failure: the requested run may have failed already.
    """
    if not etags:
        return
    rows = [{"key": recording_id(uuid), "new_etag": etag} for uuid, etag in sorted(etags.items())]
    statement = update(RecordingRow).where(RecordingRow.uuid == bindparam("key")).values(etag=bindparam("new_etag"))
    with transaction(engine) as connection:
        connection.execute(statement, rows)


def forget(engine: Engine, uuid: str) -> bool:
    """Remove a recording with its transcript, chunks and insights; return False if it was unknown.

    The retraction stays recorded until the recording is registered again.
    """
    key = recording_id(uuid)
    with transaction(engine) as connection:
        lock_for_forgetting(connection, key)
        connection.execute(delete(ClaudeAnswerRow).where(ClaudeAnswerRow.recording == key))
        result = connection.execute(delete(RecordingRow).where(RecordingRow.uuid == key))
        connection.execute(insert(ForgottenRow).values(uuid=key).on_conflict_do_nothing())
    return result.rowcount > 0


def clean_sources(engine: Engine, keep: Callable[[str, str], object]) -> None:
    """Shorten the URLs in all sources and failure reasons to what `shown_url` returns.

    `keep` receives the recording and the whole URL before the row changes, so nothing is lost if it raises.
    """
    columns = RecordingRow.__table__.c
    suspect = or_(columns.source.regexp_match(_SUSPECT), columns.error.regexp_match(_SUSPECT))
    statement = select(columns.uuid, columns.source, columns.error).where(suspect)
    with transaction(engine) as connection:
        rows = connection.execute(statement).all()
    for uuid, source, error in rows:
        values = {"source": shown_url(source), "error": error and without_secrets(error)}
        if values == {"source": source, "error": error}:
            continue
        if values["source"] != source:
            keep(uuid, source)
        changed = update(RecordingRow).where(columns.uuid == uuid, columns.source == source).values(values)
        with transaction(engine) as connection:
            connection.execute(changed)


def record_failure(engine: Engine, uuid: str, error: str) -> None:
    """Record a failure and its reason; do nothing for an unregistered recording."""
    statement = update(RecordingRow).where(RecordingRow.uuid == recording_id(uuid))
    values = {"failed_at": func.now(), "error": without_secrets(error.replace("\0", ""))}
    with transaction(engine) as connection:
        connection.execute(statement.values(**values))


def from_row(row: Mapping[Any, Any]) -> Recording:
    """Convert a row with all columns of `recordings`."""
    return Recording(
        uuid=row["uuid"],
        source=row["source"],
        title=row["title"],
        language=row["language"],
        vocabulary=tuple(term_from_json(term) for term in row["vocabulary"]),
        speakers=row["speakers"],
        speaker_names=tuple(row["speaker_names"]),
        channels=row["channels"],
        languages=tuple(row["languages"]),
        etag=row["etag"],
        size=row["size"],
        modified=row["modified"],
    )


def _uuids(uuids: Iterable[str]) -> Any:
    return cast([recording_id(uuid) for uuid in uuids], ARRAY(UUID(as_uuid=False)))


def _upsert() -> Insert:
    statement = insert(RecordingRow)
    new = statement.excluded
    same_source = RecordingRow.source == new.source
    has_choice = func.cardinality(new.languages) > 0
    nothing = cast([], RecordingRow.vocabulary.type)
    merged = {
        "source": new.source,
        "title": func.coalesce(new.title, RecordingRow.title),
        # One language and a choice of languages exclude each other: the newer one counts.
        "language": case((has_choice, None), else_=func.coalesce(new.language, RecordingRow.language)),
        "languages": case((or_(has_choice, new.language.is_not(None)), new.languages), else_=RecordingRow.languages),
        "vocabulary": case((new.vocabulary == nothing, RecordingRow.vocabulary), else_=new.vocabulary),
        # The number and the names belong together: a new number removes names given for another.
        "speakers": func.coalesce(new.speakers, RecordingRow.speakers),
        "speaker_names": case((new.speakers.is_(None), RecordingRow.speaker_names), else_=new.speaker_names),
        "channels": func.coalesce(new.channels, RecordingRow.channels),
        **{
            name: case((same_source, func.coalesce(new[name], RecordingRow.__table__.c[name])), else_=new[name])
            for name in ("etag", "size", "modified")
        },
    }
    columns = RecordingRow.__table__.c
    changed = tuple_(*(columns[name] for name in merged)).is_distinct_from(tuple_(*merged.values()))
    replaced = or_(~same_source, merged["etag"].is_distinct_from(RecordingRow.etag))
    return statement.on_conflict_do_update(
        index_elements=[RecordingRow.uuid],
        set_={
            **merged,
            "failed_at": case((replaced, None), else_=RecordingRow.failed_at),
            "error": case((replaced, None), else_=RecordingRow.error),
            "updated_at": func.now(),
        },
        where=changed,
    )


_UPSERT = _upsert()


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
    outdated = ((from_row(row), _outdated(row["versions"], versions)) for row in rows)
    return [(recording, assets) for recording, assets in outdated if assets]


def _outdated(published: Mapping[str, str], present: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name for name, version in present.items() if published.get(name) not in (version, IMPORTED))


def _recordings(engine: Engine, condition: ColumnElement[bool]) -> list[Recording]:
    statement = select(RecordingRow.__table__).where(condition).order_by(RecordingRow.created_at, RecordingRow.uuid)
    with transaction(engine) as connection:
        return [from_row(row) for row in connection.execute(statement).mappings()]
