"""Identify worker processes and count their heartbeats; accept an answer only under the current lease.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The boot and PID namespace of `pid`, a random token of the process, and the number of its heartbeats.
    op.execute("ALTER TABLE transcription_workers ADD place text, ADD token text, ADD beats bigint NOT NULL DEFAULT 0")
    # The lease of the current attempt. `job_id` was never written.
    op.execute("ALTER TABLE transcription_speech ADD lease text, DROP COLUMN job_id")


def downgrade() -> None:
    op.execute("ALTER TABLE transcription_workers DROP COLUMN place, DROP COLUMN token, DROP COLUMN beats")
    op.execute("ALTER TABLE transcription_speech DROP COLUMN lease, ADD job_id bigint")
