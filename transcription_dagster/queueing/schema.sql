-- What the pool keeps beside procrastinate's own tables. Every statement can be repeated.

-- One row a worker slot: who works there, on what, and when it was last heard of.
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
);

-- One row a request to a GPU executor. `key` names the work, so that a run that starts over finds what was done.
CREATE TABLE IF NOT EXISTS transcription_speech (
    key text PRIMARY KEY,
    task text NOT NULL,
    recording text NOT NULL,
    run_id text NOT NULL,
    queue text NOT NULL,
    request jsonb NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'doing', 'done', 'failed')),
    -- [{executor, started_at, ended}]; an attempt without an end belongs to an executor at work, or one that died.
    attempts jsonb NOT NULL DEFAULT '[]',
    progress double precision NOT NULL DEFAULT 0,
    result jsonb,
    error text,
    error_class text,
    job_id bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz
);
CREATE INDEX IF NOT EXISTS transcription_speech_run ON transcription_speech (run_id);
CREATE INDEX IF NOT EXISTS transcription_speech_finished ON transcription_speech (finished_at);

-- The launcher asks for a run's job by its key in any state; procrastinate indexes the key of waiting jobs only.
CREATE INDEX IF NOT EXISTS transcription_jobs_key ON procrastinate_jobs (queueing_lock);
