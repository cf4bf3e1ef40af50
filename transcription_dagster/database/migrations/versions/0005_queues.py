"""Add the pool's tables: its workers and the requests to GPU executors.

Version 0.1.0 created these tables outside the migrations, so they may already exist. Like procrastinate's tables, they
live in the schema `public`.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

#: One row per worker slot: its process, its current work and its last heartbeat.
_WORKERS = """
CREATE TABLE IF NOT EXISTS transcription_workers (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('gpu', 'run')),
    host text NOT NULL,
    pid integer NOT NULL,
    worker_id bigint,
    device text,
    model text,
    state text NOT NULL,
    recording text,
    progress double precision,
    jobs integer NOT NULL DEFAULT 0,
    model_loads integer NOT NULL DEFAULT 0,
    last_error text,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
)
"""

#: One row per request to a GPU executor. `key` identifies the work, so that a retried run finds earlier results.
#: `attempts` is a list of {executor, started_at, ended}; an attempt without an end is running, or its executor died.
_SPEECH = """
CREATE TABLE IF NOT EXISTS transcription_speech (
    key text PRIMARY KEY,
    task text NOT NULL,
    recording text NOT NULL,
    run_id text NOT NULL,
    queue text NOT NULL,
    request jsonb NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'doing', 'done', 'failed')),
    attempts jsonb NOT NULL DEFAULT '[]',
    progress double precision NOT NULL DEFAULT 0,
    result jsonb,
    error text,
    error_class text,
    job_id bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz
)
"""


def upgrade() -> None:
    op.execute(_WORKERS)
    op.execute(_SPEECH)
    op.execute("CREATE INDEX IF NOT EXISTS transcription_speech_run ON transcription_speech (run_id)")
    op.execute("CREATE INDEX IF NOT EXISTS transcription_speech_finished ON transcription_speech (finished_at)")
    # The launcher finds a run's job by its key in any state; procrastinate indexes the key of waiting jobs only.
    op.execute("CREATE INDEX IF NOT EXISTS transcription_jobs_key ON procrastinate_jobs (queueing_lock)")


def downgrade() -> None:
    op.execute("DROP INDEX transcription_jobs_key")
    op.execute("DROP TABLE transcription_speech")
    op.execute("DROP TABLE transcription_workers")
