"""Add voice prints.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR

from transcription_dagster.database.tables import SCHEMA

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "voice_prints",
        sa.Column("recording", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("embedding", VECTOR(), nullable=False),
        sa.Column("person", sa.Text()),
        sa.Column("confirmed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("similarity", sa.Float()),
        sa.ForeignKeyConstraint(
            ["recording"], [f"{SCHEMA}.recordings.uuid"], name="voice_prints_recording_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("recording", "label", name="voice_prints_pkey"),
        schema=SCHEMA,
    )
    op.create_index("voice_prints_person", "voice_prints", ["person"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("voice_prints", schema=SCHEMA)
