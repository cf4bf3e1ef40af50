"""Create the first tables.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

revision = "0001"
down_revision = None

SCHEMA = "transcription_data"

#: ISO 639-1 code -> the text search configuration that comes with Postgres. The function below is immutable, so that
#: a generated column may use it, and a column of type `regconfig`, which pg_upgrade refuses, is not needed.
CONFIGURATIONS = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "nb": "norwegian",
    "nn": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}


def upgrade() -> None:
    """Create the tables of the first release."""
    _create_search_configuration()
    _create_embedding_models()
    _create_recordings()
    _create_publications()
    _create_chunks()
    _create_vocabulary()


def _create_search_configuration() -> None:
    cases = "\n".join(f"WHEN '{code}' THEN '{name}'::regconfig" for code, name in CONFIGURATIONS.items())
    op.execute(
        f"""
        CREATE FUNCTION {SCHEMA}.search_configuration(language text) RETURNS regconfig
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN CASE lower(split_part(language, '-', 1)) {cases} ELSE 'simple'::regconfig END
        """
    )


def _create_embedding_models() -> None:
    op.create_table(
        "embedding_models",
        sa.Column("id", sa.Integer(), sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        _moment("created_at"),
        sa.UniqueConstraint("name", "dimensions", name="embedding_models_name_dimensions_key"),
        schema=SCHEMA,
    )


def _create_recordings() -> None:
    op.create_table(
        "recordings",
        sa.Column("uuid", sa.Uuid(), primary_key=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("language", sa.Text()),
        sa.Column("vocabulary", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("etag", sa.Text()),
        sa.Column("size", sa.BigInteger()),
        sa.Column("modified", sa.DateTime(timezone=True)),
        _moment("created_at"),
        _moment("updated_at"),
        sa.Column("failed_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text()),
        sa.Column("embedded_with", sa.Integer(), _reference("recordings", "embedded_with", "embedding_models.id")),
        schema=SCHEMA,
    )
    op.create_index("recordings_failed_at", "recordings", ["failed_at"], schema=SCHEMA)


def _create_publications() -> None:
    op.create_table(
        "transcripts",
        _recording_key("transcripts"),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("refined_text", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("words", sa.Integer(), nullable=False),
        sa.Column("duration", sa.Float(), nullable=False),
        sa.Column("versions", JSONB(), nullable=False),
        sa.Column("sha256s", JSONB(), nullable=False),
        _moment("published_at"),
        schema=SCHEMA,
    )
    op.create_table(
        "insights",
        _recording_key("insights"),
        sa.Column("analyser", sa.Text(), nullable=False),
        sa.Column("document", JSONB(), nullable=False),
        _moment("updated_at"),
        schema=SCHEMA,
    )


def _create_chunks() -> None:
    table = "transcript_chunks"
    op.create_table(
        table,
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("recording", sa.Uuid(), _reference(table, "recording", "recordings.uuid", "CASCADE"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("start", sa.Float(), nullable=False),
        sa.Column("end", sa.Float(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model_id", sa.Integer(), _reference(table, "model_id", "embedding_models.id"), nullable=False),
        sa.Column("embedding", HALFVEC(), nullable=False),
        sa.Column(
            "words",
            TSVECTOR(),
            sa.Computed(f"to_tsvector({SCHEMA}.search_configuration(language), text)", persisted=True),
            nullable=False,
        ),
        sa.UniqueConstraint("recording", "position", name=f"{table}_recording_position_key"),
        schema=SCHEMA,
    )
    # Keep values inline: ranking reads thousands of `words`, which would otherwise be stored out of line.
    op.execute(f"ALTER TABLE {SCHEMA}.{table} SET (toast_tuple_target = 8160)")
    op.create_index(f"{table}_words", table, ["words"], postgresql_using="gin", schema=SCHEMA)
    op.create_index(f"{table}_language", table, ["language"], schema=SCHEMA)
    op.create_index(f"{table}_recorded_at", table, ["recorded_at"], schema=SCHEMA)


def _create_vocabulary() -> None:
    op.create_table(
        "vocabulary",
        sa.Column("text", sa.Text(), primary_key=True),
        sa.Column("variants", JSONB(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        schema=SCHEMA,
    )


def _moment(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _reference(table: str, column: str, target: str, ondelete: str | None = None) -> sa.ForeignKey:
    return sa.ForeignKey(f"{SCHEMA}.{target}", name=f"{table}_{column}_fkey", ondelete=ondelete)


def _recording_key(table: str) -> sa.Column[UUID]:
    return sa.Column(
        "recording", sa.Uuid(), _reference(table, "recording", "recordings.uuid", "CASCADE"), primary_key=True
    )
