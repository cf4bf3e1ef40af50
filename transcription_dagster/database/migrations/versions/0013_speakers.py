"""Add the number of speakers of a recording, and their names.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from transcription_dagster.database.tables import SCHEMA

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("recordings", sa.Column("speakers", sa.Text()), schema=SCHEMA)
    op.add_column(
        "recordings",
        sa.Column("speaker_names", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_column("recordings", "speaker_names", schema=SCHEMA)
    op.drop_column("recordings", "speakers", schema=SCHEMA)
