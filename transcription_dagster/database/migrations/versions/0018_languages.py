"""Add the candidate languages of a recording.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from transcription_dagster.database.tables import SCHEMA

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    languages = sa.Column("languages", ARRAY(sa.Text()), server_default="{}", nullable=False)
    op.add_column("recordings", languages, schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("recordings", "languages", schema=SCHEMA)
