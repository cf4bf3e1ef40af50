"""The statements on `transcription_speech`, shared by those who ask and those who answer.

An attempt that was begun and never ended belongs to an executor that died; the statements say so when the next one
begins. An attempt is made under the lease of its job: one whose lease is void begins nothing, and what it reports is
refused. All parameters are named; `now` is the database's clock, so that machines need not agree on the time.
"""

from __future__ import annotations

from typing import Final

from transcription_dagster.pool.leases import MINE

#: Executors that may die over one request before it is given up.
MAX_ATTEMPTS: Final = 3

#: How an attempt ended whose executor died.
LOST: Final = "the executor was lost"
#: How an attempt ended, to begin with, that left the device unusable.
BROKE: Final = "the device broke"
#: How an attempt ended, to begin with, whose executor could not work where it is.
UNFIT: Final = "the executor cannot work"

WAITING: Final = "SELECT request FROM transcription_speech WHERE key = %(key)s AND state IN ('queued', 'doing')"

FIND: Final = """
SELECT key, state, progress, attempts, result, error, error_class, queue,
       extract(epoch FROM coalesce(started_at, now()) - created_at)::float8 AS waited_seconds,
       extract(epoch FROM finished_at - started_at)::float8 AS gpu_seconds
  FROM transcription_speech WHERE key = %(key)s
"""

#: Ask for work. A request that failed, or whose answer was released, is asked afresh; one that waits, is under way or
#: is done stays as it is.
ASK: Final = """
INSERT INTO transcription_speech (key, task, recording, run_id, queue, request)
VALUES (%(key)s, %(task)s, %(recording)s, %(run_id)s, %(queue)s, %(request)s)
ON CONFLICT (key) DO UPDATE
   SET state = 'queued', attempts = '[]', progress = 0, error = NULL, error_class = NULL, queue = excluded.queue,
       request = excluded.request, created_at = now(), started_at = NULL, finished_at = NULL, lease = NULL
 WHERE transcription_speech.state = 'failed' OR (transcription_speech.state = 'done'
                                                 AND transcription_speech.result IS NULL)
RETURNING key
"""

#: Begin an attempt. No row: the request is done, withdrawn or unknown, or the job is another's; there is nothing to do.
#: The job is locked, so that it cannot go to another executor in the middle of this.
BEGIN: Final = (
    MINE  # noqa: S608  constants
    + """
UPDATE transcription_speech SET
   attempts = (SELECT coalesce(jsonb_agg(CASE WHEN a->>'ended' IS NULL
                                              THEN a || '{"ended": "the executor was lost"}' ELSE a END), '[]')
                 FROM jsonb_array_elements(attempts) a)
              || jsonb_build_array(jsonb_build_object('executor', %(executor)s::text, 'started_at', now(),
                                                      'ended', NULL)),
   state = 'doing', progress = 0, started_at = now(), lease = %(lease)s
 WHERE key = %(key)s AND state IN ('queued', 'doing') AND EXISTS (SELECT 1 FROM mine)
RETURNING request, attempts, recording, run_id
"""
)

#: End the attempt that is under way; `state` says what becomes of the request. No row: it is not this lease's.
END: Final = """
UPDATE transcription_speech SET
   attempts = jsonb_set(attempts, ARRAY[(jsonb_array_length(attempts) - 1)::text, 'ended'], to_jsonb(%(ended)s::text)),
   state = %(state)s, result = %(result)s, error = %(error)s, error_class = %(error_class)s,
   progress = CASE WHEN %(state)s = 'done' THEN 1 ELSE progress END,
   finished_at = CASE WHEN %(state)s IN ('done', 'failed') THEN now() END, lease = NULL
 WHERE key = %(key)s AND state = 'doing' AND lease = %(lease)s
RETURNING key
"""

PROGRESS: Final = """
UPDATE transcription_speech SET progress = %(progress)s
 WHERE key = %(key)s AND state = 'doing' AND lease = %(lease)s
"""

CANCEL: Final = """
UPDATE transcription_speech
   SET state = 'failed', error = 'withdrawn', error_class = 'TranscriptionAborted', finished_at = now()
 WHERE key = %(key)s AND state IN ('queued', 'doing')
"""

OF_RUN: Final = "SELECT key FROM transcription_speech WHERE run_id = %(run_id)s AND state IN ('queued', 'doing')"

LIVE_JOB: Final = """
SELECT id FROM procrastinate_jobs WHERE queueing_lock = %(key)s AND status IN ('todo', 'doing') ORDER BY id DESC LIMIT 1
"""

NOTIFY: Final = "SELECT pg_notify('transcription_speech', %(key)s)"

#: The run succeeded: nothing comes back for its answers, which are by far the largest values. How the attempts went
#: stays on record.
RELEASE: Final = """
UPDATE transcription_speech SET result = NULL, request = '{}'
 WHERE run_id = %(run_id)s AND state = 'done' AND result IS NOT NULL
"""

#: Days for which a run that failed can be started over without work being done twice.
ANSWER_DAYS: Final = 7

PRUNE: Final = "DELETE FROM transcription_speech WHERE finished_at < now() - make_interval(days => %(days)s)"
