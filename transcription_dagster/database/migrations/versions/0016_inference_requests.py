"""Rename the table of inference requests and the keys of their jobs.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_RENAMED = (
    ("TABLE", "transcription_speech", "inference_requests"),
    ("INDEX", "transcription_speech_pkey", "inference_requests_pkey"),
    ("INDEX", "transcription_speech_run", "inference_requests_run"),
    ("INDEX", "transcription_speech_finished", "inference_requests_finished"),
)
_JOB_KEYS = """
UPDATE procrastinate_jobs SET queueing_lock = overlay(queueing_lock PLACING '{new}' FROM 1 FOR length('{old}'))
 WHERE starts_with(queueing_lock, '{old}')
"""


def upgrade() -> None:
    for kind, old, new in _RENAMED:
        op.execute(f"ALTER {kind} {old} RENAME TO {new}")
    # The jobs of requests in flight get the keys under which this version looks for them.
    op.execute(_JOB_KEYS.format(old="speech:", new="inference:"))


def downgrade() -> None:
    for kind, old, new in _RENAMED:
        op.execute(f"ALTER {kind} {new} RENAME TO {old}")
    op.execute(_JOB_KEYS.format(old="inference:", new="speech:"))
