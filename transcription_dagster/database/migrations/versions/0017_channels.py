"""Add the channel mode of a recording, and the speakers of a chunk.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from transcription_dagster.database.tables import SCHEMA

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("recordings", sa.Column("channels", sa.Text()), schema=SCHEMA)
    op.add_column(
        "transcript_chunks",
        sa.Column("speakers", ARRAY(sa.Text()), server_default="{}", nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_column("transcript_chunks", "speakers", schema=SCHEMA)
    op.drop_column("recordings", "channels", schema=SCHEMA)
