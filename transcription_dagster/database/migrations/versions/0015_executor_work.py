"""Add the executors' recordings in progress and rates.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE transcription_workers ADD work jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE transcription_workers DROP COLUMN work")
