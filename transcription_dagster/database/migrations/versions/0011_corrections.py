"""Add people's corrections of transcripts.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from transcription_dagster.database.tables import SCHEMA

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _recording() -> sa.Column[uuid.UUID]:
    key = sa.ForeignKey(f"{SCHEMA}.recordings.uuid", ondelete="CASCADE")
    return sa.Column("recording", sa.Uuid(), key, nullable=False)


def upgrade() -> None:
    op.create_table(
        "corrections",
        _recording(),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("transcript", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("stop", sa.Integer(), nullable=False),
        sa.Column("start", sa.Float(), nullable=False),
        sa.Column("end", sa.Float(), nullable=False),
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("heard", sa.Text(), nullable=False),
        sa.Column("stretches", JSONB(), nullable=False),
        sa.Column("undoes", sa.Integer()),
        sa.Column("carried_from", sa.Integer()),
        sa.Column("is_lost", sa.Boolean(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("recording", "version", name="corrections_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "corrected_recordings",
        _recording(),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("requested", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("recording", name="corrected_recordings_pkey"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("corrected_recordings", schema=SCHEMA)
    op.drop_table("corrections", schema=SCHEMA)
