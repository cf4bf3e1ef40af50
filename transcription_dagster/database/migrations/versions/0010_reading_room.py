"""Add what the list of recordings filters by: speakers and warnings, and the order of its pages.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from transcription_dagster.database.tables import SCHEMA

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "transcripts", sa.Column("speakers", ARRAY(sa.Text()), server_default="{}", nullable=False), schema=SCHEMA
    )
    op.add_column("transcripts", sa.Column("warnings", JSONB(), server_default="[]", nullable=False), schema=SCHEMA)
    op.create_index("transcripts_speakers", "transcripts", ["speakers"], postgresql_using="gin", schema=SCHEMA)
    op.create_index("transcripts_language", "transcripts", ["language"], schema=SCHEMA)
    op.create_index(
        "transcripts_warnings",
        "transcripts",
        ["recording"],
        postgresql_where=sa.text("warnings <> '[]'::jsonb"),
        schema=SCHEMA,
    )
    recorded_at = sa.text("coalesce(modified, created_at)")
    op.create_index(
        "recordings_failed",
        "recordings",
        [recorded_at, "uuid"],
        postgresql_where=sa.text("failed_at IS NOT NULL"),
        schema=SCHEMA,
    )
    op.create_index("recordings_recorded_at", "recordings", [recorded_at, "uuid"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_index("recordings_recorded_at", "recordings", schema=SCHEMA)
    op.drop_index("recordings_failed", "recordings", schema=SCHEMA)
    for name in ("transcripts_warnings", "transcripts_language", "transcripts_speakers"):
        op.drop_index(name, "transcripts", schema=SCHEMA)
    for name in ("warnings", "speakers"):
        op.drop_column("transcripts", name, schema=SCHEMA)
