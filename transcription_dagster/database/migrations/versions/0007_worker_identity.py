"""Workers that are told apart and heard by their beats, and requests whose answers count under a lease alone.

Revision ID: 0007
Revises: 0009
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The boot and pid namespace that `pid` belongs to, a random name of the process, and how often it was heard.
    op.execute("ALTER TABLE transcription_workers ADD place text, ADD token text, ADD beats bigint NOT NULL DEFAULT 0")
    # The taking of a job under which the present attempt is made. `job_id` was never written.
    op.execute("ALTER TABLE transcription_speech ADD lease text, DROP COLUMN job_id")


def downgrade() -> None:
    op.execute("ALTER TABLE transcription_workers DROP COLUMN place, DROP COLUMN token, DROP COLUMN beats")
    op.execute("ALTER TABLE transcription_speech DROP COLUMN lease, ADD job_id bigint")
