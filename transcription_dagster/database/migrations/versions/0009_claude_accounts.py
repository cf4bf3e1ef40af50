"""Add Claude's answers and budget reservations, and allow several batches to be announced at once.

Remove signatures from source URLs: from now on only the part before the query is kept.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from transcription_dagster.database.tables import SCHEMA

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

#: Parameters of signed URLs: S3, Google, Azure and CloudFront.
_SIGNED = "[?&](x-amz-signature|awsaccesskeyid|x-goog-signature|googleaccessid|sig|signature|policy)="


def upgrade() -> None:
    op.create_table(
        "claude_answers",
        sa.Column("recording", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("reply", JSONB(), nullable=False),
        sa.Column("usable", sa.Boolean(), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("recording", "digest", name="claude_answers_pkey"),
        schema=SCHEMA,
    )
    op.create_index("claude_answers_digest", "claude_answers", ["digest"], schema=SCHEMA)
    op.create_table(
        "claude_reservations",
        sa.Column("holder", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("recording", sa.Uuid(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("dollars", sa.Float(), nullable=False),
        sa.Column("sent", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("holder", "recording", "digest", name="claude_reservations_pkey"),
        schema=SCHEMA,
    )
    op.add_column("refinement_requests", sa.Column("asked", JSONB()), schema=SCHEMA)
    op.add_column("spending", sa.Column("usage", JSONB()), schema=SCHEMA)
    op.alter_column("spending", "dollars", nullable=True, schema=SCHEMA)
    op.create_index("spending_recording", "spending", ["recording"], schema=SCHEMA)
    op.drop_index("claude_batches_handing_in", "claude_batches", schema=SCHEMA)
    op.execute(
        sa.text(
            "UPDATE transcription_data.recordings SET source = regexp_replace(source, '[?].*$', '') "
            "WHERE source ~ '^https?://' AND source ~* :signed"
        ).bindparams(signed=_SIGNED)
    )


def downgrade() -> None:
    op.execute("DELETE FROM transcription_data.claude_batches WHERE handing_in")
    op.create_index(
        "claude_batches_handing_in",
        "claude_batches",
        ["handing_in"],
        unique=True,
        postgresql_where=sa.text("handing_in"),
        schema=SCHEMA,
    )
    op.drop_index("spending_recording", "spending", schema=SCHEMA)
    op.execute("DELETE FROM transcription_data.spending WHERE dollars IS NULL")
    op.alter_column("spending", "dollars", nullable=False, schema=SCHEMA)
    op.drop_column("spending", "usage", schema=SCHEMA)
    op.drop_column("refinement_requests", "asked", schema=SCHEMA)
    op.drop_table("claude_reservations", schema=SCHEMA)
    op.drop_table("claude_answers", schema=SCHEMA)
