"""Add the settings that all machines share, and the holder of the daemon lock.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from transcription_dagster.database.tables import SCHEMA

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "settings",
        sa.Column("version", sa.Integer(), sa.Identity(), primary_key=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("document", JSONB(none_as_null=True), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        _moment("pushed_at"),
        sa.Column("pushed_by", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "daemon",
        sa.Column(
            "singleton", sa.Boolean(), sa.CheckConstraint("singleton"), primary_key=True, server_default=sa.true()
        ),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("backend_pid", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        _moment("since"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("daemon", schema=SCHEMA)
    op.drop_table("settings", schema=SCHEMA)


def _moment(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)
