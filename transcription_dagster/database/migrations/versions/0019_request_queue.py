"""Claim inference requests from their own table, without a procrastinate job for each.

Requests in flight are requeued. Executors of the earlier version lose them, and their reports are refused.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

#: The upgrade does not count as an attempt.
_REQUEUE = """
UPDATE inference_requests SET state = 'queued', progress = 0, started_at = NULL,
   attempts = CASE WHEN attempts @> '[{"ended": null}]'
                   THEN jsonb_set(attempts, '{-1,ended}', '"the executor was stopped"') ELSE attempts END
 WHERE state = 'doing'
"""


def upgrade() -> None:
    op.execute("DELETE FROM procrastinate_jobs WHERE starts_with(queueing_lock, 'inference:')")
    # A claim is a lease: the executor's token, and a number that grows with every claim.
    op.execute(
        "ALTER TABLE inference_requests DROP COLUMN lease, ADD holder text, ADD claims integer NOT NULL DEFAULT 0"
    )
    op.execute(_REQUEUE)
    op.execute(
        "CREATE INDEX inference_requests_waiting ON inference_requests (queue, created_at) WHERE state = 'queued'"
    )
    op.execute("CREATE INDEX inference_requests_held ON inference_requests (holder) WHERE state = 'doing'")


def downgrade() -> None:
    # Steps that wait for requests requeue their jobs.
    op.execute("DROP INDEX inference_requests_waiting, inference_requests_held")
    op.execute(_REQUEUE)
    op.execute("ALTER TABLE inference_requests DROP COLUMN holder, DROP COLUMN claims, ADD lease text")
