"""The program's tables, in a separate schema: Dagster and the queues keep theirs in `public`.

The tables for Claude are in `claude_tables.py`.
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

#: Not `transcription`, the name of the usual user: Postgres searches a schema with the user's name before `public`, so
#: Dagster and the queues would look for their tables here.
SCHEMA = "transcription_data"


class Base(DeclarativeBase):
    """Base class of the program's tables. Constraints have fixed names, so that migrations can refer to them."""

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
    """A model that created embeddings. Vectors of different models are never compared."""

    __tablename__ = "embedding_models"
    __table_args__ = (UniqueConstraint("name", "dimensions"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    name: Mapped[str]
    dimensions: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class RecordingRow(Base):
    """A registered recording and its source."""

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
    #: Candidate languages if `language` is unset; empty: those of the settings.
    languages: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    #: The recording's own terms: objects with text, variants, category, weight.
    vocabulary: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'::jsonb"))
    #: Number of speakers (`model.speaker_limits`); unset: that of the settings.
    speakers: Mapped[str | None]
    speaker_names: Mapped[list[Any]] = mapped_column(server_default=sql("'[]'::jsonb"))
    #: Channel mode (`model.ChannelMode`); unset: that of the settings.
    channels: Mapped[str | None]
    etag: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    modified: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Time of the failure with the current source; cleared by a success or a changed source.
    failed_at: Mapped[datetime | None] = mapped_column(index=True)
    error: Mapped[str | None]
    #: The model of this recording's chunks, also if there are none because it contains no speech.
    embedded_with: Mapped[int | None] = mapped_column(ForeignKey(EmbeddingModelRow.id))


class ForgottenRow(Base):
    """A forgotten recording; its source may still exist."""

    __tablename__ = "forgotten_recordings"

    uuid: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    forgotten_at: Mapped[datetime] = mapped_column(server_default=func.now())


def recording_key() -> Mapped[str]:
    """Return the primary key of a table with one row per recording, which is deleted with it."""
    return mapped_column(
        Uuid(as_uuid=False),
        ForeignKey(RecordingRow.uuid, ondelete="CASCADE"),
        primary_key=True,
        doc="UUID of the recording.",
    )


class TranscriptRow(Base):
    """A recording's publication."""

    __tablename__ = "transcripts"
    __table_args__ = (
        Index("transcripts_speakers", "speakers", postgresql_using="gin"),
        Index("transcripts_language", "language"),
        Index("transcripts_warnings", "recording", postgresql_where=sql("warnings <> '[]'::jsonb")),
    )

    recording: Mapped[str] = recording_key()
    text: Mapped[str] = mapped_column(doc="The words as the model heard them.")
    refined_text: Mapped[str] = mapped_column(doc="The text with the edits of vocabulary, Claude and people.")
    language: Mapped[str] = mapped_column(doc="Main language, as a code such as en.")
    model: Mapped[str] = mapped_column(doc="Model that transcribed the recording.")
    words: Mapped[int] = mapped_column(doc="Number of words in `text`.")
    duration: Mapped[float] = mapped_column(doc="Length of the audio in seconds.")
    versions: Mapped[dict[str, Any]] = mapped_column(doc="The code version that made each asset, by asset name.")
    sha256s: Mapped[dict[str, Any]] = mapped_column(doc="Hexadecimal SHA-256 of each file, by file name.")
    speakers: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default=sql("'{}'"), doc="Speakers, by name or label."
    )
    warnings: Mapped[list[Any]] = mapped_column(
        server_default=sql("'[]'::jsonb"), doc="Findings of checks: objects with kind, place and message."
    )
    published_at: Mapped[datetime] = mapped_column(server_default=func.now(), doc="When the publication last changed.")


class InsightsRow(Base):
    """An analyser's findings in a recording's text."""

    __tablename__ = "insights"

    recording: Mapped[str] = recording_key()
    analyser: Mapped[str]
    document: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ChunkRow(Base):
    """A passage of a recording's text for search, with its time.

    `embedding` has no fixed dimensions: each model has a partial HNSW index over its own rows (see `search/index.py`).
    Language and date are copied from the recording, because with a filter on another table the vector index would stop
    before enough rows pass it.
    """

    __tablename__ = "transcript_chunks"
    __table_args__ = (
        UniqueConstraint("recording", "position"),
        Index(None, "words", postgresql_using="gin"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True, doc="Number of the chunk.")
    recording: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey(RecordingRow.uuid, ondelete="CASCADE"), doc="UUID of the recording."
    )
    position: Mapped[int] = mapped_column(doc="Place among the recording's chunks, counted from 0.")
    text: Mapped[str] = mapped_column(doc="The passage, with all corrections.")
    start: Mapped[float] = mapped_column(doc="Seconds from the start of the recording.")
    end: Mapped[float] = mapped_column(doc="Seconds from the start of the recording.")
    speakers: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default=sql("'{}'"), doc="Its speakers, in order of first appearance."
    )
    language: Mapped[str] = mapped_column(index=True, doc="The recording's language.")
    recorded_at: Mapped[datetime] = mapped_column(index=True, doc="When the recording was last modified.")
    model_id: Mapped[int] = mapped_column(ForeignKey(EmbeddingModelRow.id), doc="The model: `embedding_models.id`.")
    embedding: Mapped[Any] = mapped_column(HALFVEC(), doc="The vector of `text`, by this model.")
    words: Mapped[Any] = mapped_column(
        TSVECTOR,
        Computed(
            f"to_tsvector({SCHEMA}.search_configuration(language), {SCHEMA}.separated(normalize(text, NFKC)))",
            persisted=True,
        ),
        doc="The words of `text`, for search by words.",
    )


class VoicePrintRow(Base):
    """The voice of one speaker of a recording, and the person. Embeddings of different models are never compared."""

    __tablename__ = "voice_prints"

    recording: Mapped[str] = recording_key()
    #: `spk_0`, `spk_1`, … as in the recording's turns.
    label: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    #: Seconds of speech of this speaker.
    seconds: Mapped[float]
    #: Vector of length 1.
    embedding: Mapped[Any] = mapped_column(VECTOR())
    #: Unset: no named person has a similar voice.
    person: Mapped[str | None] = mapped_column(index=True)
    #: Whether it was named by hand.
    confirmed: Mapped[bool] = mapped_column(server_default=sql("false"))
    #: Similarity to the nearest voice named by hand; unset if this one was.
    similarity: Mapped[float | None]


class TermRow(Base):
    """A term of the vocabulary for all recordings."""

    __tablename__ = "vocabulary"

    text: Mapped[str] = mapped_column(primary_key=True)
    variants: Mapped[list[Any]]
    category: Mapped[str]
    weight: Mapped[float]


class CorrectionRow(Base):
    """A person's change of a transcript (`corrections.changes.Change`). Rows are added and never changed."""

    __tablename__ = "corrections"

    recording: Mapped[str] = recording_key()
    version: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False, doc="Number of the change, counted from 1 in each recording."
    )
    transcript: Mapped[str] = mapped_column(doc="Digest of the transcript whose words `first` and `stop` count.")
    kind: Mapped[str] = mapped_column(doc="What the change does.")
    first: Mapped[int] = mapped_column(doc="The first word that it concerns.")
    stop: Mapped[int] = mapped_column(doc="The word after the last one.")
    start: Mapped[float] = mapped_column(doc="Seconds from the start of the recording.")
    end: Mapped[float] = mapped_column(doc="Seconds from the start of the recording.")
    old: Mapped[str] = mapped_column(doc="The text or speaker before the change.")
    new: Mapped[str] = mapped_column(doc="The text or speaker after it.")
    heard: Mapped[str] = mapped_column(doc="The model's text of these words.")
    stretches: Mapped[list[Any]] = mapped_column(doc="For a change of speaker: all word ranges that it covers.")
    undoes: Mapped[int | None] = mapped_column(doc="For an undo: the version of the change that it undoes.")
    carried_from: Mapped[int | None] = mapped_column(
        doc="The version of the change, made on an earlier transcript, that this one repeats."
    )
    is_lost: Mapped[bool] = mapped_column(doc="Its words are not in the present transcript: it has no effect.")
    who: Mapped[str] = mapped_column(doc="The person who made it.")
    made_at: Mapped[datetime] = mapped_column(doc="When it was made.")


class CorrectedRecordingRow(Base):
    """The last change of a recording, and the last change for which a run was requested."""

    __tablename__ = "corrected_recordings"

    recording: Mapped[str] = recording_key()
    version: Mapped[int]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    requested: Mapped[int] = mapped_column(Integer, server_default=sql("0"))


class TokenRow(Base):
    """An API token of another program. Only its digest is stored."""

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
