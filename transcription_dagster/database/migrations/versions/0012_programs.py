"""Add API tokens, recordings submitted over the API, and declined suggestions for the vocabulary.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from transcription_dagster.database.tables import SCHEMA

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def _now(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("scopes", JSONB(), nullable=False),
        _now("created_at"),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("name", name="api_tokens_pkey"),
        sa.UniqueConstraint("digest", name="api_tokens_digest_key"),
        schema=SCHEMA,
    )
    op.create_table(
        "submissions",
        sa.Column(
            "recording",
            sa.Uuid(),
            sa.ForeignKey(f"{SCHEMA}.recordings.uuid", ondelete="CASCADE", name="submissions_recording_fkey"),
            nullable=False,
        ),
        sa.Column("submitted_by", sa.Text(), nullable=False),
        _now("submitted_at"),
        sa.Column("run_requested", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("webhook", sa.Text()),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        _now("next_attempt_at"),
        sa.PrimaryKeyConstraint("recording", name="submissions_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "declined_terms",
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("text", "variant", name="declined_terms_pkey"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for table in ("declined_terms", "submissions", "api_tokens"):
        op.drop_table(table, schema=SCHEMA)
