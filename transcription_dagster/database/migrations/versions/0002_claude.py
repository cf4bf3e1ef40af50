"""Add the spending on Claude and its Message Batches.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from transcription_dagster.database.tables import SCHEMA

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spending",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("recording", sa.Uuid(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("dollars", sa.Float(), nullable=False),
        _moment("spent_at", nullable=False),
        schema=SCHEMA,
    )
    op.create_index("spending_spent_at", "spending", ["spent_at"], schema=SCHEMA)
    op.create_table(
        "claude_batches",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("state", JSONB(), nullable=False),
        _moment("submitted_at", nullable=False),
        sa.Column("collected_at", sa.DateTime(timezone=True), nullable=True),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("claude_batches", schema=SCHEMA)
    op.drop_table("spending", schema=SCHEMA)


def _moment(name: str, *, nullable: bool) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=nullable)
