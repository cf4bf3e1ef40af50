"""Add the refinement requests that Message Batches carry, one per recording.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from transcription_dagster.database.tables import SCHEMA

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("claude_batches", _flag("handing_in"), schema=SCHEMA)
    op.create_index(
        "claude_batches_handing_in",
        "claude_batches",
        ["handing_in"],
        unique=True,
        postgresql_where=sa.text("handing_in"),
        schema=SCHEMA,
    )
    op.create_table(
        "refinement_requests",
        sa.Column(
            "recording",
            sa.Uuid(),
            sa.ForeignKey(f"{SCHEMA}.recordings.uuid", ondelete="CASCADE", name="refinement_requests_recording_fkey"),
            primary_key=True,
        ),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "batch",
            sa.Text(),
            sa.ForeignKey(f"{SCHEMA}.claude_batches.id", onupdate="CASCADE", name="refinement_requests_batch_fkey"),
            nullable=True,
        ),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("answers", JSONB(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        _flag("run_requested"),
        schema=SCHEMA,
    )
    op.create_index("refinement_requests_batch", "refinement_requests", ["batch"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("refinement_requests", schema=SCHEMA)
    op.drop_index("claude_batches_handing_in", "claude_batches", schema=SCHEMA)
    op.drop_column("claude_batches", "handing_in", schema=SCHEMA)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)
