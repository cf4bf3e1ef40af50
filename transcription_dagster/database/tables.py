"""The tables, in a schema of their own: Dagster and the queues keep theirs in `public`.

Those about Claude are in `claude_tables.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: Not `transcription`, which is the name of the usual user: a schema named like the user is searched before `public`,
#: and Dagster and the queues would suddenly look for their tables here.
SCHEMA = "transcription_data"


class Base(DeclarativeBase):
    """Every table of the program; names of constraints are fixed so that migrations can speak of them."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        },
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it once, at class creation
        str: Text,
        datetime: DateTime(timezone=True),
        list[Any]: JSONB(none_as_null=True),
        dict[str, Any]: JSONB(none_as_null=True),
    }


class EmbeddingModelRow(Base):
    """A model that made embeddings. Vectors of different models are never compared."""

    __tablename__ = "embedding_models"
    __table_args__ = (UniqueConstraint("name", "dimensions"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    name: Mapped[str]
    dimensions: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class RecordingRow(Base):
    """A recording that the program knows, and where it comes from."""

    __tablename__ = "recordings"
    __table_args__ = (
        Index("recordings_recorded_at", sql("coalesce(modified, created_at)"), "uuid"),
        Index(
            "recordings_failed",
            sql("coalesce(modified, created_at)"),
            "uuid",
            postgresql_where=sql("failed_at IS NOT NULL"),
        ),
    )

    uuid: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    source: Mapped[str]
    title: Mapped[str | None]
    language: Mapped[str | None]
    #: Those that may be spoken, where `language` is unset; none: as the settings say.
    languages: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    #: The recording's own terms: objects with text, variants, category, weight.
    vocabulary: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'::jsonb"))
    #: How many speak (`model.speaker_limits`); unset: as the settings say.
    speakers: Mapped[str | None]
    speaker_names: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'::jsonb"))
    #: What becomes of its channels (`model.ChannelMode`); unset: as the settings say.
    channels: Mapped[str | None]
    etag: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    modified: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: When the recording failed, for this version of its source; unset again by success or a changed source.
    failed_at: Mapped[datetime | None] = mapped_column(index=True)
    error: Mapped[str | None]
    #: The model of this recording's chunks, also when nothing was said and there are none.
    embedded_with: Mapped[int | None] = mapped_column(ForeignKey(EmbeddingModelRow.id))


class ForgottenRow(Base):
    """A recording that was retracted; its source may still be there."""

    __tablename__ = "forgotten_recordings"

    uuid: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    forgotten_at: Mapped[datetime] = mapped_column(server_default=func.now())


def recording_key() -> Mapped[str]:
    """Return the primary key of a table with a row a recording, which is forgotten with it."""
    return mapped_column(Uuid(as_uuid=False), ForeignKey(RecordingRow.uuid, ondelete="CASCADE"), primary_key=True)


class TranscriptRow(Base):
    """What was published of a recording."""

    __tablename__ = "transcripts"
    __table_args__ = (
        Index("transcripts_speakers", "speakers", postgresql_using="gin"),
        Index("transcripts_language", "language"),
        Index("transcripts_warnings", "recording", postgresql_where=sql("warnings <> '[]'::jsonb")),
    )

    recording: Mapped[str] = recording_key()
    text: Mapped[str]
    refined_text: Mapped[str]
    language: Mapped[str]
    model: Mapped[str]
    words: Mapped[int]
    duration: Mapped[float]
    #: Asset name -> the code version that made what is published.
    versions: Mapped[dict[str, Any]]
    #: File name -> SHA-256, hexadecimal.
    sha256s: Mapped[dict[str, Any]]
    speakers: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    #: What checks found: objects with kind, place and message.
    warnings: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'::jsonb"))
    published_at: Mapped[datetime] = mapped_column(server_default=func.now())


class InsightsRow(Base):
    """What an analyser found in a recording's text."""

    __tablename__ = "insights"

    recording: Mapped[str] = recording_key()
    analyser: Mapped[str]
    document: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ChunkRow(Base):
    """A stretch of a recording's text that search finds, with the times to jump to.

    `embedding` has no dimensions of its own: each model has a partial HNSW index over its own rows (see
    `search/index.py`). Language and date are copied from the recording, because a filter on another table would
    keep the vector index from being scanned further until enough rows pass it.
    """

    __tablename__ = "transcript_chunks"
    __table_args__ = (
        UniqueConstraint("recording", "position"),
        Index(None, "words", postgresql_using="gin"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    recording: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey(RecordingRow.uuid, ondelete="CASCADE"))
    position: Mapped[int]
    text: Mapped[str]
    #: Seconds from the start of the recording.
    start: Mapped[float]
    end: Mapped[float]
    #: Who speaks in it, in the order in which they are first heard.
    speakers: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    language: Mapped[str] = mapped_column(index=True)
    recorded_at: Mapped[datetime] = mapped_column(index=True)
    model_id: Mapped[int] = mapped_column(ForeignKey(EmbeddingModelRow.id))
    embedding: Mapped[Any] = mapped_column(HALFVEC())
    words: Mapped[Any] = mapped_column(
        TSVECTOR,
        Computed(
            f"to_tsvector({SCHEMA}.search_configuration(language), {SCHEMA}.separated(normalize(text, NFKC)))",
            persisted=True,
        ),
    )


class VoicePrintRow(Base):
    """The voice of one speaker of a recording, and who it is. Embeddings of different models are never compared."""

    __tablename__ = "voice_prints"

    recording: Mapped[str] = recording_key()
    #: `spk_0`, `spk_1`, … as the recording's turns have it.
    label: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    #: How long the speaker talks.
    seconds: Mapped[float]
    #: Of length 1.
    embedding: Mapped[Any] = mapped_column(VECTOR())
    #: Unset: no one who was named sounds like it.
    person: Mapped[str | None] = mapped_column(index=True)
    #: Whether it was named by hand.
    confirmed: Mapped[bool] = mapped_column(server_default=sql("false"))
    #: To the nearest voice that was named by hand; unset where this one was.
    similarity: Mapped[float | None]


class TermRow(Base):
    """A term of the vocabulary for every recording."""

    __tablename__ = "vocabulary"

    text: Mapped[str] = mapped_column(primary_key=True)
    variants: Mapped[list[Any]]
    category: Mapped[str]
    weight: Mapped[float]


class CorrectionRow(Base):
    """One person's change of a transcript (`corrections.changes.Change`); rows are added and never altered."""

    __tablename__ = "corrections"

    recording: Mapped[str] = recording_key()
    #: Counts from 1 within the recording.
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    #: Digest of the transcript that `first` and `stop` count the words of.
    transcript: Mapped[str]
    kind: Mapped[str]
    first: Mapped[int]
    stop: Mapped[int]
    #: Seconds from the start of the recording.
    start: Mapped[float]
    end: Mapped[float]
    old: Mapped[str]
    new: Mapped[str]
    #: The machine's words there.
    heard: Mapped[str]
    stretches: Mapped[list[Any]]
    undoes: Mapped[int | None]
    carried_from: Mapped[int | None]
    is_lost: Mapped[bool]
    who: Mapped[str]
    made_at: Mapped[datetime]


class CorrectedRecordingRow(Base):
    """The last change of a recording, and the last one for which a run was requested."""

    __tablename__ = "corrected_recordings"

    recording: Mapped[str] = recording_key()
    version: Mapped[int]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    requested: Mapped[int] = mapped_column(Integer, server_default=sql("0"))


class TokenRow(Base):
    """A token that another program shows to the API. Only its digest is kept."""

    __tablename__ = "api_tokens"

    name: Mapped[str] = mapped_column(primary_key=True)
    #: SHA-256 of the token, hexadecimal.
    digest: Mapped[str] = mapped_column(unique=True)
    #: `database.tokens.Scope`s.
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]


class SubmissionRow(Base):
    """A recording submitted over the API, until its run is requested and its sender is notified of the outcome."""

    __tablename__ = "submissions"

    recording: Mapped[str] = recording_key()
    submitted_by: Mapped[str]
    submitted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    run_requested: Mapped[bool] = mapped_column(server_default=sql("false"))
    #: The URL to notify; unset if none was given, or after delivery succeeded or was given up.
    webhook: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DeclinedTermRow(Base):
    """A term that corrections suggested for the vocabulary and that a person declined."""

    __tablename__ = "declined_terms"

    text: Mapped[str] = mapped_column(primary_key=True)
    variant: Mapped[str] = mapped_column(primary_key=True)


class SettingsRow(Base):
    """One version of the settings that all machines share; the newest is in force."""

    __tablename__ = "settings"

    version: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    #: SHA-256 of the document, hexadecimal.
    digest: Mapped[str]
    document: Mapped[dict[str, Any]]
    #: Version of the program that wrote it.
    program: Mapped[str]
    pushed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    pushed_by: Mapped[str]
    host: Mapped[str]


class DaemonRow(Base):
    """The stack whose daemon works on this database: at most one row, true while the daemon holds its lock."""

    __tablename__ = "daemon"

    singleton: Mapped[bool] = mapped_column(CheckConstraint("singleton"), primary_key=True, server_default=sql("true"))
    #: Random, of the process that holds the lock.
    token: Mapped[str]
    #: The server's process for the session that holds the lock.
    backend_pid: Mapped[int]
    host: Mapped[str]
    pid: Mapped[int]
    #: Address of the stack's web server.
    url: Mapped[str]
    since: Mapped[datetime] = mapped_column(server_default=func.now())
