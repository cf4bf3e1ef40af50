"""Add tombstones of forgotten recordings, so that sources do not register them again.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from transcription_dagster.database.tables import SCHEMA

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "forgotten_recordings",
        sa.Column("uuid", sa.Uuid(), primary_key=True),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("forgotten_recordings", schema=SCHEMA)
